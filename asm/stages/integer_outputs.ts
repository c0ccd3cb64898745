// Outputs of forward by products of bytes (SageAttention2, Zhang et al. 2024): weights in 7 bits, values less a mean in 8.
//
//   P = up * integer             0 to 127, a unit for each row and group of 96 keys
//   v = mean + uv * integer      |integer| <= 127, a mean and a unit for each column and group
//   O += up uv (integers of P . integers of v) + mean * sum of P
//
// The sum of P is that of the weights as they are, like l: what rounding takes from small weights is then taken from v less its
// mean, and a column that is the same for all keys comes out as it is. Tiles begin at multiples of a group, so that integers do
// not depend on how a call is cut, and sums of them are exact. A column that holds what is not finite has a mean that is not,
// and its rows of outputs are repaired; weights that are no numbers have made l none.
import { DTypeCode, Sequence, Task } from "../abi";
import { factorOf, GROUP, integers, lastBytes } from "../micro/integers";
import { bringRows, keyRow, rowsAhead } from "../micro/pages";
import { rowStride } from "../micro/task";
import { FORWARD_PITCH, gemm_o_fours_6x8, gemm_o_pairs_4x8, gemm_o_wide_1x8 } from "../micro/tiles.gen";
import { Flag, Operand } from "../tables.gen";
import { sixesOf } from "./output_run";

/** The largest integer of a weight and of a value. */
const LARGEST: f32 = 127;
/** The float32 whose last bits are an integer from 0 to 2^22 that is added to it. */
const LIFT: f32 = 8388608;

// As laid out by layOutOutputs: values [group][column][96], their means and units [group][column]; weights [4 keys][8][4];
// lanes: their units and sums; rows of V where they cannot be read where they lie.
let values: usize = 0, means: usize = 0, units: usize = 0, weights: usize = 0, lanes: usize = 0, rows: usize = 0;
let valueDim: i32 = 0, columns: i32 = 0;
// The tile of keys at hand, and a bit of `packed` for each of its groups that is there.
let task: usize = 0, sequence: usize = 0, batch: i32 = 0, head: i32 = 0, tileKey: i32 = 0, packed: u32 = 0;

/** Where integers of a tile of keys go, a multiple of a group; returns the end of their scratch. */
export function layOutOutputs(ws: usize, dim: i32, keyTile: i32): usize {
  const groups = <usize>(keyTile / GROUP);
  valueDim = dim;
  columns = (dim + 3) & ~3;
  values = (ws + 15) & ~15;
  means = values + groups * <usize>(columns * GROUP);
  units = means + groups * (<usize>columns << 2);
  weights = units + groups * (<usize>columns << 2);
  lanes = weights + (GROUP << 3);
  rows = lanes + 64;
  return rows + <usize>GROUP * (<usize>dim << 2) + 16; // vectors of the last row may end behind it
}

/** A tile of keys begins; integers of values are made when the first panel needs them. */
export function beginOutputs(ofTask: usize, ofSequence: usize, ofBatch: i32, kv: i32, key: i32): void {
  task = ofTask;
  sequence = ofSequence;
  batch = ofBatch;
  head = kv;
  tileKey = key;
  packed = 0;
}

/** Integers of four columns of `count` keys, whose rows are at x: [column][96] at `to`. */
function packColumns(x: usize, ld: usize, count: i32, to: usize, mean: usize, unit: usize): void {
  const end = x + ld * <usize>count, zero = f32x4.splat(0);
  let least = v128.load(x), most = least, sum = zero;
  for (let p = x; p < end; p += ld) {
    const y = v128.load(p);
    least = f32x4.pmin(least, y);
    most = f32x4.pmax(most, y);
    sum = f32x4.add(sum, y);
  }
  const m = f32x4.div(sum, f32x4.splat(<f32>count));
  const factor = factorOf(f32x4.pmax(f32x4.sub(most, m), f32x4.sub(m, least)), LARGEST);
  v128.store(mean, m);
  v128.store(unit, f32x4.div(f32x4.splat(1), factor));
  for (let p = x; p < end; p += ld << 2, to += 4) {
    const a = rest(p, m, factor), b = p + ld < end ? rest(p + ld, m, factor) : zero;
    const c = p + ld * 2 < end ? rest(p + ld * 2, m, factor) : zero, d = p + ld * 3 < end ? rest(p + ld * 3, m, factor) : zero;
    const four = lastBytes(a, b, c, d);
    v128.store_lane<i32>(to, four, 0);
    v128.store_lane<i32>(to + <usize>GROUP, four, 1);
    v128.store_lane<i32>(to + <usize>(2 * GROUP), four, 2);
    v128.store_lane<i32>(to + <usize>(3 * GROUP), four, 3);
  }
}

/** Four integers of a row, less a mean. */
// @ts-ignore: decorator
@inline
function rest(x: usize, mean: v128, factor: v128): v128 {
  return integers(f32x4.sub(v128.load(x), mean), factor);
}

