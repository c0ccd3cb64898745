/**
 * The oracle: attention as its formula says, in float64, with every matrix written out. O(N²) in time and memory,
 * made for reading.
 *
 *   rotary     q and k turned, dq and dk turned back
 *   forward    s = finish(q·k)   p = softmax(s)   out = (p∘z)·v   lse = log (Σ exp(s) + exp(sink))
 *              entropy = −Σ p log p   maxProbability = max p   expectedKey = Σ p·j
 *   backward   dp = z∘(dOut·v)   delta = Σ p∘dp   ds = p∘(dp − delta + dLse)
 *              ds = ds∘(slope of scoreMod)
 *              dq = ds∘slope·k   dk = (ds∘slope)ᵀ·q   dv = (p∘z)ᵀ·dOut   dBias = Σ ds over broadcast axes
 *              dCaptured = Σ ds·(slope of scoreMod by an element), ds before that by the score
 *              dAlibiSlopes = −Σ ds·distance   dSink = −Σ exp(sink − lse)·(delta − dLse)
 *              with dEntropy: ds −= dEntropy·p·(s − lse + entropy + 1 − Σp)
 *                             dSink += Σ dEntropy·exp(sink − lse)·(Σp − entropy)
 *
 * z is 1, or the factor of dropout. Where it is 0 what v and dOut hold does not matter.
 */

import {
  alibiDistance,
  broadcastIndex,
  dropoutFactor,
  finishScore,
  isVisible,
  kvHeadOf,
  learnedCount,
  learnedTerms,
  modSlopeOf,
  scoreSlope,
} from "./features.ts";
import { type Problem, type StatisticName, STATISTICS } from "./problem.ts";
import { turned } from "./rotary.ts";

/** Everything the forward pass makes, packed: rows are [batch, head, query], matrices add [key]. */
export interface ForwardF64 {
  readonly out: Float64Array;
  readonly lse: Float64Array;
  readonly dots: Float64Array;
  readonly scores: Float64Array;
  readonly probabilities: Float64Array;
  readonly visible: Uint8Array;
  readonly statistics: Readonly<Record<StatisticName, Float64Array>>;
}

/** Gradients in the shapes of their operands, packed [batch, head, row, dim]; those of options in the shapes of theirs. */
export interface BackwardF64 {
  readonly dq: Float64Array;
  readonly dk: Float64Array;
  readonly dv: Float64Array;
  readonly dBias: Float64Array | undefined;
  readonly dAlibiSlopes: Float64Array | undefined;
  readonly dSink: Float64Array | undefined;
  readonly dCaptured: Float64Array | undefined;
  /** dp and Σ p∘dp, kept because the tolerance is made from them. */
  readonly dp: Float64Array;
  readonly delta: Float64Array;
}

/** Calls `visit` for each row of scores with the places where its operands begin. */
export function forEachRow(
  problem: Problem,
  visit: (row: { b: number; h: number; i: number; index: number; kvBase: number }) => void,
): void {
  const { batch, queryHeads, kvHeads, lengthQ, lengthK } = problem;
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < queryHeads; h++) {
      const kvBase = (b * kvHeads + kvHeadOf(problem, h)) * lengthK;
      for (let i = 0; i < lengthQ; i++) {
        visit({ b, h, i, index: (b * queryHeads + h) * lengthQ + i, kvBase });
      }
    }
  }
}

/** `factor` times the product of two rows, element by element. */
function dot(
  factor: number,
  a: Float64Array,
  rowA: number,
  b: Float64Array,
  rowB: number,
  dim: number,
): number {
  const atA = rowA * dim, atB = rowB * dim;
  let sum = 0;
  for (let d = 0; d < dim; d++) sum += factor * a[atA + d]! * b[atB + d]!;
  return sum;
}

