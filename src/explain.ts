// explain(): a plan, told as data.
import type { Cost } from "./plan/cost.ts";
import type { Estimates } from "./plan/crossover.ts";
import type { KernelName, Plan } from "./plan/plan.ts";
import type { AttentionProblem } from "./problem.ts";
import type { Tile } from "./plan/tiles_wasm.ts";

/** One step of a plan: a kernel and its pieces of work. */
export interface ExplainedStep {
  /** The kernel: that of the plan, or one that joins partial results. */
  readonly kernel: KernelName | "merge" | "sum of dq" | "delta" | "dq" | "dkv";
  /** Pieces of work. */
  readonly items: number;
}

/** What `engine.explain` returns: how a call would run. */
export interface Explanation {
  /** The backend that would compute. */
  readonly backend: "wasm" | "webgpu";
  /** Why this backend, for this call. */
  readonly reason: string;
  /** Name of the GPU, where it computes. */
  readonly adapter?: string;
  /** Milliseconds that the call is expected to take on each backend that the engine has. */
  readonly estimates?: Estimates;
  /** The kernel family. */
  readonly kernel: KernelName;
  /** Query rows of a block and keys of a tile. */
  readonly tile: Tile;
  /** Threads that would share the work; on a GPU, those of a workgroup. */
  readonly threads: number;
  /** Key ranges computed apart and merged. */
  readonly parts: number;
  /** What runs, in order, and in how many pieces of work. */
  readonly steps: readonly ExplainedStep[];
  /** Pieces of work in all. */
  readonly items: number;
  /** Pieces in which host tensors are brought in. */
  readonly windows: number;
  /** Operations, bytes, visible pairs. */
  readonly cost: Cost;
  /** Scratch of one thread, or memory of a workgroup, in bytes. */
  readonly scratchBytes: number;
  /** Memory beyond the tensors, in bytes: scratch (of all threads) and partial results of one window. */
  readonly memoryBytes: number;
  /** What an N x N score matrix would take, in bytes. */
  readonly matrixBytes: number;
}

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
