/**
 * How far from the float64 oracle a result may be.
 *
 *   bound = max(factor × largest error of the plain f32 formula, rounding floor) + one ulp of the largest result
 *
 * with factor 2 forward and 3 for gradients, and the ulp (the final rounding of both), as FlashAttention's own tests have
 * it. The floor is there because the plain formula is sometimes exact by luck: with one visible key every ds is exactly 0,
 * whereas an equally good algorithm that sums in another order is off by a rounding. The floor is the error to be expected
 * of such a formula: one rounding for each term of a sum, of the size that roundings have in the mean (u/√3, u = 2⁻²⁴),
 * independent of each other, so that they add as a root of squares.
 *
 *   a score          δs = u·(|s| + scale·‖q‖·‖k‖)      its own, and those of the sums on the way to it; with ALiBi
 *                    + u·3·|slope|·distance             the slope in base 2, the product, the difference
 *                    times the slope of a scoreMod,     and u·(3·|what it changes| + |score|) of its own
 *   a probability    δp = p·(u + (1 − p)·δs)           its own, and its score's: dp/ds = p·(1 − p)
 *   a term of out    δp·|v|                            with dropout δp·z·|v|; where it is dropped p²·δs·|v|
 *   a term of lse    p·(u + δs)
 *   a sum of n       u·|sum|·√(n/3)                    of its partial sums, which grow towards it
 *   ds               δp·|dp − delta| + p·(δdp + δdelta), where δdp = u·(|dp| + z·‖dOut‖·‖v‖), δdelta likewise
 *
 *   the entropy      p·|log p + entropy + 1 − Σp|·δs   d entropy/ds
 *                    u·p·|log p|, u·(entropy + LAG)    its terms, and the sizes between which it is a difference
 *   max p            δp, and p·p'·δs of the others     dp/ds' = −p·p'
 *   the expected key p·|j − key|·δs + u·p·j            d key/ds
 *
 * The maximum that a row counts from may lag behind its largest score by LAG, and what is P times a score then is as large.
 *
 * With `precision: "f16"` the operands of the two products are rounded to f16, and so are their sums on the way: u of the
 * products, and of a probability on its way to v, is then that of f16. In backward u of dp is that of f16, p on its way to dv
 * and ds on its way to dq and dk have one more such rounding, and delta is made of an out that is off by as much.
 *
 * With `precision: "int8"` elements of q and k become integers: a step is 1/127 of the largest of a query, 1/63 of the largest
 * of a key, and a rounding is 1/√12 of it in the mean, independent of the others. A score is then off by
 *
 *   δs = scale·(max|q|/127·‖k‖ + max|k|/63·‖q‖)/√12
 *
 * more, times the slope of what follows it. That k is taken less a mean makes it smaller at most, where it counts.
 *
 * With `"int8-pv"` weights on their way to v, z·p, and elements of v less a mean become integers too, in groups of 96 keys: a
 * step is 1/127 of the largest weight of a row in a group, and of the largest element of a column of v there less its mean. A
 * term of out is off by
 *
 *   √((max z·p/127)² + (z·p/127)²)/√12·max|v|
 *
 * more, which takes v for what it is less a mean; a weight of 0 is none, and stays so.
 *
 * In backward δp is p·(u + δs + u·|lse|): it makes p from its own score and the stored lse, and does not divide by a sum
 * in which an error would cancel.
 */

import { decode, encode, halfUlp, smallestHalfStep, type StorageType } from "./half.ts";
import { type BackwardF64, forEachRow, type ForwardF64 } from "./reference/attention_f64.ts";
import {
  alibiDistance,
  broadcastIndex,
  dropoutFactor,
  learnedCount,
  learnedTerms,
  modSlope,
  modSlopeOf,
  scoreBeforeMod,
  scoreSlope,
} from "./reference/features.ts";
import { type Problem, type StatisticName, STATISTICS } from "./reference/problem.ts";
import { turned } from "./reference/rotary.ts";
import { mapTuple } from "./tuples.ts";

/** A wanted result with the error allowed at each of its elements. */
export interface Expected {
  readonly values: Float64Array;
  readonly bound: number;
  /** The format the library stores the result in; its rounding comes on top of the bound. */
  readonly dtype: StorageType;
}