/** Makes integers of the values of group g of the tile, all that the sequence has there. */
function packValues(g: i32): void {
  packed |= 1 << g;
  const key = tileKey + g * GROUP, count = min(GROUP, load<i32>(sequence, Sequence.KeyEnd) - key);
  let x = rows, ld = <usize>valueDim << 2;
  if (load<i32>(task, Task.KvDtype) == DTypeCode.F32 && valueDim == columns && rowsAhead(task, key, count) == count) {
    x = keyRow(task, Operand.V, batch, head, key);
    ld = rowStride(task, Operand.V);
  } else bringRows(task, Operand.V, batch, head, key, count, x, valueDim); // behind the last column of a row lies the next one
  const at = <usize>(g * columns);
  for (let d: usize = 0; d < <usize>columns; d += 4) {
    packColumns(x + (d << 2), ld, count, values + (at + d) * GROUP, means + ((at + d) << 2), units + ((at + d) << 2));
  }
}

/** Makes integers of the weights of n keys at p, a multiple of eight; `lanes` has their units and their sums. */
function packWeights(p: usize, n: i32): void {
  const lift = f32x4.splat(LIFT), bytes = <usize>n * FORWARD_PITCH;
  for (let v: usize = 0; v < 32; v += 16) {
    let most = f32x4.splat(0), sum = most, x = p + v;
    for (const end = x + bytes; x < end; x += 4 * FORWARD_PITCH) {
      const a = v128.load(x), b = v128.load(x, FORWARD_PITCH), c = v128.load(x, 2 * FORWARD_PITCH), d = v128.load(x, 3 * FORWARD_PITCH);
      most = f32x4.pmax(most, f32x4.pmax(f32x4.pmax(a, b), f32x4.pmax(c, d)));
      sum = f32x4.add(sum, f32x4.add(f32x4.add(a, b), f32x4.add(c, d)));
    }
    const factor = factorOf(most, LARGEST);
    v128.store(lanes + v, f32x4.div(f32x4.splat(1), factor));
    v128.store(lanes + v, sum, 32);
    x = p + v;
    for (let to = weights + v, end = x + bytes; x < end; x += 4 * FORWARD_PITCH, to += 32) {
      // the last byte of each is an integer, below 128; shifts and xor take what stands before it
      const a = f32x4.add(f32x4.mul(v128.load(x), factor), lift), b = f32x4.add(f32x4.mul(v128.load(x, FORWARD_PITCH), factor), lift);
      const c = f32x4.add(f32x4.mul(v128.load(x, 2 * FORWARD_PITCH), factor), lift), d = f32x4.add(f32x4.mul(v128.load(x, 3 * FORWARD_PITCH), factor), lift);
      v128.store(to, v128.or(v128.or(v128.xor(a, lift), i32x4.shl(b, 8)), v128.or(i32x4.shl(c, 16), i32x4.shl(d, 24))));
    }
  }
}

/** O^T of `tiles` tiles of so many columns, from column d on, over n keys of group g from its key `at` on. */
function outputTiles(d: i32, tiles: i32, wide: i32, g: i32, at: i32, n: i32, o: usize): void {
  const column = <usize>(g * columns + d), v = values + column * GROUP + <usize>at, to = o + (<usize>d << 5);
  const mean = means + (column << 2), unit = units + (column << 2);
  if (wide == 6) gemm_o_fours_6x8(v, weights, to, <usize>n, GROUP, lanes, unit, mean, tiles);
  else if (wide == 4) gemm_o_pairs_4x8(v, weights, to, <usize>n, GROUP, lanes, unit, mean, tiles);
  else gemm_o_wide_1x8(v, weights, to, <usize>n, GROUP, lanes, unit, mean, tiles);
}

/**
 * O^T of a panel += V^T . P^T over keys [from, to) of the tile, the first of which is a multiple of eight. `scores`: of the
 * tile's first key.
 */
export function outputIntegers(scores: usize, o: usize, from: i32, to: i32, flags: i32): void {
  memory.fill(scores + <usize>(to * FORWARD_PITCH), 0, <usize>((from - to & 7) * FORWARD_PITCH));
  while (from < to) {
    const g = from / GROUP, end = min(to, (g + 1) * GROUP), at = from - g * GROUP, n = (end - from + 7) & ~7;
    if (!(packed >> g & 1)) packValues(g);
    packWeights(scores + <usize>(from * FORWARD_PITCH), n);
    if (flags & Flag.Fours) {
      const sixes = sixesOf(columns);
      outputTiles(0, sixes, 6, g, at, n, o);
      outputTiles(6 * sixes, (columns - 6 * sixes) / 4, 4, g, at, n, o);
    } else if (flags & Flag.TwoByTwo) outputTiles(0, columns / 4, 4, g, at, n, o);
    else outputTiles(0, columns, 1, g, at, n, o);
    from = end;
  }
}
