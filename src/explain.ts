// explain(): a plan, told as data.
import type { Cost } from "./plan/cost.ts";
import type { KernelName, Plan } from "./plan/plan.ts";
import type { Tile } from "./plan/tiles_wasm.ts";

/** What `engine.explain` returns: how a call would run. */
export interface Explanation {
  /** The backend that would compute. */
  readonly backend: "wasm";
  /** Why this backend. */
  readonly reason: string;
  /** The kernel family. */
  readonly kernel: KernelName;
  /** Query rows of a block and keys of a tile. */
  readonly tile: Tile;
  /** Threads that would share the work. */
  readonly threads: number;
  /** Key ranges computed apart and merged. */
  readonly parts: number;
  /** Pieces of work. */
  readonly items: number;
  /** Pieces in which host tensors are brought in. */
  readonly windows: number;
  /** Operations, bytes, visible pairs. */
  readonly cost: Cost;
  /** Scratch of one thread, in bytes. */
  readonly scratchBytes: number;
  /** What an N x N score matrix would take, in bytes. */
  readonly matrixBytes: number;
}

/** Tells a plan. */
export function explainPlan(plan: Plan, reason: string, scratchBytes: number): Explanation {
  const { kernel, tile, threads, parts, windows, cost } = plan;
  return {
    backend: "wasm",
    reason,
    kernel,
    tile,
    threads,
    parts,
    items: windows.reduce((sum, { items }) => sum + items.length, 0),
    windows: windows.length,
    cost,
    scratchBytes,
    matrixBytes: cost.pairs * 4,
  };
}
