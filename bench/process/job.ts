/**
 * What one contender process is asked to do, what a contender library must offer, and the messages
 * between the driver and the process.
 * @module
 */

import type { Case } from "../cases.ts";

/**
 * `forward` and `causal` are one attention call (a decode step is a forward with one query);
 * `step` is forward and gradients together; `backward` the gradients of a saved forward alone.
 */
export type Task = "forward" | "causal" | "step" | "causal-step" | "backward" | "causal-backward";

export interface Job {
  /** Contender as in the tables, e.g. `onnxruntime-web/std`. */
  readonly contender: string;
  readonly backend: "wasm" | "webgpu";
  readonly task: Task;
  readonly case: Case;
  readonly threads: number;
  /** Address of the folder with the libraries. */
  readonly modules: string;
}

export type Outputs = Readonly<Record<string, Float32Array>>;

/** A contender ready to be timed. */
export interface Prepared {
  /** One whole call, with every copy that the library's API forces on its user. */
  run(): void | Promise<void>;
  /** Waits for the calls so far, where `run` leaves their results on a device. */
  finish?(): Promise<void>;
  /** Calls whose results fit the device at a time. */
  readonly mostCalls?: number;
  /** Results of a call in layout `bhsd`: `out`, or `dq`, `dk` and `dv`. */
  outputs(): Outputs | Promise<Outputs>;
  /** What the library itself says about its memory, if it does. */
  memory?(): Readonly<Record<string, number>>;
}

/** Every contender module exports one of these. */
export type Prepare = (job: Job) => Promise<Prepared>;

/** What the driver may ask of a contender, by a message of the name and the arguments. */
export interface Commands {
  /** Calls until that many milliseconds have passed; those of the fastest call. */
  warm(ms: number): Promise<number>;
  /** Milliseconds of one of so many calls, after an untimed one if asked. */
  time(calls: number, discard: boolean): Promise<number>;
  /** Calls once; the largest absolute error against the float64 reference. */
  check(): Promise<number>;
  /** Growth of the process's peak memory since the operands were in place, and the library's account. */
  memory(): Promise<Memory>;
}

export interface Memory {
  readonly peakBytes: number;
  readonly own?: Readonly<Record<string, number>> | undefined;
}

/** First comes `mostCalls` of what was prepared, then an answer to each command. */
export interface Answer {
  readonly value?: unknown;
  /** Why nothing further will come. */
  readonly failed?: string;
}

export function isCausal(job: Job): boolean {
  return job.task.startsWith("causal");
}

/** True when the task yields gradients rather than an output. */
export function wantsGradients(job: Job): boolean {
  return job.task.endsWith("step") || job.task.endsWith("backward");
}

/** Additive mask [lengthQ, lengthK] for libraries that know no other way to be causal. */
export function causalMask(c: Case): Float32Array {
  const mask = new Float32Array(c.lengthQ * c.lengthK);
  const offset = c.lengthK - c.lengthQ;
  for (let i = 0; i < c.lengthQ; i++) {
    // Finite: minus infinity makes some softmax kernels return NaN in their unused lanes.
    mask.fill(-1e30, i * c.lengthK + Math.min(c.lengthK, i + offset + 1), (i + 1) * c.lengthK);
  }
  return mask;
}

/** Swaps the two middle axes of [batch, first, second, width]: `bhsd` to `bshd`, or back. */
export function swapMiddle(
  data: Float32Array,
  [batch, first, second, width]: readonly [number, number, number, number],
): Float32Array {
  const swapped = new Float32Array(data.length);
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < first; i++) {
      for (let j = 0; j < second; j++) {
        const from = ((b * first + i) * second + j) * width;
        const to = ((b * second + j) * first + i) * width;
        swapped.set(data.subarray(from, from + width), to);
      }
    }
  }
  return swapped;
}
