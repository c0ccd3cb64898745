// Rows of dq, dk and dv in float64, straight from the formula, and the rounding error that is to be expected of the same
// formula in float32, or with products of halves in float16.
//
//   p = exp(s - lse)      delta = dOut · out - dLse + dEntropy (entropy + exp(sink - lse))
//   dS = p (z dOut · v - delta - dEntropy log p)        dq = Σ dS slope scale k      dk = Σ dS slope scale q
//                                                       dv = Σ p z dOut
//
// lse, out and the entropy are those that the call was given: they may be of more keys than it has (attention in parts), and
// what they are off by is no error of this call.
import type { ExactFeature, Pair } from "../problem/features/exact.ts";
import { rotationOf } from "../problem/rotations.ts";
import { type RowState, scoredRow, stateOf, weightOf } from "./formula.ts";
import { type Pairs, type RowIndex, turnRow } from "./pairs.ts";
import { addScaled, dot, finite, largest, type Row, U } from "./rounding.ts";

/** A row of a gradient, and what its elements are expected to be off by. */
export interface ExactGradient {
  readonly values: Float64Array;
  readonly error: number;
}

/** A row of queries, as gradients need it. */
interface QueryRow {
  readonly index: RowIndex;
  readonly q: Row;
  readonly dOut: Row;
  readonly lse: number;
  /** The softmax state of a row whose lse is too large to hold it. */
  readonly own: RowState | undefined;
  readonly dEntropy: number;
  readonly delta: number;
  readonly deltaError: number;
}

/** What a pair adds: dk gets `ofScore` times q, dq the same times k, dv `ofValue` times dOut. */
interface PairGradient {
  readonly ofScore: number;
  readonly ofScoreError: number;
  /** What an error of delta is multiplied by, which all pairs of a row share. */
  readonly ofDelta: number;
  readonly ofValue: number;
  readonly ofValueError: number;
}

/** From this size on lse, in float32, is off by more than weights may be, and a row has a sum of its own. */
const LARGE = 8192;

/** Weights up to here may count as 0 and are wrong by themselves at most: a rounding of a weight of 1 is 2^40 times as much. */
const NOTHING = 2 ** -64;

/** The weight of a score: the limit where one grows without end. */
function weight(score: number, lse: number): number {
  if (lse === Infinity) return score === Infinity ? 1 : Number.isNaN(score) ? score : 0;
  return Math.exp(score - lse);
}

/** The state of a row whose lse is large and that of these keys; one of more keys is taken at its word. */
function ownState(
  pairs: Pairs,
  index: RowIndex,
  lse: number,
  meanings: readonly ExactFeature[],
): QueryRow["own"] {
  if (!(Math.abs(lse) > LARGE && Math.abs(lse) < Infinity)) return undefined;
  const state = stateOf(index, scoredRow(pairs, index, meanings), meanings);
  const exact = state.top + Math.log(state.sum);
  return Math.abs(exact - lse) <= 5e-7 * Math.abs(lse) ? state : undefined;
}

/** Undefined where the row saw no key: it adds nothing. */
function queryRow(
  pairs: Pairs,
  index: RowIndex,
  meanings: readonly ExactFeature[],
): QueryRow | undefined {
  const { batch, head, query } = index;
  const number = (name: "lse" | "dLse" | "dEntropy" | "entropy") =>
    pairs.number(name, "q", batch, head, query);
  const row = (name: "q" | "dOut" | "out") => pairs.row(name, "q", batch, head, query);
  const lse = number("lse"), dEntropy = number("dEntropy");
  if (lse === -Infinity) return undefined;
  const dOut = row("dOut"), out = row("out"), product = dot(dOut.values, out.values);
  const logits = meanings.flatMap(({ joins }) => joins ? [joins(index)] : []);
  const joined = logits.reduce((sum, s) => sum + (s === -Infinity ? 0 : weight(s, lse)), 0);
  const ofEntropy = dEntropy === 0 ? 0 : dEntropy * (number("entropy") + joined);
  const delta = product - number("dLse") + ofEntropy;
  const deltaError = U *
    (Math.abs(product) + dOut.norm * out.norm + Math.abs(delta) +
      Math.abs(ofEntropy) * (2 + Math.abs(lse)));
  return {
    ...{ index, q: row("q"), dOut, lse, own: ownState(pairs, index, lse, meanings) },
    ...{ dEntropy, delta, deltaError: finite(deltaError) },
  };
}

/** What a pair adds; undefined where it is hidden. */
function pairGradient(
  pairs: Pairs,
  row: QueryRow,
  [k, v]: readonly [Row, Row],
  pair: Pair,
  meanings: readonly ExactFeature[],
): PairGradient | undefined {
  const { dOut, lse, own, dEntropy, delta } = row,
    { unit, problem: { softmaxScale: scale } } = pairs;
  const { score, error, slope, slopeError } = pairs.score(row.q, k, pair, meanings, true);
  if (score === -Infinity) return undefined;
  const p = own ? weightOf(score, own) : weight(score, lse);
  const z = meanings.reduce((z, { weight }) => z * (weight?.(pair) ?? 1), 1);
  const ofWeight = z === 0 ? 0 : z * dot(dOut.values, v.values);
  const log = dEntropy === 0 || p === 0 ? 0 : dEntropy * Math.log(p);
  const size = ofWeight - delta - log, ofLse = own ? 0 : finite(U * Math.abs(lse));
  const dS = p * size, pError = p * (U + error + ofLse) + Math.min(p, NOTHING);
  // each part of dS is rounded by itself, and p multiplies them all
  const dSError = pError * (Math.abs(ofWeight - delta) + Math.abs(log) + Math.abs(dEntropy)) +
    p * (unit * (Math.abs(ofWeight) + Math.abs(size) + (z === 0 ? 0 : z * dOut.norm * v.norm))) +
    p * (Math.abs(dEntropy) * (error + ofLse) + U * Math.abs(log));
  return {
    ofScore: dS * slope * scale,
    ofScoreError: finite(
      Math.abs(scale) *
        (dSError * Math.abs(slope) + Math.abs(dS) * (slopeError + 2 * U * Math.abs(slope))),
    ),
    ofDelta: finite(p * slope * scale),
    ofValue: p * z,
    ofValueError: finite(z * (pError + unit * p)),
  };
}

