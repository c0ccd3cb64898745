// Programs of features: functions that users wrote, as the kernels' interpreter reads them. They lie in memory as long
// as their call, with the arrays that they captured; each thread has its registers in its scratch.
import { PanelBlock } from "../../../asm/abi.ts";
import { Program } from "../../../asm/tables.gen.ts";
import { callName } from "../../backend/backend.ts";
import type { EncodedProgram } from "../../expression/encoding.ts";
import { capturedValues } from "../../expression/held.ts";
import type { CapturedArray } from "../../expression/node.ts";
import type { Plan } from "../../plan/wasm/plan.ts";
import { feature } from "../../problem/features/table.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import { Complaint } from "../../tensor/errors.ts";
import { abiName } from "../../tensor/operands.ts";
import type { Room } from "./task_record.ts";

/** A program, and the word of a task that wants its address. */
interface ProgramUse {
  readonly word: number;
  readonly program: EncodedProgram;
  /** What it reads of a captured array. Throws where that is not there any more. */
  valuesOf(array: CapturedArray): Float32Array | Int32Array;
}

/** Keys of a tile of decode by quads, two in a row: `TOLD` of asm/kernels/decode.ts. */
const DECODE_KEYS = 384;

/** The programs of a call; empty for most. */
export function programsOf(problem: AttentionProblem, { kernel, tile }: Plan): ProgramUse[] {
  const quads = kernel === "decode" && tile.keys !== PanelBlock.Keys;
  const rows = quads ? Math.min(DECODE_KEYS, tile.keys) / 2 : tile.keys;
  const wanted = {
    slope: problem.pass === "backward",
    holes: problem.features.some(({ name }) => feature(name).hides),
  };
  const complaint = new Complaint(callName(problem));
  return problem.features.flatMap(({ name, params }) => {
    const traced = feature(name).traced?.(params);
    if (!traced) return [];
    const use = (name: string, program: EncodedProgram): ProgramUse => ({
      word: Program[abiName(name) as keyof typeof Program] / 4,
      program,
      valuesOf: (array) => capturedValues(array, traced.held, complaint),
    });
    const gradient = problem.captured > 0 && traced.gradientProgram?.(rows);
    const programs = [use(name, traced.program(wanted, rows))];
    return gradient ? [...programs, use(`${name}Gradient`, gradient)] : programs;
  });
}

/** Bytes of scratch that they need of each thread. */
export function programScratch(programs: readonly ProgramUse[]): number {
  // a combined row may be redone: its kernel aligns the scratch by itself
  return programs.reduce((bytes, { program }) => bytes + program.scratchBytes, 64);
}

/** Kernels read whole vectors of arrays, from either end. */
const SLACK = 16;

/** Bytes of the blocks that programs take, arrays among them. */
export function programBytes(programs: readonly ProgramUse[]): number[] {
  const read = new Set(
    programs.flatMap(({ program, valuesOf }) => program.arrays.map(({ array }) => valuesOf(array))),
  );
  return [
    ...programs.map(({ program }) => program.words.length * 4),
    ...[...read].map(({ length }) => length * 4 + 2 * SLACK),
  ];
}

/** Brings programs in; gives the words of tasks that say where they lie. */
export function writePrograms(
  { memory, allocate }: Room,
  programs: readonly ProgramUse[],
): [word: number, address: number][] {
  const places = new Map<ArrayBufferView, number>();
  const place = (values: Float32Array | Int32Array): number => {
    const known = places.get(values);
    if (known !== undefined) return known;
    const { buffer, byteOffset, length } = values, pointer = allocate(length * 4 + 2 * SLACK);
    memory.u32(pointer + SLACK, length).set(new Uint32Array(buffer, byteOffset, length));
    places.set(values, pointer + SLACK);
    return pointer + SLACK;
  };
  return programs.map(({ word, program: { words, arrays }, valuesOf }) => {
    const address = allocate(words.length * 4), filled = words.slice();
    for (const { array, word } of arrays) filled[word] = place(valuesOf(array));
    memory.u32(address, words.length).set(filled);
    return [word, address];
  });
}
