/**
 * The yardstick: the unfused formula a careful person would write in float32, every intermediate rounded. Its error
 * against the oracle is what the library's error is measured by, so it must stay plain: no blocking, no compensated
 * sums, no higher precision.
 */

import { forEachRow } from "./attention_f64.ts";
import {
  alibiDistance,
  broadcastIndex,
  dropoutFactor,
  isVisible,
  learnedCount,
  learnedTerms,
  modified,
  modSlope,
} from "./features.ts";
import type { Problem, StatisticName } from "./problem.ts";
import { turned } from "./rotary.ts";

const f32 = Math.fround;

/** Results of the plain forward pass, packed as in the oracle. */
export interface ForwardF32 {
  readonly out: Float32Array;
  readonly lse: Float32Array;
  /** Weight of the sink in each row. */
  readonly sinkShares: Float32Array;
  readonly scores: Float32Array;
  readonly probabilities: Float32Array;
  readonly dots: Float32Array;
  /** d score / d dot at each position: constant unless there is a softcap. */
  readonly slopes: Float32Array;
  /** d scoreMod / d score at each position. */
  readonly modSlopes: Float32Array;
  readonly visible: Uint8Array;
  readonly statistics: Readonly<Record<StatisticName, Float32Array>>;
}

/** Results of the plain backward pass. */
export interface BackwardF32 {
  readonly dq: Float32Array;
  readonly dk: Float32Array;
  readonly dv: Float32Array;
  readonly dBias: Float32Array | undefined;
  readonly dAlibiSlopes: Float32Array | undefined;
  readonly dSink: Float32Array | undefined;
  readonly dCaptured: Float32Array | undefined;
}

/** The product of two rows, element by element. */
function dot(a: Float32Array, rowA: number, b: Float32Array, rowB: number, dim: number): number {
  const atA = rowA * dim, atB = rowB * dim;
  let sum = 0;
  for (let d = 0; d < dim; d++) sum = f32(sum + f32(a[atA + d]! * b[atB + d]!));
  return sum;
}

/** Adds `weight` times a row of `from` to a row of `to`. */
function addTo(
  to: Float32Array,
  rowTo: number,
  weight: number,
  from: Float32Array,
  rowFrom: number,
  dim: number,
): void {
  const atTo = rowTo * dim, atFrom = rowFrom * dim;
  for (let d = 0; d < dim; d++) to[atTo + d] = f32(to[atTo + d]! + f32(weight * from[atFrom + d]!));
}

/** Forward pass with S and P written out. */
export function attentionF32(problem: Problem): ForwardF32 {
  const { batch, queryHeads, lengthQ, lengthK, headDim, valueDim, alibiSlopes: alibi, bias } =
    problem;
  const q = Float32Array.from(turned(problem, "q", problem.q, false, f32));
  const k = Float32Array.from(turned(problem, "k", problem.k, false, f32));
  const v = Float32Array.from(problem.v);
  const sink = problem.sink && Float32Array.from(problem.sink);
  const scale = f32(problem.scale);
  const cap = problem.softcap === undefined ? undefined : f32(problem.softcap);
  const rows = batch * queryHeads * lengthQ;
  const out = new Float32Array(rows * valueDim);
  const lse = new Float32Array(rows);
  const sinkShares = new Float32Array(rows);
  const scores = new Float32Array(rows * lengthK);
  const probabilities = new Float32Array(rows * lengthK);
  const dots = new Float32Array(rows * lengthK);
  const slopes = new Float32Array(rows * lengthK);
  const modSlopes = new Float32Array(rows * lengthK);
  const visible = new Uint8Array(rows * lengthK);
  const entropy = new Float32Array(rows);
  const maxProbability = new Float32Array(rows);
  const expectedKey = new Float32Array(rows);

  forEachRow(problem, ({ b, h, i, index, kvBase }) => {
    const at = index * lengthK;
    let max = sink ? sink[h]! : -Infinity;
    for (let j = 0; j < lengthK; j++) {
      if (!isVisible(problem, b, h, i, j)) continue;
      visible[at + j] = 1;
      let score = dot(q, index, k, kvBase + j, headDim);
      dots[at + j] = score;
      score = f32(score * scale);
      slopes[at + j] = scale;
      if (cap !== undefined) {
        const tanh = f32(Math.tanh(f32(score / cap)));
        score = f32(cap * tanh);
        slopes[at + j] = f32(scale * f32(1 - f32(tanh * tanh)));
      }
      if (alibi) {
        const slope = f32(alibi.values[broadcastIndex(alibi, b, h, i, j)]!);
        score = f32(score - f32(slope * alibiDistance(problem, b, i, j)));
      }
      if (bias) score = f32(score + f32(bias.values[broadcastIndex(bias, b, h, i, j)]!));
      modSlopes[at + j] = modSlope(problem, score, b, h, i, j);
      score = modified(problem, score, b, h, i, j, f32);
      scores[at + j] = score;
      max = Math.max(max, score);
    }
    let sum = sink && sink[h]! > -Infinity ? f32(Math.exp(f32(sink[h]! - max))) : 0;
    const share = sum;
    for (let j = 0; j < lengthK; j++) {
      if (!visible[at + j]) continue;
      probabilities[at + j] = Math.exp(f32(scores[at + j]! - max));
      sum = f32(sum + probabilities[at + j]!);
    }
    sinkShares[index] = share === 0 ? 0 : f32(share / sum);
    lse[index] = sum === 0 ? -Infinity : f32(max + f32(Math.log(sum)));
    for (let j = 0; j < lengthK; j++) {
      if (!visible[at + j]) continue;
      const share = f32(probabilities[at + j]! / sum);
      probabilities[at + j] = share;
      if (share !== 0) {
        entropy[index] = f32(entropy[index]! - f32(share * f32(Math.log(share))));
      }
      maxProbability[index] = Math.max(maxProbability[index]!, share);
      expectedKey[index] = f32(expectedKey[index]! + f32(share * j));
      const z = f32(dropoutFactor(problem, index, j));
      if (z === 0) continue;
      const p = f32(probabilities[at + j]! * z);
      addTo(out, index, p, v, kvBase + j, valueDim);
    }
  });
  const statistics = { entropy, maxProbability, expectedKey };
  return {
    ...{ out, lse, sinkShares, dots, scores, probabilities, slopes, modSlopes, visible },
    statistics,
  };
}