/** The two factors of a pass. */
export interface Rule {
  /** Times the plain formula's error. */
  readonly plain: number;
  /** Times the floor, which is a standard deviation: where the plain formula is lucky, the library may be unlucky. */
  readonly floor: number;
}

export const forwardRule: Rule = { plain: 2, floor: 2 };
/** The gradients' floor is the wider one (it takes norms for sums), about three times the plain formula's error. */
export const gradientRule: Rule = { plain: 3, floor: 1.5 };

/** The bound of the rule at the top of this file. */
export function errorBound(
  rule: Rule,
  plain: Float32Array,
  exact: Float64Array,
  floor: number,
): number {
  const ulp = 2 * halfUlp.f32 * maxMagnitude(exact);
  return Math.max(rule.plain * maxError(plain, exact), rule.floor * floor) + ulp;
}

/** Root mean square of a relative rounding error in f32. */
const u = halfUlp.f32 / Math.sqrt(3);

/** What one element may be off by. */
export function allowedError({ bound, dtype }: Expected, want: number): number {
  if (dtype === "f32") return bound; // its rounding is in the floor
  return bound + halfUlp[dtype] * (Math.abs(want) + bound) + smallestHalfStep[dtype];
}

/** Largest difference over the elements that are finite in the oracle. */
export function maxError(plain: Float32Array, exact: Float64Array): number {
  let worst = 0;
  for (let n = 0; n < exact.length; n++) {
    worst = maxFinite(worst, Math.abs(plain[n]! - exact[n]!));
  }
  return worst;
}

/** The same in f16. */
export const u16: number = halfUlp.f16 / Math.sqrt(3);

/** What rounds products: `unit`, that of their operands and of themselves, and which are those of integers. */
export interface ProductRounding {
  readonly unit?: number;
  readonly integers?: "scores" | "scores and outputs";
}

/** Keys that share a unit where weights and values become integers; its steps in the largest of them. */
const GROUP = 96, STEPS = 127;

/** Rounding floors of the forward results. */
export function forwardFloors(
  problem: Problem,
  forward: ForwardF64,
  rounding: ProductRounding = {},
): { out: number; lse: number } {
  const { lengthK, valueDim } = problem, { unit = u, integers } = rounding;
  const scoreError = scoreErrors(problem, forward, rounding);
  const weightStep = integers === "scores and outputs" ? stepErrors(problem, forward) : () => 0;
  const out = new Sums(forward.lse.length);
  let lse = 0;
  forEachRow(problem, (row) => {
    const { index } = row;
    let squares = 0;
    for (let j = 0; j < lengthK; j++) {
      if (!forward.visible[index * lengthK + j]) continue;
      const p = forward.probabilities[index * lengthK + j]!;
      const error = scoreError(row, j);
      out.addTerm(
        index,
        Math.hypot(weightError(problem, index, j, p, error, unit), weightStep(index, j)),
      );
      squares += (p * (u + error)) ** 2; // dlse/ds = p
    }
    // Three roundings of the size of lse itself: the maximum, the logarithm, and the change of base between them.
    lse = maxFinite(lse, 3 * u * Math.abs(forward.lse[index]!) + Math.sqrt(squares));
  });
  return { out: out.floor(maxMagnitude(problem.v), forward.out, valueDim), lse };
}

/** How far a row's running maximum may lie from its largest score (asm/stages/softmax.ts moves it by 2^8). */
const LAG = 8 * Math.LN2;

/** What the statistics of one row are expected to be off by. */
function statisticErrors(
  problem: Problem,
  forward: ForwardF64,
  row: Row,
  scoreError: (row: Row, j: number) => number,
): Record<StatisticName, number> {
  const { lengthK } = problem, { index } = row, { statistics } = forward;
  const at = index * lengthK, p = forward.probabilities.subarray(at, at + lengthK);
  const [entropy, top, key] = mapTuple(
    ["entropy", "maxProbability", "expectedKey"],
    (name) => statistics[name as StatisticName][index]!,
  );
  const sum = p.reduce((sum, p) => sum + p, 0);
  let ofEntropy = 0, ofTop = 0, ofKey = 0, count = 0;
  for (let j = 0; j < lengthK; j++) {
    if (!forward.visible[at + j] || p[j] === 0) continue;
    const error = scoreError(row, j), log = Math.log(p[j]!);
    ofEntropy += (p[j]! * Math.abs(log + entropy + 1 - sum) * error) ** 2 +
      (u * p[j]! * log) ** 2;
    ofTop += (p[j] === top ? top * (u + (1 - top) * error) : top * p[j]! * error) ** 2;
    ofKey += (p[j]! * Math.abs(j - key) * error) ** 2 + (u * p[j]! * j) ** 2;
    count++;
  }
  const sums = u * u * count / 3; // of the partial sums, for each of them relative to its size
  return {
    entropy: Math.sqrt(ofEntropy + (sums + 3 * u * u) * (entropy + LAG * sum) ** 2),
    maxProbability: Math.sqrt(ofTop + (sums + 3 * u * u) * top ** 2),
    expectedKey: Math.sqrt(ofKey + (2 * sums + 3 * u * u) * key ** 2),
  };
}

