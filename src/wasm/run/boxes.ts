// Boxes of operands in linear memory: how they lie there, and as one side of a copy.
import type { Plan, PlannedRegion } from "../../plan/wasm/plan.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import type { Side } from "../../tensor/copy.ts";
import type { OperandName } from "../../tensor/operands.ts";
import type { MutableAxes, OperandSpec } from "../../tensor/view.ts";
import type { LinearMemory } from "../memory/linear_memory.ts";
import { blocksBytes } from "./blocks.ts";
import {
  type Box,
  boxKey,
  boxOf,
  STAGED,
  type Staged,
  stagedRaw,
  stayOf,
} from "./staged_operands.ts";

/** A box without its place. */
export interface BoxLayout extends Omit<Staged, "pointer" | "behind"> {
  /** Elements from the first to the last, and those between. */
  readonly extent: number;
  /** Bytes of what lies behind the box. */
  readonly summary: number;
}

/** Kernels read whole vectors of mask rows and of 16-bit rows. */
export const SLACK: number = 16;

/** Whether hidden pairs of an operand are summed up by blocks. Decode looks at the pairs themselves. */
export function hasBlocks(name: OperandName, { kernel }: Plan): boolean {
  return STAGED[name].dtype === "bool" && kernel !== "decode";
}

/** Whether an operand is widened to f32 when it is brought in. */
export function isWidened(
  name: OperandName,
  { dtype }: Pick<OperandSpec, "dtype">,
  plan: Plan,
): boolean {
  return (dtype === "f16" || dtype === "bf16") && !stagedRaw(name, plan.kernel);
}

/** How an operand or result lies in memory: axes in the order of the source, rows at the pitch that kernels want. */
export function layoutOf(
  name: OperandName,
  spec: OperandSpec,
  region: PlannedRegion,
  problem: AttentionProblem,
  plan: Plan,
): BoxLayout {
  const { multiple, role } = STAGED[name], stay = stayOf(name, spec, plan, region);
  const { begin, size }: Box = boxOf(name, spec, stay, region, problem, plan.splits);
  const strides: MutableAxes = [0, 0, 0, 1];
  let extent = Math.ceil(size[3] / multiple) * multiple;
  const outer: (0 | 1 | 2)[] = [0, 1, 2];
  for (const axis of outer.sort((a, b) => spec.strides[a] - spec.strides[b] || b - a)) {
    strides[axis] = extent;
    extent *= size[axis];
  }
  const raw = role === "input" && stagedRaw(name, plan.kernel);
  const narrow = raw && (spec.dtype === "f16" || spec.dtype === "bf16");
  const elementBytes = spec.dtype === "bool" ? 1 : narrow ? 2 : 4;
  const key = stay === "region" ? "" : boxKey(name, spec, stay, region);
  const summary = hasBlocks(name, plan) ? blocksBytes(size) : 0;
  return { name, begin, size, strides, elementBytes, stay, key, extent, summary };
}

/** Bytes of a box. */
export function boxBytes({ extent, elementBytes }: BoxLayout): number {
  return extent * elementBytes + SLACK;
}

/** A box as one side of a copy; element 0 is the first of the box. */
export function sideOf(
  memory: LinearMemory,
  { name, pointer, strides, elementBytes }: Omit<Staged, "behind" | "stay" | "key" | "begin">,
): Side {
  const length = Math.floor((memory.memory.buffer.byteLength - pointer) / elementBytes);
  const array = STAGED[name].dtype === "i32"
    ? memory.i32(pointer, length)
    : elementBytes === 4
    ? memory.f32(pointer, length)
    : elementBytes === 2
    ? memory.u16(pointer, length)
    : memory.u8(pointer, length);
  return { array, offset: 0, strides };
}
