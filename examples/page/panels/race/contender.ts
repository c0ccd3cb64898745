// What takes part in the race.
import type { Inputs } from "../../attention/inputs.ts";

/** A way to compute attention on a backend. */
export interface Contender {
  /** Names it in results: "flash cpu". */
  readonly id: `${"flash" | "standard"} ${"cpu" | "gpu"}`;
  /** In words: "flashtile, CPU". */
  readonly name: string;
  /** Why it cannot compute this many tokens, in words; undefined where it can. */
  readonly tooLong: (length: number) => string | undefined;
  /** Brings inputs to where it computes. */
  readonly prepare: (inputs: Inputs, signal: AbortSignal) => Promise<Prepared>;
}

/** A contender with the inputs of one length. */
export interface Prepared {
  /** Bytes beyond q, k, v and the result. */
  readonly memoryBytes: number;
  /** Computes so many times, one after the other; the milliseconds of all together. */
  readonly run: (times: number, signal: AbortSignal) => Promise<number>;
  /** The result of the last run. */
  readonly read: () => Promise<Float32Array>;
  readonly dispose: () => void;
}

/** What all contenders compute: heads of headDim 64, as many tokens as the race has come to. */
export interface Shape {
  readonly heads: number;
  readonly headDim: number;
}

/** Rejects as soon as the signal is aborted, whatever the promise does. */
export async function unlessAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const stop = () => reject(signal.reason);
  signal.addEventListener("abort", stop);
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
