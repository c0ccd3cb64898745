// Whether it pays to read keys that sequences share once for all of them.
import { sharedKeys } from "../problem/cascade.ts";
import type { AttentionProblem, Views } from "../problem/problem.ts";
import { elementBytes } from "../tensor/view.ts";
import type { Target } from "./target.ts";

/** Bytes of memory, and operations, a millisecond; what a second call and a merge cost beside that. */
const RATES = {
  wasm: { bytes: 10e6, flops: 60e6, callMs: 0.05 },
  hardware: { bytes: 200e6, flops: 4e9, callMs: 0.1 },
  software: { bytes: 4e6, flops: 7e6, callMs: 1 },
};
/** What is gained must be more than what estimates are off. */
const GAIN = 1.2;

/** Keys that a call reads once for all its sequences: those that they share, where that is faster; 0: none. */
export function cascadeKeys(
  problem: AttentionProblem,
  views: Views,
  target: Target,
): number {
  const keys = sharedKeys(problem, views);
  if (keys === 0) return 0;
  const { batch, lengthQ, queryHeads, kvHeads, headDim, valueDim, operands } = problem;
  const kind = target.backend === "wasm" ? "wasm" : target.software ? "software" : "hardware";
  const { bytes, flops, callMs } = RATES[kind], columns = headDim + valueDim;
  const read = keys * kvHeads * columns * elementBytes(operands.k!) / bytes;
  const work = 2 * batch * lengthQ * keys * queryHeads * columns / flops;
  return Math.max(batch * read, work) > GAIN * Math.max(read, work) + callMs ? keys : 0;
}
