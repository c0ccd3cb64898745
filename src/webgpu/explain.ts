// explain() for a GPU plan.
import { geometry } from "../../shaders/abi.ts";
import type { ExplainedStep, Explanation } from "../backend/explanation.ts";
import type { GpuPlan } from "../plan/webgpu/plan.ts";
import type { AttentionProblem } from "../problem/problem.ts";
import type { WebGpuTarget } from "../plan/target.ts";

/** Bytes beyond the tensors: partial results, row statistics, work items. */
function scratchBytes(plan: GpuPlan, { valueDim }: AttentionProblem): number {
  return plan.windows.reduce((most, w) => {
    const rows = (w.batchEnd - w.batchBegin) * (w.kvHeadEnd - w.kvHeadBegin) *
      (w.groupEnd - w.groupBegin) *
      (w.rowEnd - w.rowBegin);
    const parts = w.parts > 1 ? w.parts * rows * (valueDim + 1) * 4 : 0;
    const stats = plan.kernel === "backward" ? rows * 8 : 0;
    return Math.max(most, parts + stats + (w.rowItems.length + w.keyItems.length) * 32);
  }, 0);
}

/** Tells a plan. */
export function explainGpu(
  plan: GpuPlan,
  problem: AttentionProblem,
  { adapter }: WebGpuTarget,
  reason: string,
): Explanation {
  const { kernel, windows, cost, forward, decode, dq } = plan, chosen = forward ?? dq;
  const g = chosen && geometry(chosen.tile);
  const rows = windows.reduce((sum, w) => sum + w.rowItems.length, 0);
  const keys = windows.reduce((sum, w) => sum + w.keyItems.length, 0);
  const parts = Math.max(1, ...windows.map((w) => w.parts));
  const steps: ExplainedStep[] = kernel === "backward"
    ? [{ kernel: "delta", items: windows.length }, { kernel: "dq", items: rows }, {
      kernel: "dkv",
      items: keys,
    }]
    : [{ kernel, items: rows }];
  if (parts > 1) steps.push({ kernel: "merge", items: windows.length });
  const scratch = scratchBytes(plan, problem);
  return {
    backend: "webgpu",
    reason,
    adapter,
    kernel,
    tile: g ? { rows: g.rows, keys: g.columns } : { rows: decode?.rows ?? 0, keys: 0 },
    threads: g?.threads ?? decode?.threads ?? 0,
    parts,
    steps,
    items: rows + keys,
    windows: windows.length,
    cost,
    scratchBytes: chosen?.bytes ?? 0,
    memoryBytes: scratch,
    matrixBytes: cost.pairs * 4,
  };
}
