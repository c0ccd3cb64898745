// How each operand lies in engine memory, derived from the operand table: which part of it a region needs,
// how its rows are padded, how long it stays, and whether it is staged at all.
import { Operand } from "../../../asm/tables.gen.ts";
import type { Plan, PlannedRegion } from "../../plan/wasm/plan.ts";
import { stagedWhole } from "../../plan/wasm/regions.ts";
import { baseOf } from "../../plan/sequences.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import {
  abiName,
  type Follows,
  follows,
  OPERAND_NAMES,
  type OperandName,
  type OperandRow,
  OPERANDS,
} from "../../tensor/operands.ts";
import type { Axes, AxisIndex, MutableAxes, OperandSpec } from "../../tensor/view.ts";

/** First index and number of indices of each axis. */
export interface Box {
  readonly begin: Axes;
  readonly size: Axes;
}

/** How long a staged operand stays: one region, all regions of rows of the same heads, or the whole call. */
export type Stay = "region" | "rows" | "call";

/** A box of an operand in linear memory. */
export interface Staged extends Box {
  readonly name: OperandName;
  readonly pointer: number;
  /** In elements of the staged type. */
  readonly strides: Axes;
  readonly elementBytes: number;
  readonly stay: Stay;
  /** Under which it is kept; empty where it is not. */
  readonly key: string;
  /** What follows the box: the summary of hidden pairs. */
  readonly behind: number;
}

/** A row of the operand table with what follows from it here. */
export interface StagedRow extends OperandRow {
  readonly follows: Follows;
  /** Where kernels find it. */
  readonly operand: Operand;
  /**
   * Staged rows are a multiple of so many elements: kernels read whole vectors of what follows scores, and write
   * whole vectors of the gradients of keys.
   */
  readonly multiple: number;
}

function stagedRow(name: OperandName): StagedRow {
  const row = OPERANDS[name], what = follows(name);
  const gradientOfKeys = what === "keys" && row.gradientOf !== undefined;
  const multiple = what === "scores" ? row.dtype === "bool" ? 16 : 4 : gradientOfKeys ? 4 : 1;
  return { ...row, follows: what, operand: Operand[abiName(name) as "Q"], multiple };
}

/** The operand table, as it is staged. */
export const STAGED: Readonly<Record<OperandName, StagedRow>> = Object.fromEntries(
  OPERAND_NAMES.map((name) => [name, stagedRow(name)]),
) as Record<OperandName, StagedRow>;

/** How long an operand stays in engine memory. */
export function stayOf(
  name: OperandName,
  spec: OperandSpec,
  { kernel, limits }: Pick<Plan, "kernel" | "limits">,
  { documents }: PlannedRegion,
): Stay {
  const { follows, summed, role } = STAGED[name];
  if (follows === "queries" || summed || documents) return "region";
  if (follows === "scores" && role === "result") return "region";
  // chunks of keys change from region to region in forward
  if (follows === "keys") return limits && kernel === "forward" ? "region" : "rows";
  if (follows === "heads") return "call";
  const alone = !limits || spec.size[0] === 1; // what stays to the end must not add up
  return alone && stagedWhole(spec, limits?.whole) ? "call" : "region";
}

/** Boxes of an operand that stays: those with the same key are the same. */
export function boxKey(name: OperandName, spec: OperandSpec, stay: Stay, w: PlannedRegion): string {
  if (stay !== "call") return `${name} ${w.batchBegin} ${w.kvHeadBegin} ${w.keyBegin}`;
  // what has an element for each pair is staged by batch elements
  return STAGED[name].follows === "scores" && spec.size[0] > 1 ? `${name} ${w.batchBegin}` : name;
}

/** Whether kernels may work on a resident operand or result where it lies. */
export function usable(name: OperandName, spec: OperandSpec, { kernel, limits }: Plan): boolean {
  if (!spec.resident) return false;
  const { role, summed, follows, gradientOf } = STAGED[name];
  if (limits && follows === "queries" && gradientOf) return false; // chunks of keys add to it
  if (summed || follows === "scores") return false; // sums have an order, and rows need padding
  if (spec.pages || stagedRaw(name, kernel)) return true;
  // the gradient tiles of keys work on whole groups of four columns
  const whole = follows !== "keys" || role === "input" || spec.size[3] % 4 === 0;
  return (spec.dtype === "f32" || spec.dtype === "i32") && whole;
}

/** Whether kernels read an operand as it is stored instead of as f32. */
export function stagedRaw(name: OperandName, kernel: Plan["kernel"]): boolean {
  return kernel === "decode" && STAGED[name].follows === "keys";
}

/** The part of an operand that a region needs. */
export function boxOf(
  name: OperandName,
  spec: OperandSpec,
  stay: Stay,
  region: PlannedRegion,
  { queryHeads, kvHeads, lengthK, ...problem }: AttentionProblem,
  splits: number,
): Box {
  const { batchBegin, batchEnd, kvHeadBegin, kvHeadEnd, rowBegin, rowEnd } = region;
  const { keyBegin, keyEnd } = region;
  const { follows, summed, axes } = STAGED[name];
  const group = axes[1] === "kvHead" ? 1 : queryHeads / kvHeads;
  const heads = (kvHeadEnd - kvHeadBegin) * group;
  const begin: MutableAxes = [batchBegin, kvHeadBegin * group, rowBegin, 0];
  const size: MutableAxes = [batchEnd - batchBegin, heads, rowEnd - rowBegin, spec.size[3]];
  const base = baseOf(name, region);
  if (region.documents && follows !== "queries") { // their rows, or what is made of them
    const [first, end] = region.documents, starts = problem.documents!, ofRows = follows === "keys";
    begin[2] = ofRows ? starts[first]! : first;
    size[2] = (ofRows ? starts[end]! : end) - begin[2];
    return { begin, size };
  }
  if (base !== undefined) {
    [begin[0], size[0]] = [0, 1];
    begin[2] = follows === "queries" ? base + rowBegin : base;
    if (follows === "keys") [begin[2], size[2]] = [base + keyBegin, keyEnd - keyBegin];
    return { begin, size };
  }
  if (follows === "queries") return { begin, size };
  if (follows === "heads") {
    if (!summed) return { begin: [0, 0, 0, 0], size: [...spec.size] };
    // each split adds up its own, which the host then adds in their order
    [begin[2], size[2]] = [0, splits];
  }
  if (follows === "scores") {
    for (const axis of [0, 1, 2] as const) {
      if (repeats(name, spec, axis)) [begin[axis], size[axis]] = [0, 1];
    }
    [begin[3], size[3]] = stay === "call" ? [0, lengthK] : [keyBegin, keyEnd - keyBegin];
  }
  if (follows === "keys") [begin[2], size[2]] = [keyBegin, keyEnd - keyBegin];
  else if (stay === "call") [begin[2], size[2]] = [0, spec.size[2]];
  return { begin, size };
}

/**
 * Whether kernels see an axis of an operand repeated. Sequences of a region may be computed at the same time, so
 * each has accumulators of its own for sums that they share.
 */
export function repeats(name: OperandName, spec: OperandSpec, axis: AxisIndex): boolean {
  const { follows, summed } = STAGED[name];
  if (spec.size[axis] !== 1 || (summed && axis === 0)) return false;
  if (axis === 0) return true; // one sequence, or all of them packed
  return follows === "scores" || (follows === "heads" && !summed);
}
