// explain() for a plan of the CPU.
import type { Explanation } from "../backend/explanation.ts";
import type { Plan } from "../plan/wasm/plan.ts";
import type { AttentionProblem } from "../problem/problem.ts";

/** Bytes of the partial results of a window: a row of out or dq, and lse, for each part. */
function partialBytes({ kernel, windows }: Plan, problem: AttentionProblem): number {
  const { queryHeads, kvHeads, headDim, valueDim } = problem;
  const rowBytes = ((kernel === "backward" ? headDim : valueDim) + 1) * 4;
  return windows.reduce((most, w) => {
    const parts = 1 + w.items.reduce((last, { slot }) => Math.max(last, slot), -1);
    const heads = (w.kvHeadEnd - w.kvHeadBegin) * (queryHeads / kvHeads);
    const rows = (w.batchEnd - w.batchBegin) * heads * (w.rowEnd - w.rowBegin);
    return Math.max(most, parts * rows * rowBytes);
  }, 0);
}

/** Tells a plan. */
export function explainPlan(
  plan: Plan,
  problem: AttentionProblem,
  reason: string,
  scratchBytes: number,
): Explanation {
  const { kernel, tile, threads, parts, windows, cost } = plan;
  const items = windows.reduce((sum, window) => sum + window.items.length, 0);
  const joins = windows.reduce((sum, window) => sum + window.joins.length, 0);
  const join = kernel === "backward" ? "sum of dq" : "merge";
  return {
    backend: "wasm",
    reason,
    kernel,
    tile,
    threads,
    parts,
    steps: [{ kernel, items }, ...(joins > 0 ? [{ kernel: join, items: joins } as const] : [])],
    items,
    windows: windows.length,
    cost,
    scratchBytes,
    memoryBytes: scratchBytes * threads + partialBytes(plan, problem),
    matrixBytes: cost.pairs * 4,
  };
}
