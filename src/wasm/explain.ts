// explain() for a plan of the CPU.
import { Kernel } from "../../asm/abi.ts";
import type { ExplainedStep, Explanation } from "../backend/explanation.ts";
import { partialResults, type Plan } from "../plan/wasm/plan.ts";
import { resultNames } from "../plan/results.ts";
import type { AttentionProblem } from "../problem/problem.ts";
import { rotatedInputs, rotationOf } from "../problem/rotations.ts";
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

/** Bytes of the partial results of a region: a row of out or dq, and lse, for each. */
function partialBytes({ kernel, regions }: Plan, problem: AttentionProblem): number {
  const { queryHeads, kvHeads, headDim, valueDim } = problem;
  const rowBytes = ((kernel === "backward" ? headDim : valueDim) + 1) * 4;
  return regions.reduce((most, region) => {
    const heads = (region.kvHeadEnd - region.kvHeadBegin) * (queryHeads / kvHeads);
    const rows = (region.batchEnd - region.batchBegin) * heads * (region.rowEnd - region.rowBegin);
    return Math.max(most, partialResults(region) * rows * rowBytes);
  }, 0);
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

/** Describes a plan. */
export function explainPlan(
  plan: Plan,
  problem: AttentionProblem,
  reason: string,
  scratchBytes: number,
): Explanation {
  const { kernel, tile, threads, splits, regions, cost } = plan, steps = explainSteps(plan);
  return {
    backend: "wasm",
    reason,
    kernel,
    tile,
    threads,
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
    memoryBytes: scratchBytes * threads + partialBytes(plan, problem),
    matrixBytes: cost.pairs * 4,
  };
}
