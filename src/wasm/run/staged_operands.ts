// How each operand lies in engine memory, derived from the operand table: which part of it a region needs,
// how its rows are padded, how long it stays, and whether it is staged at all.
import type { Plan, PlannedRegion } from "../../plan/wasm/plan.ts";
import { stagedWhole } from "../../plan/wasm/regions.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import { follows, type OperandName, OPERANDS } from "../../tensor/operands.ts";
import type { OperandSpec } from "../../tensor/view.ts";

/** A number for each of [batch, head, row, column]. */
export type Four = [number, number, number, number];

/** First index and number of indices of each axis. */
export interface Box {
  readonly begin: Four;
  readonly size: Four;
}

/** How long a staged operand stays: one region, all regions of rows of the same heads, or the whole call. */
export type Stay = "region" | "rows" | "call";

/** How long an operand stays in engine memory. */
export function stayOf(name: OperandName, spec: OperandSpec): Stay {
  switch (follows(name)) {
    case "queries":
      return "region";
    case "keys":
      return "rows";
    case "scores":
      return !OPERANDS[name].summed && stagedWhole(spec) ? "call" : "region";
    case "heads":
      return OPERANDS[name].summed ? "region" : "call";
  }
}

/** Two boxes of an operand with the same key are the same. */
export function boxKey(name: OperandName, spec: OperandSpec, region: PlannedRegion): string {
  if (stayOf(name, spec) !== "call") return `${name} ${region.batchBegin} ${region.kvHeadBegin}`;
  return followsBatch(name, spec) ? `${name} ${region.batchBegin}` : name;
}

/** What stays for the call is staged by batch elements where it has an element for each pair. */
function followsBatch(name: OperandName, spec: OperandSpec): boolean {
  return follows(name) === "scores" && spec.size[0] > 1;
}

/** Whether kernels may work on a resident operand or result where it lies. */
export function usable(name: OperandName, spec: OperandSpec, kernel: Plan["kernel"]): boolean {
  const { role, summed } = OPERANDS[name], what = follows(name);
  if (!spec.resident) return false;
  if (summed || what === "scores") return false; // sums have an order, and rows need padding
  if (what !== "keys") return spec.dtype === "f32";
  if (role === "input") return kernel === "decode" || spec.dtype === "f32"; // decode reads them as stored
  // the gradient tiles of keys work on whole groups of four columns
  return spec.dtype === "f32" && spec.size[3] % 4 === 0;
}

/** Whether an operand is staged as it is stored instead of as f32. */
export function stagedRaw(name: OperandName, kernel: Plan["kernel"]): boolean {
  return kernel === "decode" && follows(name) === "keys";
}

/** The part of an operand that a region needs. */
export function boxOf(
  name: OperandName,
  spec: OperandSpec,
  region: PlannedRegion,
  problem: AttentionProblem,
  splits: number,
): Box {
  const group = problem.queryHeads / problem.kvHeads,
    what = follows(name),
    { summed } = OPERANDS[name];
  const { batchBegin, batchEnd, kvHeadBegin, kvHeadEnd, rowBegin, rowEnd } = region;
  const heads = what === "keys" ? 1 : group;
  const box: Box = {
    begin: [batchBegin, kvHeadBegin * heads, rowBegin, 0],
    size: [
      batchEnd - batchBegin,
      (kvHeadEnd - kvHeadBegin) * heads,
      rowEnd - rowBegin,
      spec.size[3],
    ],
  };
  const whole = (axis: number, size: number) => [box.begin[axis], box.size[axis]] = [0, size];
  if (what === "keys") whole(2, spec.size[2]);
  if (what === "scores") {
    for (const axis of [0, 1, 2]) if (spec.size[axis] === 1) whole(axis, 1);
    if (stayOf(name, spec) === "call") whole(2, spec.size[2]);
    whole(3, problem.lengthK);
  }
  if (what === "heads") {
    if (summed) whole(2, splits); // each split adds up its own; the host adds them in their order
    else spec.size.forEach((size, axis) => whole(axis, size));
  }
  return box;
}

/** Axes along which kernels see an operand repeated. */
export function repeats(name: OperandName, spec: OperandSpec, axis: number): boolean {
  const broadcast = follows(name) === "scores" ||
    (follows(name) === "heads" && !OPERANDS[name].summed);
  return broadcast && spec.size[axis] === 1;
}

/** Elements from one staged row to the next: kernels read whole vectors of some, and write whole vectors of some. */
export function rowPitch(name: OperandName, columns: number): number {
  const { role, dtype } = OPERANDS[name], what = follows(name);
  const multiple = what === "scores"
    ? dtype === "bool" ? 16 : 4
    : what === "keys" && role === "result"
    ? 4
    : 1;
  return Math.ceil(columns / multiple) * multiple;
}