/** Adds `weight` times a row of `from` to a row of `to`. */
function addTo(
  to: Float64Array,
  rowTo: number,
  weight: number,
  from: Float64Array,
  rowFrom: number,
  dim: number,
): void {
  const atTo = rowTo * dim, atFrom = rowFrom * dim;
  for (let d = 0; d < dim; d++) to[atTo + d]! += weight * from[atFrom + d]!;
}

/** Forward pass. */
export function attentionF64(problem: Problem): ForwardF64 {
  const { batch, queryHeads, lengthQ, lengthK, headDim, valueDim, v } = problem;
  const q = turned(problem, "q", problem.q), k = turned(problem, "k", problem.k);
  const rows = batch * queryHeads * lengthQ;
  const out = new Float64Array(rows * valueDim);
  const lse = new Float64Array(rows);
  const dots = new Float64Array(rows * lengthK);
  const scores = new Float64Array(rows * lengthK);
  const probabilities = new Float64Array(rows * lengthK);
  const visible = new Uint8Array(rows * lengthK);
  const statistics = rowStatistics(rows);

  forEachRow(problem, ({ b, h, i, index, kvBase }) => {
    const at = index * lengthK;
    for (let j = 0; j < lengthK; j++) {
      if (!isVisible(problem, b, h, i, j)) continue;
      visible[at + j] = 1;
      const product = dot(1, q, index, k, kvBase + j, headDim);
      dots[at + j] = product;
      scores[at + j] = finishScore(problem, product, b, h, i, j);
    }
    const row = at + lengthK;
    lse[index] = softmaxRow(
      scores.subarray(at, row),
      visible.subarray(at, row),
      probabilities.subarray(at, row),
      problem.sink?.[h],
    );
    for (let j = 0; j < lengthK; j++) {
      // Skipped, not multiplied by zero: what a hidden key holds must not matter.
      if (!visible[at + j]) continue;
      addToStatistics(statistics, index, j, probabilities[at + j]!);
      const z = dropoutFactor(problem, index, j);
      if (z === 0) continue;
      addTo(out, index, z * probabilities[at + j]!, v, kvBase + j, valueDim);
    }
  });
  return { out, lse, dots, scores, probabilities, visible, statistics };
}

function rowStatistics(rows: number): Record<StatisticName, Float64Array> {
  return Object.fromEntries(STATISTICS.map((name) => [name, new Float64Array(rows)])) as Record<
    StatisticName,
    Float64Array
  >;
}

function addToStatistics(
  { entropy, maxProbability, expectedKey }: Record<StatisticName, Float64Array>,
  row: number,
  j: number,
  p: number,
): void {
  if (p !== 0) entropy[row]! -= p * Math.log(p);
  maxProbability[row] = Math.max(maxProbability[row]!, p);
  expectedKey[row]! += p * j;
}

/** Fills `p` with the softmax of the visible scores, and of a sink that takes its share; returns log Σ exp. */
export function softmaxRow(
  scores: Float64Array,
  visible: Uint8Array,
  p: Float64Array,
  sink: number = -Infinity,
): number {
  let max = sink;
  let infinite = sink === Infinity ? 1 : 0;
  let count = sink === -Infinity ? 0 : 1;
  for (let j = 0; j < scores.length; j++) {
    if (!visible[j]) continue;
    count++;
    max = Math.max(max, scores[j]!); // NaN wins, as it should
    if (scores[j] === Infinity) infinite++;
  }
  if (count === 0) return -Infinity;
  if (max === Infinity && infinite === 1) {
    // The limit of one score growing without end: all weight on it.
    scores.forEach((score, j) => p[j] = visible[j] && score === Infinity ? 1 : 0);
    return Infinity;
  }
  let sum = sink === -Infinity ? 0 : Math.exp(sink - max);
  for (let j = 0; j < scores.length; j++) {
    if (!visible[j]) continue;
    p[j] = Math.exp(scores[j]! - max); // ∞ − ∞ is NaN: two infinite scores have no limit
    sum += p[j]!;
  }
  for (let j = 0; j < p.length; j++) p[j]! /= sum;
  return max + Math.log(sum);
}

