// The gradients of the formula, row by row, by hand:
//
//   dp = dOut·v    delta = dOut·out    ds = p (dp − delta + dLse)
//   dq = slope ds k    dk = slope dsᵀ q    dv = pᵀ dOut    dBias = Σ ds    dAlibiSlopes = −Σ ds distance
//   dSink = −Σ share (delta − dLse)
//
// Beside each sum stands how large its terms are together: an error of a rounding of each is no fault.
import {
  type Arithmetic,
  broadcastIndex,
  type Formula,
  type RowPlace,
  rowsOf,
  ScoreRow,
} from "./formula.ts";

/** Names of gradients. */
export type GradientName = "dq" | "dk" | "dv" | "dBias" | "dAlibiSlopes" | "dSink";

/** A gradient, packed like its operand. */
export interface Gradient {
  readonly values: Float64Array;
  /** The largest sum of the sizes of the terms of an element. */
  readonly size: number;
}

/** Those of the operands that the problem has. */
export type Gradients = Partial<Record<GradientName, Gradient>>;

/** Sums of vectors with their factors: the sum of the factors' sizes bounds what a rounding can do. */
class Sum {
  readonly values: Float64Array;
  readonly #sizes: Float64Array;

  constructor(readonly count: number, readonly dim = 1) {
    this.values = new Float64Array(count * dim);
    this.#sizes = new Float64Array(count);
  }

  /** Adds factor times the row `at` of `vectors` to sum `index`; `size`: that of the factor's own terms. */
  add(
    { round }: Arithmetic,
    index: number,
    factor: number,
    size: number,
    vectors: Float64Array,
    at: number,
  ): void {
    const { values, dim } = this;
    for (let d = 0; d < dim; d++) {
      const term = round(factor * vectors[at * dim + d]!);
      values[index * dim + d] = round(values[index * dim + d]! + term);
    }
    this.#sizes[index]! += size;
  }

  /** `largest`: the size of the vectors' elements. */
  finish({ stored }: Arithmetic, largest: number): Gradient {
    const size = this.#sizes.reduce((worst, one) => Math.max(worst, one), 0) * largest;
    return { values: stored(this.values), size };
  }
}

const ONE = Float64Array.of(1);

/** The largest size of an element. */
export function largestOf(values: Float64Array): number {
  return values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
}

/** Gradients of Σ dOut·out + Σ dLse·lse. */
export function gradientsOf(formula: Formula, arithmetic: Arithmetic): Gradients {
  const { batch, queryHeads, kvHeads, lengthQ, lengthK, headDim, valueDim } = formula;
  const { q, k, dOut, bias, alibiSlopes, sink } = formula;
  const columns = batch * kvHeads * lengthK;
  const dq = new Sum(batch * queryHeads * lengthQ, headDim);
  const dk = new Sum(columns, headDim), dv = new Sum(columns, valueDim);
  const dBias = bias && new Sum(bias.values.length);
  const dAlibiSlopes = alibiSlopes && new Sum(queryHeads), dSink = sink && new Sum(queryHeads);
  const scores = new ScoreRow(lengthK), counts = formula.fault?.counts;
  for (const row of rowsOf(formula)) {
    scores.fill(formula, row, arithmetic);
    const { ds, sizes, delta } = scoreGradients(formula, row, scores, arithmetic);
    const counted = !counts || counts(row.batch, row.head, row.query);
    for (let j = 0; j < lengthK; j++) {
      if (!scores.visible[j]) continue;
      const slope = scores.slope[j]!, key = row.firstKey + j, size = sizes[j]!;
      const dDot = arithmetic.round(ds[j]! * slope), dotSize = size * Math.abs(slope);
      dq.add(arithmetic, row.index, dDot, dotSize, k, key);
      if (!counted) continue;
      dk.add(arithmetic, key, dDot, dotSize, q, row.index);
      dv.add(arithmetic, key, scores.p[j]!, scores.p[j]!, dOut, row.index);
      if (bias) dBias!.add(arithmetic, broadcastIndex(bias, row, j), ds[j]!, size, ONE, 0);
      const distance = scores.distance[j]!, turned = -arithmetic.round(ds[j]! * distance);
      dAlibiSlopes?.add(arithmetic, row.head, turned, size * distance, ONE, 0);
    }
    if (!counted) continue;
    const ofSink = -arithmetic.round(scores.sinkShare * delta.value);
    dSink?.add(arithmetic, row.head, ofSink, scores.sinkShare * delta.size, ONE, 0);
  }
  return {
    dq: dq.finish(arithmetic, largestOf(k)),
    dk: dk.finish(arithmetic, largestOf(q)),
    dv: dv.finish(arithmetic, largestOf(dOut)),
    ...(dBias && { dBias: dBias.finish(arithmetic, 1) }),
    ...(dAlibiSlopes && { dAlibiSlopes: dAlibiSlopes.finish(arithmetic, 1) }),
    ...(dSink && { dSink: dSink.finish(arithmetic, 1) }),
  };
}

/** dS of a row, the sizes of its terms, and delta − dLse. */
function scoreGradients(
  formula: Formula,
  row: RowPlace,
  scores: ScoreRow,
  arithmetic: Arithmetic,
): {
  ds: Float64Array;
  sizes: Float64Array;
  delta: { value: number; size: number };
} {
  const { v, dOut, dLse, valueDim, lengthK, fault } = formula, { round } = arithmetic;
  const at = row.index * valueDim, out = scores.output(formula, row, arithmetic);
  const ofLse = dLse ? dLse[row.index]! : 0;
  const ds = new Float64Array(lengthK), sizes = new Float64Array(lengthK);
  let value = 0, size = Math.abs(ofLse);
  out.forEach((x, d) => value = round(value + round(dOut[at + d]! * x)));
  if (fault?.noDelta) value = 0;
  value = round(value - ofLse);
  for (let j = 0; j < lengthK; j++) {
    if (!scores.visible[j]) continue;
    let dp = 0;
    for (let d = 0; d < valueDim; d++) {
      const product = dOut[at + d]! * v[(row.firstKey + j) * valueDim + d]!;
      dp = round(dp + round(product));
      sizes[j]! += Math.abs(product);
    }
    size += scores.p[j]! * sizes[j]!;
    ds[j] = round(scores.p[j]! * round(dp - value));
  }
  sizes.forEach((own, j) => sizes[j] = scores.p[j]! * (own + size));
  return { ds, sizes, delta: { value, size } };
}
