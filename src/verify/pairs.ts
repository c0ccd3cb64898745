// Scores of single pairs in float64, straight from the formula, and the rounding error that is to be expected of the same
// formula in float32 (the terms are those of the tests' rule: each rounding of its mean size, independent of the others).
import { evaluator } from "../expression/evaluate.ts";
import type { Place } from "../expression/symbols.ts";
import type { ExactCall, ExactFeature, Pair } from "../problem/features/exact.ts";
import type { RowRotation } from "../problem/features/row_rotation.ts";
import { feature } from "../problem/features/table.ts";
import { hasIntegerScores } from "../problem/precision.ts";
import type { AttentionProblem } from "../problem/problem.ts";
import { rotationOf } from "../problem/rotations.ts";
import type { InputName } from "../tensor/operands.ts";
import type { Reader } from "./read.ts";
import { COARSE, dot, finite, type Row, rowOf, STEPS, U, U16 } from "./rounding.ts";

/** The tensors of a call as numbers, by the names of operands. */
export type Readers = Readonly<Record<string, Reader>>;

/** Which row of queries. */
export type RowIndex = Pick<Pair, "batch" | "head" | "query">;

/** The score of a pair, and what the features do to a change of the product that it is made of; each with its error. */
export interface ScoredPair {
  readonly score: number;
  readonly error: number;
  readonly slope: number;
  readonly slopeError: number;
}

/** What the functions of a caller do, which is the same for every such feature; `slopes`: whether those are asked for. */
function tracedFeature(
  { name, params }: AttentionProblem["features"][number],
  place: Place,
  slopes: boolean,
): ExactFeature {
  const { stage, traced } = feature(name), { graph, derivative } = traced!(params);
  const at = evaluator([graph.root], place);
  if (stage === "hide") return { shows: ({ query, key }) => at(NaN, query, key)[0] !== 0 };
  const score: ExactFeature["score"] = (s, { query, key }) => at(s, query, key)[0]!;
  if (!slopes) return { score };
  const slopeAt = evaluator([derivative()!.score], place);
  return { score, slope: (s, { query, key }) => slopeAt(s, query, key)[0]! };
}

/** Turns a row of a sequence; `inverse`: back. */
export function turnRow(
  x: Float64Array,
  { dims, interleaved, table, sequences }: RowRotation,
  batch: number,
  row: number,
  inverse = false,
): void {
  const { first, count } = sequences[batch]!, half = dims / 2, line = (first + row) * dims;
  if (row >= count) return; // nobody sees it: it stays
  for (let p = 0; p < half; p++) {
    const i = interleaved ? 2 * p : p, j = interleaved ? i + 1 : p + half;
    const a = x[i]!, b = x[j]!, cos = table[line + p]!;
    const sin = inverse ? -table[line + half + p]! : table[line + half + p]!;
    x[i] = a * cos - b * sin;
    x[j] = b * cos + a * sin;
  }
}

/** What a function makes of an error of what it is given, on the side where that is more. */
function carried(f: (x: number) => number, x: number, error: number): number {
  const y = f(x), up = Math.abs(f(x + error) - y), down = Math.abs(f(x - error) - y);
  return finite(Math.max(up, down));
}

