// Timing of calls from outside.
import type { AbortSignalLike } from "../../backend/backend.ts";

/** Times of a call, in milliseconds. */
export interface Measured {
  readonly median: number;
  /** Upper quartile over the lower one. */
  readonly spread: number;
  readonly samples: number;
}

/** A sample shorter than this would measure the clock, or on a GPU the wait for its end. */
const SAMPLE_MS = 20;
const FEWEST = 5;

/** Calls again and again for `budgetMs`; `settle` waits until all of them have ended. */
export async function measure(
  call: () => Promise<unknown>,
  settle: () => Promise<void>,
  budgetMs: number,
  signal: AbortSignalLike,
): Promise<Measured> {
  const sample = async (calls: number) => {
    const begin = performance.now();
    for (let n = 0; n < calls; n++) {
      signal.throwIfAborted();
      await call();
    }
    await settle();
    return (performance.now() - begin) / calls;
  };
  // warms up: compilers, threads, caches
  let ms = await sample(1);
  for (const begin = performance.now(); performance.now() - begin < budgetMs / 2;) {
    ms = Math.min(ms, await sample(1));
  }
  const calls = Math.max(1, Math.ceil(SAMPLE_MS / ms)), times: number[] = [];
  for (
    const begin = performance.now();
    times.length < FEWEST || performance.now() - begin < budgetMs;
  ) {
    times.push(await sample(calls));
  }
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.floor(share * (times.length - 1))]!;
  return { median: at(0.5), spread: at(0.75) / at(0.25), samples: times.length };
}
