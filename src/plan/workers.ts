// Whether a call is worth sending to workers that have a memory of their own: what they gain must be more than the copies
// cost that shared memory does not need.
import type { AttentionProblem } from "../problem/problem.ts";
import { problemCost } from "./cost.ts";
import type { WasmTarget } from "./target.ts";

/**
 * Operations and bytes a second of one thread whose own are not known: Zen 4, measured (bench/results). Plain SIMD has half of
 * it, operations of 256 bits 1.7 times as much.
 */
const WASM_RATE = { flops: 45e9, plain: 0.5, wide: 1.7, bytes: 20e9, callMs: 0.05 } as const;
/** Share of the measured multiply-adds that calls get; measured, long ones 0.82 to 0.88. */
const SHARE = 0.85;
/** Bytes a second of what goes to a worker and comes back, copied out, in and out again by one thread; what messages take. */
const MESSAGES = { bytes: 3e9, callMs: 1 };
/** Least share of the time of one engine that must be gained, and milliseconds. */
const GAIN = { share: 0.1, ms: 3 };

/** What the time of a call depends on; what is missing is not known yet. */
export type Rated =
  & Pick<WasmTarget, "threads" | "workers">
  & Partial<Pick<WasmTarget, "flops" | "relaxedSimd" | "vectorBits">>;

/** Operations a second that calls get of one thread. */
function rateOf({ flops, relaxedSimd, vectorBits }: Rated): number {
  const one = flops
    ? SHARE * flops
    : WASM_RATE.flops * (relaxedSimd === false ? WASM_RATE.plain : 1);
  return vectorBits === 256 ? WASM_RATE.wide * one : one;
}

/** Milliseconds on the threads of one engine, copies of host tensors included. */
function threadsMs(problem: AttentionProblem, target: Rated): number {
  const { flops, bytes } = problemCost(problem), { callMs } = WASM_RATE;
  const compute = flops / (rateOf(target) * target.threads);
  return callMs + 1e3 * Math.max(compute, bytes / WASM_RATE.bytes);
}

/** Keys whose gradients are worth a worker of their own, at least: all queries are sent there once more. */
const LEAST_KEYS = 512;

/** Pieces that workers may have. Gradients of the keys of one head are made by one of them where there are heads for all. */
function pieces(
  { pass, batch, kvHeads, lengthQ, lengthK }: AttentionProblem,
  workers: number,
): number {
  const heads = batch * kvHeads;
  if (pass === "forward") return heads * Math.max(1, Math.ceil(lengthQ / 128));
  return heads >= workers ? heads : heads * Math.max(1, Math.floor(lengthK / LEAST_KEYS));
}

/** Whether workers can run a call at all: they have no tensors of their own. */
function mayRun({ pass, operands, documents }: AttentionProblem): boolean {
  if (pass !== "forward" && pass !== "backward" || documents) return false;
  return Object.values(operands).every(({ resident }) => !resident);
}

/** What a call gains from workers. */
export interface WorkersVerdict {
  /** Workers that would share it; 0 where one engine runs it. */
  readonly workers: number;
  /** Milliseconds that it is expected to take. */
  readonly ms: number;
  /** Why one engine runs it, where the engine has workers. */
  readonly why?: string | undefined;
}

/** Whether workers run a call. */
export function workersFor(problem: AttentionProblem, target: Rated): WorkersVerdict {
  const { workers = 0 } = target, one = threadsMs(problem, target);
  const alone = (why?: string) => ({ workers: 0, ms: one, why });
  if (workers < 2) return alone();
  if (!mayRun(problem)) {
    return alone("workers take attention and attentionBackward of host tensors only");
  }
  const all = pieces(problem, workers), used = Math.min(workers, all);
  if (used < 2) {
    return alone("the call has one kv head of few keys, whose gradients one engine makes");
  }
  const { flops, bytes } = problemCost(problem);
  const turns = Math.ceil(all / used) / all; // share of the one that has most
  const ms = MESSAGES.callMs +
    1e3 * (flops * turns / rateOf(target) + bytes / MESSAGES.bytes);
  if (one - ms < Math.max(GAIN.share * one, GAIN.ms)) {
    return alone(
      `${used} workers would take about ${ms.toFixed(1)} ms, one engine ${one.toFixed(1)} ms`,
    );
  }
  return { workers: used, ms };
}
