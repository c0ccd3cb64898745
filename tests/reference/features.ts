/**
 * The meaning of every option, one scalar function a feature, in the order of the contract:
 * rotary (in rotary.ts) → scale → softcap → ALiBi → bias → scoreMod → masks → sink → dropout. A new feature is one function here and one line in `finishScore` or `isVisible`.
 */

import type { Place, Round } from "./functions.ts";
import type { Broadcast, Problem, Window } from "./problem.ts";

/** The kv head that a query head reads. */
export function kvHeadOf(problem: Problem, head: number): number {
  return Math.floor(head / (problem.queryHeads / problem.kvHeads));
}

/** Softcap: the score bent smoothly into (−cap, cap). */
export function softcap(score: number, cap: number): number {
  return cap * Math.tanh(score / cap);
}

/** d softcap(s) / ds, written with the capped score: 1 − tanh². */
export function softcapSlope(capped: number, cap: number): number {
  return 1 - (capped / cap) ** 2;
}

/** Where a broadcast array keeps its value for a position; axes of size 1 are read at 0. */
export function broadcastIndex(
  { shape }: Broadcast,
  batch: number,
  head: number,
  query: number,
  key: number,
): number {
  const b = shape[0] === 1 ? 0 : batch;
  const h = shape[1] === 1 ? 0 : head;
  const i = shape[2] === 1 ? 0 : query;
  const j = shape[3] === 1 ? 0 : key;
  return ((b * shape[1] + h) * shape[2] + i) * shape[3] + j;
}

/** How many keys of a sequence are real. */
export function keyCount({ options, lengthK }: Problem, batch: number): number {
  return options.keyLengths ? options.keyLengths[batch]! : lengthK;
}

/** `o`: the key position of query 0, when the last query is aligned with the last real key. */
export function bottomRightOffset(problem: Problem, batch: number): number {
  return keyCount(problem, batch) - problem.lengthQ;
}

/** The key position of query 0, for causal and window alike: the causal form decides when there is one. */
export function queryOffset(problem: Problem, batch: number): number {
  const { causal } = problem.options;
  if (causal === "top-left") return 0;
  if (typeof causal === "object") {
    return typeof causal.offset === "number" ? causal.offset : causal.offset[batch]!;
  }
  return bottomRightOffset(problem, batch);
}

/** Causal: no key after the query's own position. */
export function causalAllows(query: number, key: number, offset: number): boolean {
  return key <= query + offset;
}

/** Window: at most `left` keys before and `right` keys after the query's own position. */
export function windowAllows(
  query: number,
  key: number,
  offset: number,
  { left = Infinity, right = Infinity }: Window,
): boolean {
  return query + offset - left <= key && key <= query + offset + right;
}

/** ALiBi: how far a key lies from the query's own position. */
export function alibiDistance(problem: Problem, batch: number, query: number, key: number): number {
  return Math.abs(query + queryOffset(problem, batch) - key);
}

/** What functions of scores and of visibility are told about a pair. */
export function placeOf(
  problem: Problem,
  batch: number,
  head: number,
  query: number,
  key: number,
): Place {
  return {
    ...{ batch, head, kvHead: kvHeadOf(problem, head), query, key },
    lengthQ: problem.lengthQ,
    lengthK: keyCount(problem, batch),
    diagonal: query + queryOffset(problem, batch),
  };
}

const exact: Round = (x) => x;

/** scoreMod: any function of the score. */
export function modified(
  problem: Problem,
  score: number,
  batch: number,
  head: number,
  query: number,
  key: number,
  round: Round = exact,
): number {
  const { scoreMod } = problem.options;
  if (!scoreMod) return score;
  return round(scoreMod.value(score, placeOf(problem, batch, head, query, key), round));
}

/** The score as scoreMod finds it, from the bare product q·k. */
export function scoreBeforeMod(
  problem: Problem,
  dot: number,
  batch: number,
  head: number,
  query: number,
  key: number,
): number {
  let score = dot * problem.scale;
  if (problem.softcap !== undefined) score = softcap(score, problem.softcap);
  if (problem.alibiSlopes) {
    const slope = problem.alibiSlopes
      .values[broadcastIndex(problem.alibiSlopes, batch, head, query, key)]!;
    score -= slope * alibiDistance(problem, batch, query, key);
  }
  if (problem.bias) {
    score += problem.bias.values[broadcastIndex(problem.bias, batch, head, query, key)]!;
  }
  return score;
}

/** The score after everything that changes its value. */
export function finishScore(
  problem: Problem,
  dot: number,
  batch: number,
  head: number,
  query: number,
  key: number,
): number {
  const before = scoreBeforeMod(problem, dot, batch, head, query, key);
  return modified(problem, before, batch, head, query, key);
}

/** d scoreMod / d score: what it makes of the gradient on its way back. */
export function modSlope(
  problem: Problem,
  score: number,
  batch: number,
  head: number,
  query: number,
  key: number,
): number {
  const { scoreMod } = problem.options;
  return scoreMod ? scoreMod.slope(score, placeOf(problem, batch, head, query, key)) : 1;
}

/** The same from the bare product q·k. */
export function modSlopeOf(
  problem: Problem,
  dot: number,
  batch: number,
  head: number,
  query: number,
  key: number,
): number {
  if (!problem.options.scoreMod) return 1;
  const before = scoreBeforeMod(problem, dot, batch, head, query, key);
  return modSlope(problem, before, batch, head, query, key);
}

const none: readonly (readonly [element: number, slope: number])[] = [];

/** What scoreMod learns from a pair, from the bare product q·k. */
export function learnedTerms(
  problem: Problem,
  dot: number,
  batch: number,
  head: number,
  query: number,
  key: number,
): readonly (readonly [element: number, slope: number])[] {
  const learned = problem.options.scoreMod?.learned;
  if (!learned) return none;
  const before = scoreBeforeMod(problem, dot, batch, head, query, key);
  return learned.terms(before, placeOf(problem, batch, head, query, key));
}

/** How many elements scoreMod learns. */
export function learnedCount({ options }: Problem): number {
  return options.scoreMod?.learned?.values.length ?? 0;
}

/** d scoreBeforeMod / d dot. Needs the same dot product, because softcap bends. */
export function scoreSlope(problem: Problem, dot: number): number {
  if (problem.softcap === undefined) return problem.scale;
  const capped = softcap(dot * problem.scale, problem.softcap);
  return problem.scale * softcapSlope(capped, problem.softcap);
}

/** Whether a query may attend to a key at all. A bias of −∞ is a mask. */
export function isVisible(
  problem: Problem,
  batch: number,
  head: number,
  query: number,
  key: number,
): boolean {
  const { causal, window, maskMod, blockMask } = problem.options;
  if (key >= keyCount(problem, batch)) return false;
  const offset = queryOffset(problem, batch);
  if (causal && !causalAllows(query, key, offset)) return false;
  if (window && !windowAllows(query, key, offset, window)) return false;
  const condition = maskMod ?? blockMask;
  if (condition && !condition.visible(placeOf(problem, batch, head, query, key))) return false;
  const { mask, bias } = problem;
  if (mask && mask.values[broadcastIndex(mask, batch, head, query, key)] === 0) return false;
  if (bias && bias.values[broadcastIndex(bias, batch, head, query, key)] === -Infinity) {
    return false;
  }
  return true;
}

/** Dropout: what the probability of a pair is multiplied with on its way to v; `row` counts [batch, head, query]. */
export function dropoutFactor({ dropout, lengthK }: Problem, row: number, key: number): number {
  if (!dropout) return 1;
  return dropout.kept[row * lengthK + key] ? dropout.scale : 0;
}
