// Into how many KV splits a problem is cut so that every thread has work. Depends on the problem and
// the number of threads only, so results keep their bits from run to run.
import type { SequenceSpan } from "../../problem/features/feature.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import type { KernelName } from "../kernel.ts";
import { visibleKeys } from "../visible.ts";

/** Keys below which a split of decode is not worth combining. */
const DECODE_SPLIT = 512;
/** Keys below which a split of backward is not worth its partial dQ. */
const BACKWARD_SPLIT = 192;
/** How much longer than its fair share the busiest thread of decode may work. */
const UNEVEN = 1.06;

/** Keys that some query of a sequence sees: what decode reads of it. */
function keysRead(span: SequenceSpan): number {
  if (span.lengthQ === 0) return 0;
  const [begin] = visibleKeys(span, 0), [, end] = visibleKeys(span, span.lengthQ - 1);
  return Math.max(0, end - begin);
}

/** The splits of one sequence, where others may need `most`: short ones are not cut. */
function splitsOf(keys: number, most: number): number {
  return Math.max(1, Math.min(most, Math.floor(keys / DECODE_SPLIT)));
}

/** Into how many splits each sequence of a plan with `splits` is cut. */
export function sequenceSplits(
  kernel: KernelName,
  span: SequenceSpan,
  splits: number,
): number {
  return kernel === "decode" ? splitsOf(keysRead(span), splits) : splits;
}

/** When the last thread is done with items of these lengths, the longest first, each by the next free thread. */
function makespan(items: readonly number[], threads: number): number {
  const busy = new Array<number>(threads).fill(0);
  for (const item of items.toSorted((a, b) => b - a)) {
    let first = 0;
    for (let n = 1; n < threads; n++) if (busy[n]! < busy[first]!) first = n;
    busy[first]! += item;
  }
  return Math.max(...busy);
}

/** Decode: the fewest splits with which no thread works much longer than the others. */
function decodeSplits({ spans, kvHeads }: AttentionProblem, threads: number): number {
  const keys = spans.map(keysRead), longest = keys.reduce((a, b) => Math.max(a, b), 0);
  const share = kvHeads * keys.reduce((a, b) => a + b, 0) / threads;
  if (longest <= (UNEVEN - 1) * share) return 1; // so many items balance by themselves
  let best = 1, least = Infinity;
  for (let splits = 1; splits <= splitsOf(longest, threads); splits++) {
    const items = keys.flatMap((n) => {
      const pieces = splitsOf(n, splits);
      return new Array<number>(pieces * kvHeads).fill(n / pieces);
    });
    const time = makespan(items, threads);
    if (time <= UNEVEN * share) return splits;
    if (time < least) [best, least] = [splits, time];
  }
  return best;
}

/** Key ranges that are computed separately and then combined. `groups`: kv groups that run at the same time. */
export function kvSplits(
  kernel: KernelName,
  problem: AttentionProblem,
  threads: number,
  groups: number,
): number {
  if (threads === 1 || kernel === "forward" || kernel === "inside" || groups === 0) return 1;
  if (kernel === "decode") return decodeSplits(problem, threads);
  // many groups balance by themselves
  if (groups >= 8 * threads) return 1;
  return Math.max(1, Math.min(threads, Math.floor(problem.lengthK / BACKWARD_SPLIT)));
}