/** A sum of `count` rows: its terms' errors, and those of its partial sums, which grow towards it. */
function gradient(values: Float64Array, squares: number, count: number): ExactGradient {
  const ofSums = (U * largest(values)) ** 2 * (1 + count / 3);
  return { values, error: finite(Math.sqrt(squares + ofSums)) };
}

function turnBack(pairs: Pairs, name: "q" | "k", x: Float64Array, batch: number, row: number) {
  const rotation = rotationOf(pairs.problem, name);
  if (rotation) turnRow(x, rotation, batch, row, true);
}

/** One row of dq. */
export function queryGradient(pairs: Pairs, index: RowIndex): ExactGradient {
  const { headDim } = pairs.problem, { batch, head, query } = index;
  const dq = new Float64Array(headDim), meanings = pairs.meanings(index, true);
  const row = queryRow(pairs, index, meanings), kvHead = pairs.kvHeadOf(head);
  if (!row) return { values: dq, error: 0 };
  const moment = new Float64Array(headDim);
  let squares = 0, count = 0;
  for (const pair of pairs.seen(index, meanings)) {
    const { key } = pair;
    const k = pairs.row("k", "k", batch, kvHead, key), v = pairs.row("v", "k", batch, kvHead, key);
    const found = pairGradient(pairs, row, [k, v], pair, meanings);
    if (!found) continue;
    addScaled(dq, found.ofScore, k.values);
    addScaled(moment, found.ofDelta, k.values); // an error of delta does not average out in a row
    squares += (found.ofScoreError * k.most) ** 2;
    count++;
  }
  squares += (row.deltaError * largest(moment)) ** 2;
  turnBack(pairs, "q", dq, batch, query);
  return gradient(dq, squares, count);
}

/** Sums over the queries that see a key. */
class KeySums {
  readonly key: number;
  readonly k: Row;
  readonly v: Row;
  readonly #dk: Float64Array;
  readonly #dv: Float64Array;
  #ofKey = 0;
  #ofValue = 0;
  #count = 0;

  constructor(pairs: Pairs, batch: number, kvHead: number, key: number) {
    this.key = key;
    this.k = pairs.row("k", "k", batch, kvHead, key);
    this.v = pairs.row("v", "k", batch, kvHead, key);
    this.#dk = new Float64Array(this.k.values.length);
    this.#dv = new Float64Array(this.v.values.length);
  }

  /** One more query. */
  add({ q, dOut, deltaError }: QueryRow, found: PairGradient): void {
    addScaled(this.#dk, found.ofScore, q.values);
    if (found.ofValue !== 0) addScaled(this.#dv, found.ofValue, dOut.values);
    this.#ofKey += ((found.ofScoreError + Math.abs(found.ofDelta) * deltaError) * q.most) ** 2;
    this.#ofValue += (found.ofValueError * dOut.most) ** 2;
    this.#count++;
  }

  results(pairs: Pairs, batch: number): { dk: ExactGradient; dv: ExactGradient } {
    turnBack(pairs, "k", this.#dk, batch, this.key);
    return {
      dk: gradient(this.#dk, this.#ofKey, this.#count),
      dv: gradient(this.#dv, this.#ofValue, this.#count),
    };
  }
}

/** Rows of dk and dv of some keys of one head of keys: each is a sum over all queries of the heads that read it. */
export function keyGradients(
  pairs: Pairs,
  batch: number,
  kvHead: number,
  keys: readonly number[],
): { key: number; dk: ExactGradient; dv: ExactGradient }[] {
  const { queryHeads, kvHeads, spans } = pairs.problem, group = queryHeads / kvHeads;
  const sums = keys.map((key) => new KeySums(pairs, batch, kvHead, key));
  for (let head = kvHead * group; head < (kvHead + 1) * group; head++) {
    const meanings = pairs.meanings({ batch, head }, true);
    for (let query = 0; query < spans[batch]!.lengthQ; query++) {
      const index = { batch, head, query };
      const seen = sums.filter(({ key }) => pairs.sees({ ...index, key }, meanings));
      const row = seen.length > 0 ? queryRow(pairs, index, meanings) : undefined;
      for (const sum of row ? seen : []) {
        const pair = { ...index, key: sum.key };
        const found = pairGradient(pairs, row!, [sum.k, sum.v], pair, meanings);
        if (found) sum.add(row!, found);
      }
    }
  }
  return sums.map((sum) => ({ key: sum.key, ...sum.results(pairs, batch) }));
}