/** Rounding floors of the statistics of rows. */
export function statisticFloors(
  problem: Problem,
  forward: ForwardF64,
  rounding: ProductRounding = {},
): Record<StatisticName, number> {
  const scoreError = scoreErrors(problem, forward, rounding);
  const floors = { entropy: 0, maxProbability: 0, expectedKey: 0 };
  forEachRow(problem, (row) => {
    const errors = statisticErrors(problem, forward, row, scoreError);
    for (const name of STATISTICS) floors[name] = maxFinite(floors[name], errors[name]);
  });
  return floors;
}

/** What the weight of a value is off by; a dropped pair still moves the others, whose sum it is in. */
function weightError(
  problem: Problem,
  index: number,
  j: number,
  p: number,
  score: number,
  unit = u,
): number {
  const z = dropoutFactor(problem, index, j);
  return z === 0 ? p * p * score : z * p * (unit + (1 - p) * score);
}

/** What rounding weights and values to integers does to the term of a row's key `j` in out, in the size of the largest value. */
function stepErrors(
  problem: Problem,
  { probabilities }: ForwardF64,
): (index: number, j: number) => number {
  const { lengthK } = problem, groups = Math.ceil(lengthK / GROUP);
  const weight = (index: number, j: number) => {
    const z = dropoutFactor(problem, index, j);
    return z === 0 ? 0 : z * probabilities[index * lengthK + j]!;
  };
  const most = new Map<number, number>(); // of a row, group by group
  const mostOf = (index: number, group: number) => {
    const at = index * groups + group;
    let found = most.get(at);
    if (found === undefined) {
      found = 0;
      const end = Math.min(lengthK, (group + 1) * GROUP);
      for (let j = group * GROUP; j < end; j++) found = maxFinite(found, weight(index, j));
      most.set(at, found);
    }
    return found;
  };
  return (index, j) => {
    const own = weight(index, j);
    if (own === 0) return 0;
    return 1 / STEPS / Math.sqrt(12) * Math.hypot(own, mostOf(index, Math.floor(j / GROUP)));
  };
}

/** What the elements of each row of out are expected to be off by. */
function outRowErrors(problem: Problem, forward: ForwardF64): Float64Array {
  const { lengthK, valueDim } = problem, size = maxMagnitude(problem.v);
  const scoreError = scoreErrors(problem, forward), errors = new Float64Array(forward.lse.length);
  forEachRow(problem, (row) => {
    let squares = 0, count = 0;
    for (let j = 0; j < lengthK; j++) {
      if (!forward.visible[row.index * lengthK + j]) continue;
      const p = forward.probabilities[row.index * lengthK + j]!;
      squares += (weightError(problem, row.index, j, p, scoreError(row, j)) * size) ** 2;
      count++;
    }
    const sum = maxMagnitude(
      forward.out.subarray(row.index * valueDim, (row.index + 1) * valueDim),
    );
    errors[row.index] = Math.sqrt(squares + (u * sum) ** 2 * count / 3);
  });
  return errors;
}

