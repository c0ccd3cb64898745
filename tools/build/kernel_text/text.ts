// The kernels as text: what belongs to opcodes, locals, addresses, ... each in a stream of its own, since what compresses
// a download finds more repetition in each than in all of them mixed (docs/decisions/049-kernels-as-streams.md).
// `asm/unpack.ts` and `src/wasm/module/unpack_anywhere.ts` read it.
import { type Code, FIRST_RAW, Follows, type Instruction, readCode } from "./instructions.ts";
import { SIZE_BYTES, type Step, stepsOf } from "./repeats.ts";
import type { PackedKernels } from "../../../src/wasm/module/unpack.ts";
import { BASE, BIT, ESCAPE, STREAM } from "../../../src/wasm/module/unpack_anywhere.ts";

const { OPCODES, LOCALS, COPIES, SYMBOLS, HEAD, TAIL } = STREAM, { ENDS, RAW, COPY } = BIT;
/** Those of `Follows`, and those beside them. */
const STREAMS = 14;
/** Characters by value: from % to ~, with others in place of < and \\ and `. The last is the escape. */
const ALPHABET: string = Array.from({ length: 90 }, (_, i) => String.fromCharCode(i + 37)).join("")
  .replace("<", " ").replace("\\", "!").replace("`", "#");

/** A byte as one character, or three: what is too large for one follows an escape. Quotes and what ends texts are left out. */
function character(byte: number): string {
  if (byte < ESCAPE) return ALPHABET[byte]!;
  return ALPHABET[ESCAPE]! + ALPHABET[byte >> 4]! + ALPHABET[byte & 15]!;
}

function digits(value: number, n: number): number[] {
  return n === 0 ? [] : [...digits(Math.floor(value / BASE), n - 1), value % BASE];
}

/** The same module with two bytes for the size of each function and three for that of the code, minimal or not. */
export function sized(binary: Uint8Array): Uint8Array<ArrayBuffer> {
  const { head, tail, functions } = readCode(binary);
  const padded = (value: number, bytes: number): number[] =>
    bytes === 1 ? [value] : [value & 127 | 128, ...padded(value >> 7, bytes - 1)];
  const code = functions.flatMap(({ locals, body }) => {
    const bytes = [...locals, ...body.flatMap(({ opcode, operands }) => [...opcode, ...operands])];
    if (bytes.length >= 1 << 7 * SIZE_BYTES) throw new Error("a function is too large");
    return [...padded(bytes.length, SIZE_BYTES), ...bytes];
  });
  const count = padded(functions.length, 2);
  return Uint8Array.from([...head, 10, ...padded(code.length + 2, 3), ...count, ...code, ...tail]);
}

function symbolOf(step: Step): string {
  if (!("instruction" in step)) return `;${Follows.nothing};0;${COPY}`;
  const { opcode, follows, operands, last } = step.instruction;
  const raw = follows >= FIRST_RAW, n = raw ? operands.length : numbersIn(operands);
  return `${opcode};${follows};${n};${(last ? ENDS : 0) | (raw ? RAW : 0)}`;
}

function numbersIn(operands: Instruction["operands"]): number {
  return operands.filter((byte) => byte < 128).length;
}

/** Symbols from the most frequent on, so that those of one character are the most. */
function rankOf(steps: readonly Step[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const symbol of steps.map(symbolOf)) counts.set(symbol, (counts.get(symbol) ?? 0) + 1);
  const ordered = [...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
  return new Map(ordered.map(([symbol], i) => [symbol, i]));
}

/** Text of a binary that `sized` made. */
export function kernelText(binary: Uint8Array): PackedKernels {
  const code: Code = readCode(binary), functions = stepsOf(code.functions);
  const ranks = rankOf(functions.flat());
  if (ranks.size > 256) throw new Error(`${ranks.size} symbols do not fit a byte`);
  const streams = Array.from({ length: STREAMS }, (): number[] => []);
  for (const [i, steps] of functions.entries()) {
    streams[LOCALS]!.push(...code.functions[i]!.locals);
    for (const step of steps) {
      streams[OPCODES]!.push(ranks.get(symbolOf(step))!);
      if ("instruction" in step) {
        const { follows, operands } = step.instruction;
        if (follows !== Follows.nothing) streams[follows]!.push(...operands);
      } else streams[COPIES]!.push(...digits(step.distance, 3), ...digits(step.bytes, 2));
    }
  }
  for (const symbol of ranks.keys()) {
    const [opcode, ...rest] = symbol.split(";") as [string, ...string[]];
    const bytes = opcode === "" ? [] : opcode.split(",").map(Number);
    streams[SYMBOLS]!.push(bytes.length, ...bytes, ...rest.map(Number));
  }
  streams[SYMBOLS]!.unshift(ranks.size);
  streams[HEAD]!.push(...code.head);
  streams[TAIL]!.push(...code.tail);
  const texts = streams.map((bytes) => bytes.map(character).join(""));
  return {
    size: binary.length,
    functions: functions.length,
    streams: texts.map(({ length }) => length),
    text: texts.join(""),
  };
}
