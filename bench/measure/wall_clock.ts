/**
 * Whole calls timed from outside, by the clock on the wall.
 * @module
 */

import { type Clock, race, type RaceOptions, type Work } from "./race.ts";

/** Samples shorter than this are made of several calls: one call would measure the clock. */
const SHORTEST_SAMPLE_MS = 2;

export const wallClock: Clock = {
  async prepare(work, { budgetMs, warmUpMs }) {
    let callMs = await sample(work, 1);
    // A call that takes a large part of the budget is warm enough after it.
    if (callMs < budgetMs / 4) {
      const start = performance.now();
      do {
        callMs = Math.min(callMs, await sample(work, 1));
      } while (performance.now() - start < warmUpMs);
    }
    const calls = Math.max(1, Math.ceil(SHORTEST_SAMPLE_MS / Math.max(callMs, 1e-4)));
    return { work, calls, callMs };
  },

  async measure(samples) {
    const times: number[] = [];
    for (const { work, calls } of samples) times.push(await sample(work, calls));
    return times;
  },
};

async function sample({ name, run }: Work, calls: number): Promise<number> {
  if (!run) throw new Error(`${name} cannot be timed from outside`);
  const start = performance.now();
  for (let i = 0; i < calls; i++) {
    const pending = run();
    // Awaiting nothing would still cost a turn of the microtask queue.
    if (pending instanceof Promise) await pending;
  }
  return (performance.now() - start) / calls;
}

/** Milliseconds of one contender alone. */
export async function timeAlone(
  name: string,
  run: () => void | Promise<void>,
  options: RaceOptions = {},
): Promise<number> {
  return (await race(wallClock, [{ name, run }], options))[0].medianMs;
}
