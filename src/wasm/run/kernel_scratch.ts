// How much scratch the kernel of a plan needs.
import type { Plan } from "../../plan/wasm/plan.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import type { KernelExports } from "../module/module.ts";

/** Bytes of scratch that each thread needs for the kernel of a plan; what features need comes on top. */
export function kernelScratch(
  kernels: KernelExports,
  problem: AttentionProblem,
  { kernel, tile }: Plan,
): number {
  const { headDim, valueDim, lengthQ, queryHeads, kvHeads } = problem;
  if (kernel === "forward") {
    return kernels.forwardScratch(headDim, valueDim, tile.rows, tile.keys) >>> 0;
  }
  if (kernel === "inside") {
    return kernels.insideScratch(headDim, tile.rows, tile.keys, problem.count) >>> 0;
  }
  if (kernel === "backward") return kernels.backwardScratch(headDim, valueDim, tile.rows) >>> 0;
  const rows = lengthQ * (queryHeads / kvHeads);
  return kernels.decodeScratch(headDim, valueDim, rows, tile.keys) >>> 0;
}
