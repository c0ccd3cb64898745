// How much memory a plan takes at most, found without any: for each region what staging.ts would allocate for it, box by
// box. Where memory is short a call has just that much, so nothing may be forgotten here.
import { Item, Kernel, Sequence } from "../../../asm/abi.ts";
import { partialResults, type Plan, type PlannedRegion } from "../../plan/wasm/plan.ts";
import { plannedResults } from "../../plan/results.ts";
import type { AttentionProblem, Views } from "../../problem/problem.ts";
import { rotationOf } from "../../problem/rotations.ts";
import { BYTES, type DType } from "../../tensor/dtype.ts";
import type { OperandName } from "../../tensor/operands.ts";
import { count, extentOf } from "../../tensor/shape.ts";
import type { OperandSpec } from "../../tensor/view.ts";
import { blockBytes } from "../memory/arena.ts";
import { boxBytes, isWidened, layoutOf, SLACK } from "./boxes.ts";
import { HiddenBlocks } from "./hidden_blocks.ts";
import { partialBytes } from "./partial_rows.ts";
import { programBytes, programsOf } from "./programs.ts";
import { SUM_PIECE } from "./results_out.ts";
import { tableBytes } from "./rotation.ts";
import { STAGED, usable } from "./staged_operands.ts";
import { TASK_BYTES } from "./task_record.ts";

/** An operand or result as it is planned. */
export type Planned = Pick<OperandSpec, "size" | "dtype" | "resident" | "pages"> & {
  readonly name: OperandName;
  /** Whether the caller has room for it. */
  readonly given?: boolean;
};

/** Results that a call is to make, or that the caller has room for. */
export function plannedAs(specs: readonly Planned[], into: Views | undefined): readonly Planned[] {
  if (!into) return specs;
  return specs.map((spec) => {
    const given = into[spec.name];
    return given ? { ...spec, resident: given.resident, given: true } : spec;
  });
}

/** Bytes of blocks. */
const blocks = (sizes: readonly number[]): number =>
  sizes.reduce((sum, bytes) => sum + (bytes > 0 ? blockBytes(bytes) : 0), 0);

/** Operands and results of a problem; `results`: where they are known better than the problem knows them. */
function operandsOf(problem: AttentionProblem, results: readonly Planned[]): Planned[] {
  const names = Object.keys(problem.operands) as OperandName[];
  return [...names.map((name) => ({ ...problem.operands[name]!, name })), ...results];
}

/** What a region takes: boxes that stay to the end by their key, and everything else, the largest of what comes and goes. */
function regionBytes(
  problem: AttentionProblem,
  plan: Plan,
  region: PlannedRegion,
  operands: readonly Planned[],
  call: Map<string, number>,
): number {
  const { limits, kernel } = plan, { parts, lastKeys } = region;
  let bytes = 0, passing = limits ? Math.max(0, ...tableBytes(problem, false)) : 0;
  for (const operand of operands) {
    const { name } = operand, result = STAGED[name].role === "result";
    if (result && parts > 1 && !lastKeys) continue;
    if (!rotationOf(problem, name) && usable(name, { ...operand, strides: [0, 0, 0, 1] }, plan)) {
      continue;
    }
    const spec = { ...operand, strides: [0, 0, 0, 1] } as const;
    const layout = layoutOf(name, spec, region, problem, plan);
    const size = blockBytes(boxBytes(layout) + layout.summary);
    if (layout.stay === "call") call.set(layout.key, size);
    else bytes += size;
    const narrow = result
      ? operand.dtype === "f16" || operand.dtype === "bf16"
      : isWidened(name, operand, plan);
    const box = Math.max(layout.extent, extentOf(layout.size, layout.strides));
    if (narrow) passing = Math.max(passing, box * 2 + SLACK);
  }
  const own = kernel === "forward" ? 0 : partialResults(region);
  const merges = parts > 1 && lastKeys &&
    region.steps.some((step) => step.kernel === Kernel.Combine);
  return bytes + blocks([
    passing,
    ...partialBytes(problem, plan, region, own),
    ...(parts > 1 ? partialBytes(problem, plan, region, parts) : []),
    TASK_BYTES,
    merges ? TASK_BYTES : 0,
    (region.batchEnd - region.batchBegin) * Sequence.Bytes,
    ...region.steps.map(({ items }) => items.length * Item.Bytes),
  ]);
}

/** What makes two regions take the same. */
function sizeOf(region: PlannedRegion): string {
  const { documents, batchBegin, batchEnd, kvHeadBegin, kvHeadEnd, parts, lastKeys } = region;
  return [
    ...[batchEnd - batchBegin, kvHeadEnd - kvHeadBegin, region.rowEnd - region.rowBegin],
    ...[region.keyEnd - region.keyBegin, parts, lastKeys, documents, batchBegin],
  ].join(" ");
}

/** Bytes beside operands that stay to the end. */
function sharedBytes(problem: AttentionProblem, plan: Plan): number {
  const { operands, documents } = problem, { numbers } = operands.k?.pages ?? {};
  return blocks([
    ...programBytes(programsOf(problem, plan)),
    numbers ? 4 * numbers.length + 4 : 0,
    documents ? 4 * documents.length : 0,
    ...(plan.limits ? [] : tableBytes(problem, true)),
  ]);
}

/**
 * Bytes that a plan takes at most beside scratch of threads and resident tensors; `open`: regions that may be in memory at
 * the same time.
 */
export function plannedBytes(
  problem: AttentionProblem,
  plan: Plan,
  open: number,
  results: readonly Planned[] = plannedResults(problem),
): number {
  const operands = operandsOf(problem, results), hidden = new HiddenBlocks(problem, plan);
  const call = new Map<string, number>(), known = new Set<string>();
  let most = 0, whole = 0;
  for (const region of plan.regions) {
    const size = sizeOf(region);
    if (known.has(size)) continue;
    known.add(size);
    const blocks = hidden.bytes(region);
    whole = Math.max(whole, blocks.call);
    const own = blocks.region > 0 ? blockBytes(blocks.region) : 0;
    most = Math.max(most, regionBytes(problem, plan, region, operands, call) + own);
  }
  const kept = [...call.values()].reduce((sum, bytes) => sum + bytes, 0);
  const sums = operands.some(({ name, dtype }) =>
    STAGED[name].summed && (dtype === "f16" || dtype === "bf16")
  );
  const last = sums ? blockBytes(SUM_PIECE * 4 + SLACK) + blockBytes(SUM_PIECE * 2 + SLACK) : 0;
  const atOnce = Math.min(open, plan.regions.length);
  return kept + whole + sharedBytes(problem, plan) + Math.max(last, atOnce * most);
}

/** Bytes of the results that stay in memory. */
export function residentBytes(
  problem: AttentionProblem,
  results: readonly Planned[] = plannedResults(problem),
): number {
  const made = results.filter(({ resident, given }) => resident && !given);
  return blocks(made.map(({ size, dtype }) => count(size) * BYTES[dtype as DType]));
}
