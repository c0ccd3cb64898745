// Scratch that an item of a plan needs, as kernels say.
import type { Plan } from "../../plan/wasm/plan.ts";
import { mostDocuments } from "../../plan/wasm/work_items.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import type { KernelExports } from "../module/module.ts";
import { integerFlags } from "./task_record.ts";

/** Bytes of scratch of a thread, without that of programs. */
export function kernelScratch(
  kernels: KernelExports,
  problem: AttentionProblem,
  plan: Plan,
): number {
  const { kernel, tile } = plan;
  const { headDim, valueDim, lengthQ, queryHeads, kvHeads, count } = problem;
  if (problem.documents) {
    return kernels.maxSimScratch(headDim, lengthQ, mostDocuments(problem)) >>> 0;
  }
  if (kernel === "forward") {
    const flags = integerFlags(plan);
    return kernels.forwardScratch(headDim, valueDim, tile.rows, tile.keys, flags) >>> 0;
  }
  if (kernel === "inside") {
    return kernels.insideScratch(headDim, tile.rows, tile.keys, count) >>> 0;
  }
  if (kernel === "backward") return kernels.backwardScratch(headDim, valueDim, tile.rows) >>> 0;
  const rows = lengthQ * (queryHeads / kvHeads);
  return kernels.decodeScratch(headDim, valueDim, rows, tile.keys) >>> 0;
}