/** Backward pass from the stored P. */
export function attentionBackwardF32(
  problem: Problem,
  { out, sinkShares, probabilities, dots, slopes, modSlopes, visible, statistics }: ForwardF32,
  dOutF64: Float64Array,
  dLseF64?: Float64Array,
  dEntropyF64?: Float64Array,
): BackwardF32 {
  const { lengthK, headDim, valueDim, alibiSlopes: alibi, bias, sink } = problem;
  const q = Float32Array.from(turned(problem, "q", problem.q, false, f32));
  const k = Float32Array.from(turned(problem, "k", problem.k, false, f32));
  const v = Float32Array.from(problem.v);
  const dOut = Float32Array.from(dOutF64);
  const dLse = dLseF64 && Float32Array.from(dLseF64);
  const dEntropy = dEntropyF64 && Float32Array.from(dEntropyF64);
  const dq = new Float32Array(q.length);
  const dk = new Float32Array(k.length);
  const dv = new Float32Array(v.length);
  const dBias = bias && new Float32Array(bias.values.length);
  const dAlibiSlopes = alibi && new Float32Array(alibi.values.length);
  const dSink = sink && new Float32Array(sink.length);
  const learned = learnedCount(problem), dCaptured = new Float32Array(learned);

  forEachRow(problem, ({ b, h, i, index, kvBase }) => {
    const at = index * lengthK;
    let delta = dot(dOut, index, out, index, valueDim);
    if (dLse) delta = f32(delta - dLse[index]!);
    const dH = dEntropy ? dEntropy[index]! : 0;
    // the entropy, and 1 − Σp, which is what the sink has
    const constant = f32(statistics.entropy[index]! + sinkShares[index]!);
    if (dSink) {
      const ofEntropy = f32(dH * f32(constant - 1));
      dSink[h] = f32(dSink[h]! - f32(sinkShares[index]! * f32(delta + ofEntropy)));
    }
    for (let j = 0; j < lengthK; j++) {
      if (!visible[at + j]) continue;
      const p = probabilities[at + j]!;
      const z = f32(dropoutFactor(problem, index, j));
      const dp = z === 0 ? 0 : dot(dOut, index, v, kvBase + j, valueDim);
      const logarithm = p === 0 ? 0 : f32(Math.log(p));
      const ofEntropy = f32(dH * f32(logarithm + constant));
      const ofScore = f32(p * f32(f32(f32(z * dp) - delta) - ofEntropy));
      for (const [element, slope] of learnedTerms(problem, dots[at + j]!, b, h, i, j)) {
        dCaptured[element] = f32(dCaptured[element]! + f32(ofScore * f32(slope)));
      }
      const ds = f32(ofScore * modSlopes[at + j]!);
      if (bias && dBias) {
        const place = broadcastIndex(bias, b, h, i, j);
        dBias[place] = f32(dBias[place]! + ds);
      }
      if (alibi && dAlibiSlopes) {
        const place = broadcastIndex(alibi, b, h, i, j);
        const term = f32(ds * alibiDistance(problem, b, i, j));
        dAlibiSlopes[place] = f32(dAlibiSlopes[place]! - term);
      }
      const dDot = f32(ds * slopes[at + j]!);
      addTo(dq, index, dDot, k, kvBase + j, headDim);
      addTo(dk, kvBase + j, dDot, q, index, headDim);
      if (z !== 0) addTo(dv, kvBase + j, f32(p * z), dOut, index, valueDim);
    }
  });
  const ofOptions = { dBias, dAlibiSlopes, dSink, dCaptured: learned ? dCaptured : undefined };
  const back = (side: "q" | "k", gradient: Float32Array) =>
    Float32Array.from(turned(problem, side, Float64Array.from(gradient), true, f32));
  return { dq: back("q", dq), dk: back("k", dk), dv, ...ofOptions };
}
