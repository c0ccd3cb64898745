// Rotating staged rows: of operands once they lie in linear memory in f32, of their gradients before they leave it.
import type { PlannedRegion } from "../../plan/wasm/plan.ts";
import { baseOf } from "../../plan/sequences.ts";
import { type RowRotation, turningRows } from "../../problem/features/row_rotation.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import { rotationOf } from "../../problem/rotations.ts";
import { OPERAND_NAMES, type OperandName } from "../../tensor/operands.ts";
import type { Heap } from "../memory/arena.ts";
import type { LinearMemory } from "../memory/linear_memory.ts";
import type { Pieces } from "../memory/pieces.ts";
import type { KernelExports } from "../module/module.ts";
import { STAGED, type Staged } from "./staged_operands.ts";

/** Elements that are rotated between two pauses: about a millisecond. */
const PIECE = 2 ** 19;

/** Elements of a table that are brought in at a time where memory is short. */
const TABLE_PIECE = 2 ** 14;

/** Bytes of the room that tables take: all of them, or that of a piece. */
export function tableBytes(problem: AttentionProblem, whole: boolean): number[] {
  const rotations = OPERAND_NAMES.map((name) => rotationOf(problem, name)).filter((one) => !!one);
  const sizes = [...new Set(rotations)].map(({ table }) => Math.max(4, table.byteLength));
  if (whole) return sizes;
  return sizes.length > 0 ? [4 * Math.max(TABLE_PIECE, ...rotations.map(({ dims }) => dims))] : [];
}

/** A table of cosines and sines in linear memory. */
export function placeTable(
  memory: LinearMemory,
  { table }: RowRotation,
  allocate: (bytes: number) => number,
): number {
  const pointer = allocate(Math.max(4, table.byteLength));
  memory.f32(pointer, table.length).set(table);
  return pointer;
}

/** What rotates the rows of one call. */
export class Rotation {
  readonly #memory: LinearMemory;
  readonly #kernels: KernelExports;
  readonly #problem: AttentionProblem;
  readonly #heap: Heap;
  /** Whether tables are brought in whole, for the call. */
  readonly #whole: boolean;
  /** Tables, brought in when they are first needed; an operand and its gradient share theirs. */
  readonly #tables = new Map<RowRotation, number>();

  constructor(
    memory: LinearMemory,
    kernels: KernelExports,
    problem: AttentionProblem,
    heap: Heap,
    whole: boolean,
  ) {
    this.#memory = memory;
    this.#kernels = kernels;
    this.#problem = problem;
    this.#heap = heap;
    this.#whole = whole;
  }

  /** Whether the rows of an operand or gradient turn, so that kernels cannot work on it in place. */
  turns(name: OperandName): boolean {
    return rotationOf(this.#problem, name) !== undefined;
  }

  #table(rotation: RowRotation): number {
    let pointer = this.#tables.get(rotation);
    if (pointer === undefined) {
      pointer = placeTable(this.#memory, rotation, (bytes) => this.#heap.allocate(bytes));
      this.#tables.set(rotation, pointer);
    }
    return pointer;
  }

  /** Rotates the rows of a box in f32, those of a gradient back; does nothing to what does not turn. */
  *apply(box: Staged, region: PlannedRegion): Pieces {
    const rotation = rotationOf(this.#problem, box.name);
    if (!rotation) return;
    const { dims, table } = rotation, { begin, size, strides } = box;
    const rowBegin = begin[2] - (baseOf(box.name, region) ?? 0);
    const piece = this.#whole ? PIECE : Math.max(TABLE_PIECE, dims);
    const place = this.#whole ? this.#table(rotation) : this.#heap.allocate(4 * piece);
    const step = Math.max(1, Math.floor(piece / dims));
    for (let b = 0; b < size[0]; b++) {
      const range = [rowBegin, rowBegin + size[2]] as const;
      const { first, count } = turningRows(rotation, region.batchBegin + b, range);
      for (let r = 0; r < count; r += step) {
        const n = Math.min(step, count - r), from = dims * (first + r);
        if (!this.#whole) {
          this.#memory.f32(place, n * dims).set(table.subarray(from, from + n * dims));
        }
        const at = this.#whole ? place + 4 * from : place;
        yield* this.#rotate(box, b * strides[0] + r * strides[2], n, rotation, at);
      }
    }
    if (!this.#whole) this.#heap.free(place);
  }

  /** Rotates n rows of all heads, from an element of the box on, by a table at `at`. */
  *#rotate(
    { name, pointer, size, strides }: Staged,
    element: number,
    n: number,
    { dims, interleaved }: RowRotation,
    at: number,
  ): Pieces {
    const inverse = STAGED[name].role === "result", pitch = 4 * strides[2];
    for (let h = 0; h < size[1]; h++) {
      const rows = pointer + 4 * (element + h * strides[1]);
      this.#kernels.rotate(rows, pitch, n, dims, at, interleaved, inverse);
      if (n * dims * (h + 1) >= PIECE) yield "work";
    }
  }
}
