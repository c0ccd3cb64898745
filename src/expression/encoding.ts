// Programs as the interpreter reads them: words, with addresses that only the host of the memory knows.
import { count } from "../tensor/shape.ts";
import { FIXED_REGISTERS, type Instruction, type Program } from "./bytecode.ts";
import type { CapturedArray } from "./node.ts";
import { OPCODES } from "./opcodes.ts";

/** Words of the header: registers and instructions of each section, where these begin, and more. Byte offsets. */
export const HEADER = {
  Registers: 0,
  LaneCode: 4,
  LaneCount: 8,
  KeyCode: 12,
  KeyCount: 16,
  PairCode: 20,
  PairCount: 24,
  HasSlope: 28,
  /** Bytes of scratch that the program needs. */
  ScratchBytes: 32,
  /** Where rows lie in scratch: those of lanes, of keys, and of pairs. */
  Lanes: 36,
  Keys: 40,
  Pairs: 44,
  /** Whether scores may fall with the distance without end. */
  Fades: 48,
  Bytes: 52,
} as const;

/** A register that is not fixed: what its address is relative to, address, and bytes from key to key and run to run. */
export const TEMPLATE = { Base: 0, Offset: 4, Stride: 8, Run: 12, Bytes: 16 } as const;

/** What an address is relative to. */
export const BASE = { Scratch: 0, Program: 1, Memory: 2, Sums: 3 } as const;

/** An entry of a thread's table of registers. */
export const REGISTER = { Address: 0, Stride: 4, Run: 8, Bytes: 12 } as const;

/** An instruction: its number, and the places of its registers in the table. */
export const INSTRUCTION = { Opcode: 0, Result: 4, A: 8, B: 12, C: 16, Bytes: 20 } as const;

/** What a thread notes of a program that it runs, before the table: where it stands. */
export const MACHINE = {
  Program: 0,
  Batch: 4,
  Task: 8,
  /** First key of the tile, keys, and keys in a row. */
  Key: 12,
  Keys: 16,
  KeysOfRow: 20,
  /** Whether the rows of the keys are there. */
  Ready: 24,
  /** Where its sums lie. */
  Sums: 28,
  /** Two rows: a score by itself. */
  Pad: 32,
  Table: 96,
} as const;

/** Keys that an instruction runs over before the next one does: registers stay in the first-level cache. */
export const RUN: number = 192;

/** Bytes of a row: eight lanes. */
const ROW = 32;

/** A program in words. */
export interface EncodedProgram {
  readonly words: Int32Array;
  /** Captured arrays, and the words that want their addresses. */
  readonly arrays: readonly { readonly array: CapturedArray; readonly word: number }[];
  readonly scratchBytes: number;
}

const up = (n: number, to: number): number => Math.ceil(n / to) * to;

function layOut({ registers, rows }: Program, keys: number) {
  const table = MACHINE.Table + (FIXED_REGISTERS.length + registers.length) * REGISTER.Bytes;
  const lanes = up(table, ROW), symbols = FIXED_REGISTERS.length - 4;
  // rows are computed in twos, and one beyond a tile may be read
  const keyBytes = (up(keys, 2) + 2) * ROW, pairBytes = Math.min(RUN, up(keys, 2)) * ROW;
  const keyRows = lanes + (symbols + rows.lane) * ROW;
  const pairRows = keyRows + (1 + rows.key) * keyBytes;
  // one more, for slopes and scores that nobody wants
  const end = pairRows + (1 + rows.pair) * pairBytes;
  return { lanes, symbols, keyBytes, pairBytes, keyRows, pairRows, end: up(end, 64) };
}

/** Encodes a program for tiles of up to `keys` rows. */
export function encode(program: Program, keys: number): EncodedProgram {
  const { sections, registers, slope, fades, summed } = program, place = layOut(program, keys);
  const words: number[] = new Array(HEADER.Bytes / 4).fill(0);
  const arrays: { array: CapturedArray; word: number }[] = [];
  const constants: number[] = [], templatesEnd = HEADER.Bytes + registers.length * TEMPLATE.Bytes;
  for (const register of registers) {
    if ("bits" in register) {
      const offset = up(templatesEnd, ROW) + constants.push(register.bits) * ROW - ROW;
      words.push(BASE.Program, offset, 0, 0);
    } else if ("array" in register) {
      arrays.push({ array: register.array, word: words.length + TEMPLATE.Offset / 4 });
      words.push(BASE.Memory, 0, 0, 0);
    } else if ("sums" in register) {
      const before = summed.slice(0, summed.indexOf(register.sums));
      words.push(BASE.Sums, 4 * before.reduce((sum, { shape }) => sum + count(shape), 0), 0, 0);
    } else {
      const { rows, index } = register;
      const of = {
        lane: [place.lanes + (place.symbols + index) * ROW, 0, 0],
        key: [place.keyRows + (1 + index) * place.keyBytes, ROW, ROW],
        pair: [place.pairRows + (1 + index) * place.pairBytes, ROW, 0],
      };
      words.push(BASE.Scratch, ...of[rows]);
    }
  }
  while (words.length * 4 % ROW) words.push(0);
  for (const bits of constants) words.push(...new Array<number>(ROW / 4).fill(bits));
  const code = (instructions: readonly Instruction[]) => {
    const at = words.length * 4;
    for (const { op, result, operands: [a = 0, b = 0, c = 0] } of instructions) {
      words.push(OPCODES.indexOf(op), ...[result, a, b, c].map((n) => n * REGISTER.Bytes));
    }
    return [at, instructions.length];
  };
  const header = [
    ...[registers.length, ...code(sections.lane), ...code(sections.key), ...code(sections.pair)],
    ...[Number(slope), place.end, place.lanes, place.keyRows, place.pairRows, Number(fades)],
  ];
  header.forEach((word, n) => words[n] = word);
  return { words: Int32Array.from(words), arrays, scratchBytes: place.end };
}
