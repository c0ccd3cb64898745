// explain() for a GPU plan.
import type { ExplainedStep, Explanation } from "../backend/explanation.ts";
import type { GpuPlan } from "../plan/webgpu/plan.ts";
import type { AttentionProblem } from "../problem/problem.ts";
import { tileClass, TUNED_FLOPS, type TunedTarget } from "../plan/webgpu/tiles.ts";
import type { WebGpuTarget } from "../plan/target.ts";

/** Bytes beyond the tensors: partial results, row statistics, work items. */
function scratchBytes(plan: GpuPlan, { valueDim }: AttentionProblem): number {
  return plan.regions.reduce((most, r) => {
    const rows = (r.batchEnd - r.batchBegin) * (r.kvHeadEnd - r.kvHeadBegin) *
      (r.groupEnd - r.groupBegin) * (r.rowEnd - r.rowBegin);
    const splits = r.splits > 1 ? r.splits * rows * (valueDim + 1) * 4 : 0;
    const stats = plan.kernel === "backward" ? rows * (plan.dq?.tile.halves ? 32 : 16) : 0;
    return Math.max(most, splits + stats + (r.rowItems.length + r.keyItems.length) * 32);
  }, 0);
}

/** The steps of all regions, those of one kernel together, in the order in which they first run. */
function explainSteps({ regions, last }: GpuPlan): ExplainedStep[] {
  const items = new Map<string, number>();
  for (const step of [...regions.flatMap(({ steps }) => steps), ...last]) {
    const kernel = step.of ? `${step.kernel} ${step.of}` : step.kernel;
    items.set(kernel, (items.get(kernel) ?? 0) + step.items);
  }
  return [...items].map(([kernel, items]) => ({ kernel, items }) as ExplainedStep);
}

/** Whether a tile of the call was found by trying. */
function isTuned(
  problem: AttentionProblem,
  kernel: GpuPlan["kernel"],
  flops: number,
  target: TunedTarget,
): boolean {
  const names = kernel === "forward" ? ["forward"] as const : ["dq", "dkv"] as const;
  return (kernel === "forward" || kernel === "backward") && flops >= TUNED_FLOPS &&
    names.some((name) => target.tiles?.[tileClass(name, problem)] !== undefined);
}

/** Describes a plan. `budget`: bytes that the engine's buffers may have. */
export function explainGpu(
  plan: GpuPlan,
  problem: AttentionProblem,
  target: WebGpuTarget,
  { reason, peakBytes, budget }: { reason: string; peakBytes: number; budget: number },
): Explanation {
  const { kernel, regions, cost, forward, decode, dq } = plan, chosen = forward ?? dq;
  const items = regions.reduce((sum, r) => sum + r.rowItems.length + r.keyItems.length, 0);
  return {
    backend: "webgpu",
    reason,
    adapter: target.adapter,
    kernel,
    precision: problem.precision,
    tile: chosen
      ? { rows: chosen.rows, keys: chosen.columns }
      : { rows: decode?.rows ?? 0, keys: 0 },
    ...isTuned(problem, kernel, cost.flops, target) && { tuned: true },
    threads: chosen?.threads ?? decode?.threads ?? 0,
    splits: Math.max(1, ...regions.map(({ splits }) => splits)),
    steps: explainSteps(plan),
    items,
    regions: regions.length,
    cost,
    scratchBytes: chosen?.bytes ?? 0,
    memoryBytes: scratchBytes(plan, problem),
    memoryBudget: budget,
    peakBytes,
    keyChunks: Math.max(1, new Set(regions.map(({ keyBegin }) => keyBegin)).size),
    merges: regions.filter(({ moreKeys }) => moreKeys).length,
    matrixBytes: cost.pairs * 4,
  };
}
