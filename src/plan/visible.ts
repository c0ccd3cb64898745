// Counting what a span lets through: the cost of work items, and where to cut keys into equal shares.
import type { SequenceSpan } from "../problem/features/feature.ts";

/** First visible key of a query, and one past the last; empty when not below it. */
export function visibleKeys(span: SequenceSpan, i: number): [begin: number, end: number] {
  return [Math.max(0, i + span.low), Math.min(span.lengthK, i + span.high + 1)];
}

/** Σ of `i + shift`, held between `least` and `most`, over the rows. */
function clampedSum(
  shift: number,
  rowBegin: number,
  rowEnd: number,
  least: number,
  most: number,
): number {
  const within = (n: number) => Math.max(0, Math.min(rowEnd - rowBegin, n));
  const below = within(least - shift - rowBegin), above = within(rowEnd - (most - shift));
  const from = rowBegin + below, to = rowEnd - above; // rows where neither bound holds
  return below * least + above * most + (to - from) * ((from + to - 1) / 2 + shift);
}

/** Number of visible (query, key) pairs in a rectangle. */
export function visiblePairs(
  span: SequenceSpan,
  rowBegin: number,
  rowEnd: number,
  keyBegin: number,
  keyEnd: number,
): number {
  const least = Math.max(0, keyBegin), most = Math.min(keyEnd, span.lengthK);
  if (rowEnd <= rowBegin || most <= least || span.high < span.low) return 0;
  return clampedSum(span.high + 1, rowBegin, rowEnd, least, most) -
    clampedSum(span.low, rowBegin, rowEnd, least, most);
}

/**
 * Cuts the keys [begin, lengthK) of a sequence into `splits` ranges of about equal cost to the given rows, at multiples of
 * `multiple`, as `begin` is one. They may be empty; together they cover all.
 */
export function cutKeys(
  span: SequenceSpan,
  [rowBegin, rowEnd]: readonly [number, number],
  lengthK: number,
  splits: number,
  multiple: number,
  begin = 0,
): [begin: number, end: number][] {
  if (splits === 1) return [[begin, lengthK]];
  const seen = (end: number) => visiblePairs(span, rowBegin, rowEnd, begin, end);
  const total = seen(lengthK), blocks = Math.ceil(lengthK / multiple), cuts = [begin];
  for (let split = 1; split < splits; split++) {
    const share = total * split / splits;
    let [low, high] = [Math.ceil(cuts.at(-1)! / multiple), blocks]; // the first block before which enough is seen
    while (low < high) {
      const middle = (low + high) >> 1;
      if (seen(Math.min(middle * multiple, lengthK)) < share) low = middle + 1;
      else high = middle;
    }
    cuts.push(Math.min(low * multiple, lengthK));
  }
  cuts.push(lengthK);
  return cuts.slice(1).map((end, split) => [cuts[split]!, end]);
}