/** Computes scores of a call, pair by pair. */
export class Pairs {
  readonly problem: AttentionProblem;
  readonly #readers: Readers;
  readonly #starts: {
    readonly q: readonly number[] | undefined;
    readonly k: readonly number[] | undefined;
  };

  constructor(problem: AttentionProblem, readers: Readers) {
    this.problem = problem;
    this.#readers = readers;
    const { queries, keys } = problem.packed ?? {};
    this.#starts = { q: queries?.starts, k: keys?.starts };
  }

  /** What operands of products are rounded by. */
  get unit(): number {
    return this.problem.precision === "f16" ? U16 : U;
  }

  get coarse(): number {
    return this.problem.operands.k?.dtype === "i8" ? COARSE : 0;
  }

  /** Where a row of a sequence lies in a tensor: the batch element, and the row there. */
  placeOf(side: "q" | "k", batch: number, row: number): readonly [number, number] {
    const starts = this.#starts[side];
    return starts ? [0, starts[batch]! + row] : [batch, row];
  }

  /** The head of keys that a query head reads. */
  kvHeadOf(head: number): number {
    return Math.floor(head / (this.problem.queryHeads / this.problem.kvHeads));
  }

  /** What the features do at the pairs of a head. */
  meanings({ batch, head }: Pick<Pair, "batch" | "head">, slopes = false): ExactFeature[] {
    const { features, spans } = this.problem, span = spans[batch]!;
    const place: Place = {
      ...{ batch, head, kvHead: this.kvHeadOf(head), offset: span.offset },
      ...{ lengthQ: span.lengthQ, lengthK: span.lengthK },
    };
    const call: ExactCall = { place, values: (name) => this.#readers[name]! };
    return features.flatMap((use) => {
      const { exact, traced } = feature(use.name);
      if (traced) return [tracedFeature(use, place, slopes)];
      return exact ? [exact(use.params, call)] : [];
    });
  }

  /** An element of an operand whose rows are those of q or of k; 0 where the call has none. */
  number(name: InputName, side: "q" | "k", batch: number, head: number, row: number): number {
    const [at, index] = this.placeOf(side, batch, row);
    return this.#readers[name]?.(at, head, index, 0) ?? 0;
  }

  /** A row of such an operand, turned where the call turns it. */
  row(name: InputName, side: "q" | "k", batch: number, head: number, row: number): Row {
    const { headDim, valueDim } = this.problem;
    const [at, index] = this.placeOf(side, batch, row), read = this.#readers[name]!;
    const length = name === "q" || name === "k" ? headDim : valueDim;
    const x = Float64Array.from({ length }, (_, d) => read(at, head, index, d));
    const rotation = rotationOf(this.problem, name);
    if (rotation) turnRow(x, rotation, batch, row);
    return rowOf(x);
  }

  /** Whether a query sees a key. */
  sees(pair: Pair, meanings: readonly ExactFeature[]): boolean {
    const { batch, query, key } = pair, { low, high, lengthK } = this.problem.spans[batch]!;
    return key < lengthK && key >= query + low && key <= query + high &&
      meanings.every(({ shows }) => shows?.(pair) ?? true);
  }

  /** The pairs of a query with the keys that it sees, in their order. */
  *seen(row: RowIndex, meanings: readonly ExactFeature[]): Generator<Pair> {
    const { low, high, lengthK } = this.problem.spans[row.batch]!, { query } = row;
    const end = Math.min(lengthK, query + high + 1);
    for (let key = Math.max(0, query + low); key < end; key++) {
      const pair = { ...row, key };
      if (this.sees(pair, meanings)) yield pair;
    }
  }

  /** The score of a pair that is not hidden; `q`, `k`: its rows. */
  score(
    q: Row,
    k: Row,
    pair: Pair,
    meanings: readonly ExactFeature[],
    slopes = false,
  ): ScoredPair {
    const { softmaxScale } = this.problem, scale = Math.abs(softmaxScale);
    let s = softmaxScale * dot(q.values, k.values), slope = 1, slopeError = 0;
    let error = this.unit * (Math.abs(s) + scale * q.norm * k.norm) +
      this.coarse * scale * q.most * k.norm;
    if (hasIntegerScores(this.problem.precision)) { // less a mean, keys are smaller at most
      error += scale * (q.most / STEPS.query * k.norm + k.most / STEPS.key * q.norm);
    }
    for (const { score, slope: slopeAt } of meanings) {
      if (!score || s === -Infinity) continue; // what is hidden stays so
      if (slopes && slopeAt) {
        // what it is made of may be as large as 1: that of tanh is 1 - tanh²
        const at = slopeAt(s, pair);
        const off = carried((x) => slopeAt(x, pair), s, error) + 3 * U * (1 + Math.abs(at));
        slopeError = slopeError * Math.abs(at) + Math.abs(slope) * off;
        slope *= at;
      }
      const next = score(s, pair); // what it makes of the error so far, by doing it
      error = carried((x) => score(x, pair), s, error) +
        3 * U * (Math.abs(next) + Math.abs(next - s));
      s = next;
    }
    return { score: s, error: finite(error), slope, slopeError: finite(slopeError) };
  }
}