/** Backward pass. `dOut` is [batch, head, query, valueDim], `dLse` and `dEntropy` [batch, head, query]. */
export function attentionBackwardF64(
  problem: Problem,
  forward: ForwardF64,
  dOut: Float64Array,
  dLse?: Float64Array,
  dEntropy?: Float64Array,
): BackwardF64 {
  const { lengthK, headDim, valueDim, v, alibiSlopes: alibi, bias, sink } = problem;
  const q = turned(problem, "q", problem.q), k = turned(problem, "k", problem.k);
  const { probabilities, visible, dots, lse } = forward;
  const dq = new Float64Array(q.length);
  const dk = new Float64Array(k.length);
  const dv = new Float64Array(v.length);
  const dBias = bias && new Float64Array(bias.values.length);
  const dAlibiSlopes = alibi && new Float64Array(alibi.values.length);
  const dSink = sink && new Float64Array(sink.length);
  const learned = learnedCount(problem), dCaptured = new Float64Array(learned);
  const dp = new Float64Array(probabilities.length);
  const delta = new Float64Array(forward.lse.length);

  forEachRow(problem, ({ b, h, i, index, kvBase }) => {
    const at = index * lengthK;
    for (let j = 0; j < lengthK; j++) {
      const z = dropoutFactor(problem, index, j);
      if (!visible[at + j] || z === 0) continue;
      dp[at + j] = dot(z, dOut, index, v, kvBase + j, valueDim);
      delta[index]! += probabilities[at + j]! * dp[at + j]!;
    }
    // what the entropy needs of the row: its own gradient, itself, the sum of p
    const dH = dEntropy ? dEntropy[index]! : 0, entropy = forward.statistics.entropy[index]!;
    let sum = 0;
    for (let j = 0; j < lengthK; j++) sum += probabilities[at + j]!;
    if (sink && dSink && sink[h] !== -Infinity) {
      const p = sink[h] === Infinity && lse[index] === Infinity
        ? 1
        : Math.exp(sink[h]! - lse[index]!);
      dSink[h]! -= p * (delta[index]! - (dLse ? dLse[index]! : 0));
      if (dH !== 0) dSink[h]! += dH * p * (sum - entropy);
    }
    for (let j = 0; j < lengthK; j++) {
      if (!visible[at + j]) continue;
      const p = probabilities[at + j]!;
      const ofEntropy = dH === 0 || p === 0 ? 0 : dH * (Math.log(p) + entropy + 1 - sum);
      const ofScore = p * (dp[at + j]! - delta[index]! + (dLse ? dLse[index]! : 0) - ofEntropy);
      for (const [element, slope] of learnedTerms(problem, dots[at + j]!, b, h, i, j)) {
        dCaptured[element]! += ofScore * slope;
      }
      const ds = ofScore * modSlopeOf(problem, dots[at + j]!, b, h, i, j);
      if (bias && dBias) dBias[broadcastIndex(bias, b, h, i, j)]! += ds;
      if (alibi && dAlibiSlopes) {
        dAlibiSlopes[broadcastIndex(alibi, b, h, i, j)]! -= ds * alibiDistance(problem, b, i, j);
      }
      const dDot = ds * scoreSlope(problem, dots[at + j]!);
      addTo(dq, index, dDot, k, kvBase + j, headDim);
      addTo(dk, kvBase + j, dDot, q, index, headDim);
      const z = dropoutFactor(problem, index, j);
      if (z !== 0) addTo(dv, kvBase + j, z * p, dOut, index, valueDim);
    }
  });
  const ofOptions = { dBias, dAlibiSlopes, dSink, dCaptured: learned ? dCaptured : undefined };
  return {
    dq: turned(problem, "q", dq, true),
    dk: turned(problem, "k", dk, true),
    ...{ dv, ...ofOptions, dp, delta },
  };
}
