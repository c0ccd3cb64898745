// Rotating staged rows: of operands once they lie in linear memory in f32, of their gradients before they leave it.
import type { PlannedRegion } from "../../plan/wasm/plan.ts";
import { baseOf } from "../../plan/sequences.ts";
import { type RowRotation, turningRows } from "../../problem/features/row_rotation.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import { rotationOf } from "../../problem/rotations.ts";
import type { OperandName } from "../../tensor/operands.ts";
import type { LinearMemory } from "../memory/linear_memory.ts";
import type { Pieces } from "../memory/pieces.ts";
import type { KernelExports } from "../module/module.ts";
import { STAGED, type Staged } from "./staged_operands.ts";

/** Elements that are rotated between two pauses: about a millisecond. */
const PIECE = 2 ** 19;

/** Memory that lives as long as the call. */
type Allocate = (bytes: number) => number;

/** A table of cosines and sines in linear memory. */
export function placeTable(
  memory: LinearMemory,
  { table }: RowRotation,
  allocate: Allocate,
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
  readonly #allocate: Allocate;
  /** Tables, brought in when they are first needed; an operand and its gradient share theirs. */
  readonly #tables = new Map<RowRotation, number>();

  constructor(
    memory: LinearMemory,
    kernels: KernelExports,
    problem: AttentionProblem,
    allocate: Allocate,
  ) {
    this.#memory = memory;
    this.#kernels = kernels;
    this.#problem = problem;
    this.#allocate = allocate;
  }

  /** Whether the rows of an operand or gradient turn, so that kernels cannot work on it in place. */
  turns(name: OperandName): boolean {
    return rotationOf(this.#problem, name) !== undefined;
  }

  #table(rotation: RowRotation): number {
    let pointer = this.#tables.get(rotation);
    if (pointer === undefined) {
      pointer = placeTable(this.#memory, rotation, this.#allocate);
      this.#tables.set(rotation, pointer);
    }
    return pointer;
  }

  /** Rotates the rows of a box in f32, those of a gradient back; does nothing to what does not turn. */
  *apply(box: Staged, region: PlannedRegion): Pieces {
    const rotation = rotationOf(this.#problem, box.name);
    if (!rotation) return;
    const { dims, interleaved } = rotation, { pointer, begin, size, strides } = box;
    const table = this.#table(rotation), inverse = STAGED[box.name].role === "result";
    const rowBegin = begin[2] - (baseOf(box.name, region) ?? 0);
    const step = Math.max(1, Math.floor(PIECE / dims));
    for (let b = 0; b < size[0]; b++) {
      const range = [rowBegin, rowBegin + size[2]] as const;
      const { first, count } = turningRows(rotation, region.batchBegin + b, range);
      for (let h = 0; h < size[1]; h++) {
        const rows = pointer + 4 * (b * strides[0] + h * strides[1]), pitch = 4 * strides[2];
        for (let r = 0; r < count; r += step) {
          const n = Math.min(step, count - r), at = table + 4 * dims * (first + r);
          this.#kernels.rotate(rows + r * pitch, pitch, n, dims, at, interleaved, inverse);
          if (n === step) yield "work";
        }
      }
    }
  }
}
