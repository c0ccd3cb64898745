// explain() for a plan of the CPU.
import { Kernel } from "../../asm/abi.ts";
import type { ExplainedStep, Explanation } from "../backend/explanation.ts";
import { partialResults, type Plan } from "../plan/wasm/plan.ts";
import { HEAP_BYTE } from "./memory/linear_memory.ts";
import type { WorkersVerdict } from "../plan/workers.ts";
import { resultNames } from "../plan/results.ts";
import type { AttentionProblem } from "../problem/problem.ts";
import { rotatedInputs, rotationOf } from "../problem/rotations.ts";
import { partialBytes } from "./run/partial_rows.ts";
import type { FittedPlan } from "./run/fit.ts";
import { follows, type OperandName } from "../tensor/operands.ts";

/** Kernels as explanations name them. */
const NAMES: Readonly<Record<Kernel, ExplainedStep["kernel"]>> = {
  [Kernel.Forward]: "forward",
  [Kernel.Backward]: "backward",
  [Kernel.Decode]: "decode",
  [Kernel.Combine]: "combine",
  [Kernel.ReduceDq]: "reduce dq",
  [Kernel.Scores]: "inside",
  [Kernel.Probabilities]: "inside",
  [Kernel.TopKeys]: "inside",
  [Kernel.ColumnSums]: "inside",
  [Kernel.MaxSim]: "inside",
};

/** Bytes of the partial results of a region: a row of out or dq, lse and statistics, for each. */
function mostPartial(plan: Plan, problem: AttentionProblem): number {
  return plan.regions.reduce((most, region) => {
    const parts = region.parts > 1 ? region.parts : partialResults(region);
    const sizes = partialBytes(problem, plan, region, parts);
    return Math.max(most, sizes.reduce((sum, bytes) => sum + bytes, 0));
  }, 0);
}

/** Ranges of keys of a head that are in memory one after the other. */
function keyChunks({ regions }: Plan): number {
  return new Set(regions.map(({ keyBegin }) => keyBegin)).size;
}

/** Operands, or gradients, whose rows turn: keys once for all regions of rows of the same heads. */
function explainRotations(
  names: readonly OperandName[],
  problem: AttentionProblem,
  { regions }: Plan,
): ExplainedStep[] {
  const heads = regions.filter(({ rowBegin }) => rowBegin === 0).length;
  return names.filter((name) => rotationOf(problem, name)).map((name) => ({
    kernel: `rotate ${name}`,
    items: follows(name) === "keys" ? heads : regions.length,
  }));
}

/** What runs, in the order of the steps of a region; the same kernel in several regions is one step. */
function explainSteps({ kernel, regions }: Plan): ExplainedStep[] {
  const items = new Map<ExplainedStep["kernel"], number>([[kernel, 0]]);
  for (const step of regions.flatMap(({ steps }) => steps)) {
    const name = NAMES[step.kernel];
    items.set(name, (items.get(name) ?? 0) + step.items.length);
  }
  return [...items].map(([kernel, items]) => ({ kernel, items }));
}

/** What an engine with workers says of a call. `used`: workers of its plan. */
export function workersReason({ workers, ms, why }: WorkersVerdict, used: number): string {
  if (used > 0) return `${used} workers share it, about ${ms.toFixed(1)} ms`;
  return `one engine runs it: ${
    workers > 0 ? "memoryBudget has no room for the memories of its workers" : why
  }`;
}

/** Describes a plan. `budget`: bytes that the engine's memory may have. */
export function explainPlan(
  { plan, peakBytes }: Pick<FittedPlan, "plan" | "peakBytes">,
  problem: AttentionProblem,
  { reason, scratchBytes, budget }: { reason: string; scratchBytes: number; budget: number },
): Explanation {
  const { kernel, tile, threads, workers, splits, regions, cost, dots } = plan,
    steps = explainSteps(plan);
  return {
    backend: "wasm",
    reason,
    kernel,
    precision: problem.precision,
    ...dots && { dots },
    tile,
    threads,
    ...workers > 0 && { workers },
    splits,
    steps: [
      ...explainRotations(rotatedInputs(problem), problem, plan),
      ...steps,
      ...explainRotations(resultNames(problem), problem, plan),
    ],
    items: steps[0]!.items,
    regions: regions.length,
    cost,
    scratchBytes,
    memoryBytes: scratchBytes * threads + mostPartial(plan, problem),
    memoryBudget: budget,
    peakBytes: peakBytes + HEAP_BYTE,
    keyChunks: Math.max(1, keyChunks(plan)),
    merges: regions.filter(({ moreKeys }) => moreKeys).length,
    matrixBytes: cost.pairs * 4,
  };
}
