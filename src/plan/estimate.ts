// GPU or CPU: what a call is expected to take on each, from its cost and from where its tensors live. Rates are
// on the careful side for GPUs, because a small call that waits for a read-back is the common mistake.
import type { AttentionProblem } from "../problem/problem.ts";
import type { WebGpuTarget } from "./target.ts";
import { count } from "../tensor/shape.ts";
import { elementBytes, type OperandSpec } from "../tensor/view.ts";
import { problemCost } from "./cost.ts";
import { plannedResults } from "./results.ts";
import { type Rated, workersFor } from "./workers.ts";

/** Milliseconds that a call is expected to take. */
export interface Estimates {
  /** On the CPU. */
  readonly wasm: number;
  /** On the GPU, with upload and read-back; undefined where there is none. */
  readonly webgpu?: number;
}

/**
 * Rates of a GPU whose own are not known. Hardware: the least that a discrete GPU of the last ten years is taken to do; the
 * read-back dominates where the choice is close. Software: lavapipe, measured.
 */
const GPU = {
  hardware: { flops: 2e12, bytes: 100e9, callMs: 0.1 },
  software: { flops: 7e9, bytes: 4e9, callMs: 1 },
};
/**
 * How many times as fast products of halves are taken to be. Hardware: what issue slots say of GPUs that have packed f16
 * (docs/decisions/039), on the careful side. Software: lavapipe, measured.
 */
const HALVES = { hardware: 1.3, software: 0.4 };
/** Share of a GPU's measured multiply-adds that attention is expected to get: 0.35 to 0.5 on an NVIDIA H200. */
const SHARE = 0.3;
/** Bytes a second between host and device; measured, 64 MiB: wgpu in Deno 1.3 GB/s up, Dawn 13. */
const LINK = { naga: { up: 1.3e9, down: 0.9e9 }, tint: { up: 8e9, down: 1.5e9 } };

/** On the CPU, copies of host tensors included. */
export function wasmMs(problem: AttentionProblem, target: Rated): number {
  return workersFor(problem, target).ms;
}

/** Bytes of the operands that must be brought to the device, and of the results that are brought back. */
function linkBytes(problem: AttentionProblem): { up: number; down: number } {
  const hostBytes = (specs: readonly Pick<OperandSpec, "dtype" | "size" | "resident">[]) =>
    specs.filter(({ resident }) => !resident)
      .reduce((sum, spec) => sum + elementBytes(spec) * count(spec.size), 0);
  return {
    up: hostBytes(Object.values(problem.operands)),
    down: hostBytes(plannedResults(problem)),
  };
}

/** On the GPU. `readBackMs`: what waiting for a few bytes takes, measured when the device was opened. */
export function webGpuMs(
  problem: AttentionProblem,
  { software, dialect, flops: measured }: WebGpuTarget,
  readBackMs: number,
): number {
  const { flops, bytes } = problemCost(problem), { up, down } = linkBytes(problem);
  const rate = GPU[software ? "software" : "hardware"], link = LINK[dialect];
  // backward makes scores twice: seven products for the five that are counted
  const work = problem.pass === "backward" ? 1.4 * flops : flops;
  const halves = problem.precision === "f16" ? HALVES[software ? "software" : "hardware"] : 1;
  const speed = halves * (measured ? SHARE * measured : rate.flops);
  const compute = rate.callMs + 1e3 * Math.max(work / speed, bytes / rate.bytes);
  return compute + 1e3 * (up / link.up + down / link.down) + (down > 0 ? readBackMs : 0);
}
