// What rounding weights and values to integers makes, with precision "int8-pv": in groups of keys, a step is so many-th of the
// largest weight of the row, and of the largest element of a column of v less its mean (asm/stages/integer_outputs.ts).
import { CHUNK_KEYS } from "../plan/wasm/regions.ts";
import type { Pairs, RowIndex } from "./pairs.ts";
import { addScaled, finite, STEPS } from "./rounding.ts";

/** The largest element of v less the mean of its column, of the keys [begin, end) of a head. */
function largestRest(pairs: Pairs, batch: number, head: number, begin: number, end: number) {
  const keys = Array.from({ length: end - begin }, (_, n) => begin + n);
  const rows = keys.map((key) => pairs.row("v", "k", batch, head, key).values);
  const mean = new Float64Array(pairs.problem.valueDim);
  for (const row of rows) addScaled(mean, 1 / rows.length, row);
  let most = 0;
  for (const row of rows) row.forEach((x, d) => most = Math.max(most, Math.abs(x - mean[d]!)));
  return finite(most);
}

/** The square of what it makes of a row of out; `weights`: those of its keys on their way to v, in the order of the keys. */
export function integerSquares(
  pairs: Pairs,
  { batch, head }: RowIndex,
  keys: readonly number[],
  weights: readonly number[],
): number {
  const { lengthK } = pairs.problem.spans[batch]!, kvHead = pairs.kvHeadOf(head);
  let squares = 0;
  for (let n = 0; n < keys.length;) {
    const begin = keys[n]! - keys[n]! % CHUNK_KEYS, end = Math.min(lengthK, begin + CHUNK_KEYS);
    let most = 0, count = 0, sum = 0;
    for (; n < keys.length && keys[n]! < end; n++) {
      const weight = weights[n]!;
      if (weight === 0) continue; // stays 0
      most = Math.max(most, weight);
      sum += weight ** 2;
      count++;
    }
    const rest = largestRest(pairs, batch, kvHead, begin, end) / STEPS.value;
    squares += (count * most ** 2 + sum) * rest ** 2;
  }
  return squares;
}