/** Rounding floors of what looks inside: a weight is made from its own score and the stored lse, as in backward. */
export function insideFloors(
  problem: Problem,
  forward: ForwardF64,
): { scores: number; probabilities: number; columnSums: number } {
  const { lengthK, queryHeads, lengthQ } = problem, scoreError = scoreErrors(problem, forward);
  const sums = new Sums(forward.lse.length / Math.max(1, lengthQ) * lengthK);
  let scores = 0, probabilities = 0;
  forEachRow(problem, (row) => {
    const { b, h, index } = row, lse = Math.abs(forward.lse[index]!);
    for (let j = 0; j < lengthK; j++) {
      if (!forward.visible[index * lengthK + j]) continue;
      const error = scoreError(row, j), p = forward.probabilities[index * lengthK + j]!;
      const weightError = p * (u + error + u * lse);
      scores = maxFinite(scores, error);
      probabilities = maxFinite(probabilities, weightError);
      sums.addTerm((b * queryHeads + h) * lengthK + j, weightError);
    }
  });
  return { scores, probabilities, columnSums: sums.floor(1, columnSums(problem, forward), 1) };
}

/** What each key received in total, [batch, head, key]. */
export function columnSums(
  problem: Problem,
  { probabilities }: { readonly probabilities: Float64Array | Float32Array },
): Float64Array<ArrayBuffer> {
  const { batch, queryHeads, lengthK } = problem;
  const sums = new Float64Array(batch * queryHeads * lengthK);
  forEachRow(problem, ({ b, h, index }) => {
    for (let j = 0; j < lengthK; j++) {
      sums[(b * queryHeads + h) * lengthK + j]! += probabilities[index * lengthK + j]!;
    }
  });
  return sums;
}

