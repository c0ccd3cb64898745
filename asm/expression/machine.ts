// Running programs of expressions on tiles of scores.
//
// A thread keeps, for each program, a table of registers and the rows of those that are not in place. Rows have eight
// lanes; the symbols say what they are:
//
//   forward, backward    eight queries of one key
//   decode               four rows (query, head) of two keys: S[key][4] is read as one row for two keys
//   one query            eight keys of it
//
// Values of lanes are computed once a panel, those of keys once a tile, on the first panel that needs them.
import { Sequence } from "../abi";
import { Panel, UPPER } from "../micro/records";
import { diagonalOf, kvHeadOf, sequenceOf } from "../micro/task";
import { execute } from "./interpreter.gen";
import { Base, Fixed, Header, Instruction, Machine, Register, RUN, Template } from "./layout.gen";

/** Keys in a row of one query. */
const KEYS_OF_ONE: i32 = 8;
/** Most keys that one query is run over at a time: no tile has room for fewer rows. */
export const KEYS_AT_ONCE: i32 = 32 * KEYS_OF_ONE;

// @ts-ignore: decorator
@inline
function registerAt(machine: usize, register: i32): usize {
  return machine + Machine.Table + <usize>(register * Register.Bytes);
}

function setRegister(at: usize, address: usize, stride: usize, run: usize): void {
  store<usize>(at, address, Register.Address);
  store<usize>(at, stride, Register.Stride);
  store<usize>(at, run, Register.Run);
}

/** Sets up a program in a thread's scratch; returns the end of what it takes. */
export function setUp(machine: usize, task: usize, program: usize): usize {
  store<usize>(machine, program, Machine.Program);
  store<usize>(machine, task, Machine.Task);
  store<i32>(machine, 0, Machine.Ready);
  setRegister(registerAt(machine, Fixed.Key), machine + load<usize>(program, Header.Keys), 32, 32);
  for (let i = 0; i < Fixed.Count - Fixed.Query; ++i) {
    setRegister(registerAt(machine, Fixed.Query + i), machine + load<usize>(program, Header.Lanes) + <usize>(i << 5), 0, 0);
  }
  setSums(machine, 0);
  return machine + load<usize>(program, Header.ScratchBytes);
}

/** Sets the registers that are not fixed; `sums`: where those of the program lie from now on. */
export function setSums(machine: usize, sums: usize): void {
  const program = load<usize>(machine, Machine.Program), count = load<i32>(program, Header.Registers);
  let template = program + Header.Bytes;
  for (let i = 0; i < count; ++i, template += Template.Bytes) {
    const base = load<i32>(template, Template.Base);
    const from = base == Base.Scratch ? machine : base == Base.Program ? program : base == Base.Sums ? sums : 0;
    const address = from + load<usize>(template, Template.Offset);
    setRegister(registerAt(machine, Fixed.Count + i), address, load<usize>(template, Template.Stride), load<usize>(template, Template.Run));
  }
}

/** A tile of keys begins, with so many of them in a row. */
export function setTile(machine: usize, batch: i32, key: i32, keys: i32, keysOfRow: i32): void {
  store<i32>(machine, batch, Machine.Batch);
  store<i32>(machine, key, Machine.Key);
  store<i32>(machine, keys, Machine.Keys);
  store<i32>(machine, keysOfRow, Machine.KeysOfRow);
  store<i32>(machine, 0, Machine.Ready);
}

// @ts-ignore: decorator
@inline
function rowOf(register: usize, row: i32): usize {
  return load<usize>(register, Register.Address) + <usize>row * load<usize>(register, Register.Run);
}

