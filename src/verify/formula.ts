// One row of attention in float64, straight from the formula, and the rounding error that is to be expected of the same
// formula in float32.
import type { ExactFeature } from "../problem/features/exact.ts";
import { hasIntegerOutputs } from "../problem/precision.ts";
import { integerSquares } from "./integers.ts";
import type { Pairs, RowIndex } from "./pairs.ts";
import { addScaled, largest, LEAST16, U } from "./rounding.ts";

/** A row of results, and what its elements are expected to be off by. */
export interface ExactRow {
  readonly out: Float64Array;
  readonly lse: number;
  readonly errors: { readonly out: number; readonly lse: number };
}

/** Scores of the keys that a row sees, each with what it may be off by. */
export interface ScoredRow {
  readonly keys: number[];
  readonly scores: number[];
  readonly errors: number[];
}

/** The scores of a row. */
export function scoredRow(
  pairs: Pairs,
  row: RowIndex,
  meanings: readonly ExactFeature[],
): ScoredRow {
  const { batch, head, query } = row;
  const found: ScoredRow = { keys: [], scores: [], errors: [] };
  const kvHead = pairs.kvHeadOf(head), q = pairs.row("q", "q", batch, head, query);
  for (const pair of pairs.seen(row, meanings)) {
    const { key } = pair, k = pairs.row("k", "k", batch, kvHead, key);
    const { score, error } = pairs.score(q, k, pair, meanings);
    if (score === -Infinity) continue;
    found.keys.push(key);
    found.scores.push(score);
    found.errors.push(error);
  }
  return found;
}

/** The largest score of a row, and the sum of e^(s - top): lse in two numbers, since one is too coarse where it is large. */
export interface RowState {
  readonly top: number;
  readonly sum: number;
}

/** What a row sums to, over scores and over logits that join them. */
export function stateOf(
  row: RowIndex,
  { scores }: ScoredRow,
  meanings: readonly ExactFeature[],
): RowState {
  const all = [...scores, ...meanings.flatMap(({ joins }) => joins ? [joins(row)] : [])];
  const top = all.reduce((a, b) => Math.max(a, b), -Infinity);
  return { top, sum: all.reduce((total, s) => total + (s === top ? 1 : Math.exp(s - top)), 0) };
}

/** The weight of a score of a row: all of it where it alone grows without end. */
export function weightOf(score: number, { top, sum }: RowState): number {
  if (top !== Infinity) return Math.exp(score - top) / sum;
  if (sum > 1) return NaN;
  return score === Infinity ? 1 : 0;
}

/** Computes one row of a call. */
export function computeRow(pairs: Pairs, row: RowIndex): ExactRow {
  const { valueDim, precision } = pairs.problem, { batch, head, query } = row;
  const meanings = pairs.meanings(row), scored = scoredRow(pairs, row, meanings);
  const { keys, scores, errors } = scored, state = stateOf(row, scored, meanings);
  const { top, sum } = state;
  const out = new Float64Array(valueDim);
  if (top === -Infinity) return { out, lse: top, errors: { out: 0, lse: 0 } };
  const lse = top + Math.log(sum), kvHead = pairs.kvHeadOf(head);
  const least = precision === "f16" ? LEAST16 : 0;
  const rough = (pairs.coarse + least) *
    weightOf(scores.reduce((a, b) => Math.max(a, b), -Infinity), state);
  const weights: number[] = [];
  let size = 0, ofOut = 0, ofLse = 0;
  keys.forEach((key, n) => {
    const p = weightOf(scores[n]!, state), error = errors[n]!, pair = { batch, head, query, key };
    const z = meanings.reduce((z, { weight }) => z * (weight?.(pair) ?? 1), 1);
    const v = pairs.row("v", "k", batch, kvHead, key);
    if (z !== 0) addScaled(out, p * z, v.values);
    weights.push(p * z);
    size = Math.max(size, v.most);
    ofOut += (z === 0 ? p * p * error : z * p * (pairs.unit + (1 - p) * error)) ** 2 +
      (z * rough) ** 2;
    ofLse += (p * (U + error)) ** 2;
  });
  const steps = hasIntegerOutputs(precision) ? integerSquares(pairs, row, keys, weights) : 0;
  return {
    ...{ out, lse },
    errors: {
      out: Math.sqrt(ofOut * size ** 2 + steps + (U * largest(out)) ** 2 * (1 + keys.length / 3)),
      lse: 3 * U * Math.abs(lse) + Math.sqrt(ofLse),
    },
  };
}