/** Rounding floors of the gradients. `dtype` counts because delta is made from an out stored in that format. */
export function gradientFloors(
  problem: Problem,
  forward: ForwardF64,
  backward: BackwardF64,
  dOut: Float64Array,
  dtype: StorageType,
  dEntropy?: Float64Array,
  rounding: ProductRounding = {},
): Record<"dq" | "dk" | "dv" | "dBias" | "dAlibiSlopes" | "dSink" | "dCaptured", number> {
  const { lengthK, queryHeads, kvHeads, batch, headDim, valueDim } = problem;
  const { alibiSlopes: alibi, bias, sink } = problem, { unit = u } = rounding;
  const narrowed = unit === u ? 0 : unit;
  const columns = batch * kvHeads * lengthK;
  const [dq, dk, dv] = mapTuple([forward.lse.length, columns, columns], (n) => new Sums(n));
  const dBias = new Sums(bias ? bias.values.length : 0);
  const dAlibiSlopes = new Sums(alibi ? alibi.values.length : 0);
  const dSink = new Sums(sink ? sink.length : 0), storedShifts = new Float64Array(queryHeads);
  const dCaptured = new Sums(learnedCount(problem));
  const scoreError = scoreErrors(problem, forward, rounding);
  const dOutNorms = rowNorms(dOut, valueDim);
  const outNorms = rowNorms(forward.out, valueDim);
  const valueNorms = rowNorms(problem.v, valueDim);
  const learns = learnedCount(problem) > 0;
  const outErrors = alibi || sink || learns ? outRowErrors(problem, forward) : new Float64Array();
  forEachRow(problem, (row) => {
    const { b, h, i, index, kvBase } = row;
    // delta is a sum over dOut∘out, and that out is the stored one.
    const stored = halfUlp[dtype] / Math.sqrt(3) + narrowed;
    const dH = Math.abs(dEntropy?.[index] ?? 0), entropy = forward.statistics.entropy[index]!;
    const lost = dH === 0 ? 0 : statisticErrors(problem, forward, row, scoreError).entropy;
    const deltaError = u * Math.abs(backward.delta[index]!) +
      stored * dOutNorms[index]! * outNorms[index]! + dH * (lost + u * (entropy + 1));
    // what a sum over a whole row makes of delta's error does not average out: that of out counts as well
    const rowDeltaError = deltaError + dOutNorms[index]! * outErrors[index]!;
    if (sink) {
      const p = Math.exp(sink[h]! - forward.lse[index]!);
      const pError = p * u * (1 + Math.abs(sink[h]!) + 2 * Math.abs(forward.lse[index]!));
      const size = Math.abs(backward.delta[index]!) + dH * (entropy + 1);
      dSink.addTerm(h, pError * size + p * rowDeltaError);
      const values = forward.out.subarray(index * valueDim, (index + 1) * valueDim);
      decode(encode(values, dtype), dtype).forEach((stored, d) => {
        storedShifts[h]! += p * dOut[index * valueDim + d]! * (stored - values[d]!);
      });
    }
    if (alibi) {
      let moment = 0, gradient = 0;
      for (let j = 0; j < lengthK; j++) {
        const at = index * lengthK + j;
        if (!forward.visible[at]) continue;
        const term = forward.probabilities[at]! * alibiDistance(problem, b, i, j) *
          Math.abs(modSlopeOf(problem, forward.dots[at]!, b, h, i, j));
        const logarithm = dH === 0 ? 0 : Math.log(forward.probabilities[at]!);
        moment += term;
        gradient += term * (backward.dp[at]! - backward.delta[index]!);
        if (term > 0) gradient -= (dEntropy?.[index] ?? 0) * term * (logarithm + entropy);
      }
      const lse = forward.lse[index]!, lseError = Number.isFinite(lse) ? u * Math.abs(lse) : 0;
      const place = broadcastIndex(alibi, b, h, i, 0);
      // the logarithm of p has the error of lse as well
      const ofRow = rowDeltaError + dH * lseError;
      dAlibiSlopes.addTerm(place, moment * ofRow + lseError * Math.abs(gradient));
    }
    for (const [element, moment] of learns ? learnedMoments(problem, forward, row) : []) {
      dCaptured.addTerm(element, moment * (rowDeltaError + dH * u * Math.abs(forward.lse[index]!)));
    }
    for (let j = 0; j < lengthK; j++) {
      const at = index * lengthK + j;
      if (!forward.visible[at]) continue;
      const p = forward.probabilities[at]!;
      const pError = p * (u + scoreError(row, j) + u * Math.abs(forward.lse[index]!));
      const dp = backward.dp[at]!, delta = backward.delta[index]!;
      const z = dropoutFactor(problem, index, j);
      const dpError = unit * (Math.abs(dp) + z * dOutNorms[index]! * valueNorms[kvBase + j]!);
      const logarithm = dH === 0 || p === 0 ? 0 : Math.log(p);
      // log p is the score less lse, and so is off like both
      const size = Math.abs(dp - delta) + dH * Math.abs(logarithm + entropy + 1);
      const ofLogarithm = dH * (scoreError(row, j) + u * Math.abs(forward.lse[index]!));
      const ofScore = pError * size + p * (dpError + deltaError + ofLogarithm);
      for (const [element, slope] of learnedTerms(problem, forward.dots[at]!, b, h, i, j)) {
        const own = u * (1 + Math.abs(slope)) + scoreError(row, j);
        dCaptured.addTerm(element, ofScore * Math.abs(slope) + p * size * own);
      }
      const dsError = ofScore * Math.abs(modSlopeOf(problem, forward.dots[at]!, b, h, i, j));
      const slope = Math.abs(scoreSlope(problem, forward.dots[at]!));
      const dotError = (dsError + narrowed * p * size) * slope;
      dq.addTerm(index, dotError);
      dk.addTerm(kvBase + j, dotError);
      dv.addTerm(kvBase + j, z * (pError + narrowed * p));
      if (bias) dBias.addTerm(broadcastIndex(bias, b, h, i, j), dsError);
      if (alibi) {
        const distance = alibiDistance(problem, b, i, j);
        dAlibiSlopes.addTerm(broadcastIndex(alibi, b, h, i, j), dsError * distance);
      }
    }
  });
  return {
    dq: dq.floor(maxMagnitude(problem.k), backward.dq, headDim),
    dk: dk.floor(maxMagnitude(problem.q), backward.dk, headDim),
    dv: dv.floor(maxMagnitude(dOut), backward.dv, valueDim),
    dBias: dBias.floor(1, backward.dBias ?? new Float64Array(), 1),
    dAlibiSlopes: dAlibiSlopes.floor(1, backward.dAlibiSlopes ?? new Float64Array(), 1),
    dCaptured: dCaptured.floor(1, backward.dCaptured ?? new Float64Array(), 1),
    // few rows may round out one way: what that alone does to a sum is known
    dSink: maxFinite(
      dSink.floor(1, backward.dSink ?? new Float64Array(), 1),
      maxMagnitude(storedShifts),
    ),
  };
}