/** Runs a section over n rows from `first` on. */
function runSection(machine: usize, code: usize, count: i32, first: i32, n: i32): void {
  const table = machine + Machine.Table, end = code + <usize>(count * Instruction.Bytes);
  for (const last = first + n; first < last; first += RUN) {
    const rows = min(RUN, last - first);
    for (let p = code; p < end; p += Instruction.Bytes) {
      const d = table + load<usize>(p, Instruction.Result), a = table + load<usize>(p, Instruction.A);
      const b = table + load<usize>(p, Instruction.B), c = table + load<usize>(p, Instruction.C);
      execute(
        load<i32>(p), rows, rowOf(d, first), load<usize>(d, Register.Stride), rowOf(a, first), load<usize>(a, Register.Stride),
        rowOf(b, first), load<usize>(b, Register.Stride), rowOf(c, first), load<usize>(c, Register.Stride),
      );
    }
  }
}

// @ts-ignore: decorator
@inline
function setLanes(at: usize, symbol: i32, low: v128, high: v128): void {
  at += <usize>((symbol - Fixed.Query) << 5);
  v128.store(at, low);
  v128.store(at, high, UPPER);
}

/** Symbols of lanes, and what follows from them alone. */
function runLanes(machine: usize, low: v128, high: v128, headLow: v128, headHigh: v128): void {
  const program = load<usize>(machine, Machine.Program), at = machine + load<usize>(program, Header.Lanes);
  const task = load<usize>(machine, Machine.Task), batch = load<i32>(machine, Machine.Batch), sequence = sequenceOf(task, batch);
  const offset = i32x4.splat(load<i32>(sequence, Sequence.Offset));
  // lanes of several heads are those of one group
  const kvHead = i32x4.splat(kvHeadOf(task, i32x4.extract_lane(headLow, 0))), b = i32x4.splat(batch);
  const lengthQ = i32x4.splat(load<i32>(sequence, Sequence.LengthQ)), lengthK = i32x4.splat(load<i32>(sequence, Sequence.LengthK));
  setLanes(at, Fixed.Query, i32x4.sub(low, offset), i32x4.sub(high, offset));
  setLanes(at, Fixed.Diagonal, low, high);
  setLanes(at, Fixed.Head, headLow, headHigh);
  setLanes(at, Fixed.KvHead, kvHead, kvHead);
  setLanes(at, Fixed.Batch, b, b);
  setLanes(at, Fixed.LengthQ, lengthQ, lengthQ);
  setLanes(at, Fixed.LengthK, lengthK, lengthK);
  runSection(machine, program + load<usize>(program, Header.LaneCode), load<i32>(program, Header.LaneCount), 0, 1);
}

/** Numbers of keys, and what follows from them alone; no row goes past the key `last`. Needs the lanes. */
function runKeys(machine: usize, rows: i32, last: i32): void {
  if (load<i32>(machine, Machine.Ready)) return;
  store<i32>(machine, 1, Machine.Ready);
  const program = load<usize>(machine, Machine.Program), keysOfRow = load<i32>(machine, Machine.KeysOfRow);
  const each = keysOfRow == 1 ? i32x4.splat(0) : i32x4(0, 1, 2, 3), half = keysOfRow == 2;
  let low = half ? i32x4.splat(0) : each, high = half ? i32x4.splat(1) : keysOfRow == 1 ? each : i32x4.add(each, i32x4.splat(4));
  const key = i32x4.splat(load<i32>(machine, Machine.Key)), step = i32x4.splat(keysOfRow), end = i32x4.splat(last);
  low = i32x4.add(low, key);
  high = i32x4.add(high, key);
  rows = (rows + 2) & ~1; // a row past the tile may be read
  let at = machine + load<usize>(program, Header.Keys);
  for (let i = 0; i < rows; ++i, at += 32) {
    v128.store(at, i32x4.min_s(low, end));
    v128.store(at, i32x4.min_s(high, end), UPPER);
    low = i32x4.add(low, step);
    high = i32x4.add(high, step);
  }
  runSection(machine, program + load<usize>(program, Header.KeyCode), load<i32>(program, Header.KeyCount), 0, rows);
}