/** What the weights of a row come to at each element that scoreMod learns: an error of delta is that of them all. */
function learnedMoments(
  problem: Problem,
  forward: ForwardF64,
  { b, h, i, index }: Row,
): Map<number, number> {
  const moments = new Map<number, number>();
  for (let j = 0; j < problem.lengthK; j++) {
    const at = index * problem.lengthK + j;
    if (!forward.visible[at]) continue;
    for (const [element, slope] of learnedTerms(problem, forward.dots[at]!, b, h, i, j)) {
      const before = moments.get(element) ?? 0;
      moments.set(element, before + forward.probabilities[at]! * Math.abs(slope));
    }
  }
  return moments;
}

/** Errors of many sums, each over terms coefficient × vector. */
class Sums {
  readonly #squares: Float64Array;
  readonly #counts: Float64Array;

  constructor(count: number) {
    this.#squares = new Float64Array(count);
    this.#counts = new Float64Array(count);
  }

  /** One more term of sum `index`, whose coefficient is off by `error`. */
  addTerm(index: number, error: number): void {
    this.#squares[index]! += error ** 2;
    this.#counts[index]!++;
  }

  /** The largest expected error: `size` bounds the vectors, `results` holds the sums, `dim` numbers each. */
  floor(size: number, results: Float64Array, dim: number): number {
    let worst = 0;
    this.#squares.forEach((square, index) => {
      const sum = maxMagnitude(results, index * dim, (index + 1) * dim);
      const partialSums = (u * sum) ** 2 * this.#counts[index]! / 3;
      worst = maxFinite(worst, Math.sqrt(square * size ** 2 + partialSums));
    });
    return worst;
  }
}

/** A row of scores, as `forEachRow` gives it. */
type Row = Parameters<Parameters<typeof forEachRow>[1]>[0];

/** A function giving δs of a row's key `j`, for keys that are visible. */
function scoreErrors(
  problem: Problem,
  { scores, dots }: ForwardF64,
  { unit = u, integers }: ProductRounding = {},
): (row: Row, j: number) => number {
  const { lengthK, headDim, alibiSlopes: alibi } = problem;
  const steps = integers
    ? {
      q: rowSteps(turned(problem, "q", problem.q), headDim, 127),
      k: rowSteps(turned(problem, "k", problem.k), headDim, 63),
    }
    : undefined;
  const queryNorms = rowNorms(problem.q, headDim);
  const keyNorms = rowNorms(problem.k, headDim);
  return ({ b, h, i, index, kvBase }, j) => {
    const at = index * lengthK + j;
    const slope = Math.abs(scoreSlope(problem, dots[at]!));
    const subtracted = alibi
      ? alibi.values[broadcastIndex(alibi, b, h, i, j)]! * alibiDistance(problem, b, i, j)
      : 0;
    const product = slope * queryNorms[index]! * keyNorms[kvBase + j]!;
    const score = scores[at]!, others = unit / u;
    const ofSteps = steps
      ? slope *
        (steps.q[index]! * keyNorms[kvBase + j]! + steps.k[kvBase + j]! * queryNorms[index]!)
      : 0;
    const roundings = others * product + 3 * Math.abs(subtracted) + ofSteps / u;
    if (!problem.options.scoreMod) return u * (Math.abs(score) + roundings);
    const before = scoreBeforeMod(problem, dots[at]!, b, h, i, j);
    const own = u * (Math.abs(before) + roundings);
    return own * Math.abs(modSlope(problem, before, b, h, i, j)) +
      u * (3 * Math.abs(score - before) + Math.abs(score));
  };
}

function rowNorms(values: Float64Array, dim: number): Float64Array {
  const squares = new Float64Array(values.length / dim);
  for (let row = 0, n = 0; row < squares.length; row++) {
    for (let d = 0; d < dim; d++, n++) squares[row]! += values[n]! ** 2;
  }
  return squares.map(Math.sqrt);
}

/** What rounding the elements of each row to so many steps of the largest makes. */
function rowSteps(values: Float64Array, dim: number, steps: number): Float64Array {
  return Float64Array.from(
    { length: values.length / dim },
    (_, n) => maxMagnitude(values.subarray(n * dim, (n + 1) * dim)) / steps / Math.sqrt(12),
  );
}

function maxFinite(a: number, b: number): number {
  return b > a && Number.isFinite(b) ? b : a;
}

function maxMagnitude(values: Float64Array, begin = 0, end = values.length): number {
  let worst = 0;
  for (let n = begin; n < end; n++) worst = maxFinite(worst, Math.abs(values[n]!));
  return worst;
}