/** The tile at `tile`, 0 for none, becomes a register. */
// @ts-ignore: decorator
@inline
function setTileRegister(machine: usize, register: i32, tile: usize, pitch: usize, back: usize): void {
  const at = registerAt(machine, register);
  if (tile) setRegister(at, tile - back, pitch, pitch);
  else setRegister(at, slopeOf(machine), 32, 0);
}

/**
 * Runs what is for every pair: n rows from `first` of the tile, whose scores begin at sp. `slope`, `before`: 0 for
 * nowhere.
 */
function runPairs(machine: usize, sp: usize, pitch: usize, first: i32, n: i32, slope: usize, before: usize): void {
  const program = load<usize>(machine, Machine.Program), back = <usize>first * pitch;
  setRegister(registerAt(machine, Fixed.Score), sp - back, pitch, pitch);
  setTileRegister(machine, Fixed.Slope, slope, pitch, back);
  setTileRegister(machine, Fixed.Before, before, pitch, back);
  runSection(machine, program + load<usize>(program, Header.PairCode), load<i32>(program, Header.PairCount), first, n);
}

/** Runs a program on n keys from `key` on, of the tile that was set: scores of 4 * vectors lanes, keys `pitch` bytes apart. */
export function runTile(machine: usize, sp: usize, pitch: usize, n: i32, key: i32, panel: usize, vectors: i32, slope: usize, before: usize): void {
  const whole = vectors == 2, task = load<usize>(machine, Machine.Task), sequence = sequenceOf(task, load<i32>(machine, Machine.Batch));
  const low = v128.load(panel, Panel.Diagonal), high = whole ? v128.load(panel, Panel.Diagonal + UPPER) : low;
  const headLow = v128.load(panel, Panel.Head), headHigh = whole ? v128.load(panel, Panel.Head + UPPER) : headLow;
  const keysOfRow = load<i32>(machine, Machine.KeysOfRow), shift = keysOfRow >> 1;
  runLanes(machine, low, high, headLow, headHigh);
  runKeys(machine, (load<i32>(machine, Machine.Keys) + shift) >> shift, load<i32>(sequence, Sequence.LengthK) - 1);
  runPairs(machine, sp, pitch << shift, (key - load<i32>(machine, Machine.Key)) >> shift, (n + shift) >> shift, slope, before);
}

/** The first of the two rows of a score by itself. */
// @ts-ignore: decorator
@inline
export function padOf(machine: usize): usize {
  return machine + Machine.Pad;
}

/** Where the slope lies that `runQuery` stored, and where it finds the score as it was before. */
export function slopeOf(machine: usize): usize {
  return machine + load<usize>(load<usize>(machine, Machine.Program), Header.Pairs);
}

/** Whether the slope of a program is not 1. */
export function hasSlope(machine: usize): bool {
  return load<i32>(load<usize>(machine, Machine.Program), Header.HasSlope) != 0;
}

/** Whether scores may fall with the distance without end. */
export function doesFade(machine: usize): bool {
  return load<i32>(load<usize>(machine, Machine.Program), Header.Fades) != 0;
}

/**
 * Runs a program on query i and the keys [from, to), at most `KEYS_AT_ONCE`. What becomes of the
 * score at `padOf` is known of a single key only. The tile that was set is forgotten.
 */
export function runQuery(machine: usize, batch: i32, head: i32, i: i32, from: i32, to: i32): void {
  const task = load<usize>(machine, Machine.Task), at = i32x4.splat(diagonalOf(sequenceOf(task, batch), i));
  const rows = (to - from + KEYS_OF_ONE - 1) / KEYS_OF_ONE;
  setTile(machine, batch, from, to - from, KEYS_OF_ONE);
  runLanes(machine, at, at, i32x4.splat(head), i32x4.splat(head));
  runKeys(machine, rows, to - 1);
  runPairs(machine, padOf(machine), rows == 1 ? 32 : 0, 0, rows, 0, 0);
}
