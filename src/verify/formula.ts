// One row of attention in float64, straight from the formula, and the rounding error that is to be expected of the same
// formula in float32 (the terms are those of the tests' rule: each rounding of its mean size, independent of the others).
import { evaluator } from "../expression/evaluate.ts";
import type { Place } from "../expression/symbols.ts";
import type { ExactCall, ExactFeature, Pair } from "../problem/features/exact.ts";
import type { RowRotation } from "../problem/features/row_rotation.ts";
import { feature } from "../problem/features/table.ts";
import type { AttentionProblem } from "../problem/problem.ts";
import { rotationOf } from "../problem/rotations.ts";
import type { Reader } from "./read.ts";

/** Mean size of a relative rounding error in float32. */
const U = 2 ** -24 / Math.sqrt(3);

/** The same in float16, and half a step of its smallest numbers. */
const U16 = 2 ** -11 / Math.sqrt(3), LEAST16 = 2 ** -25;

/** Half a step of the 15 bits to which queries and weights may be rounded beside rows of bytes (docs/caches.md). */
const COARSE = 2 ** -15;

/** The tensors of a call as numbers, by the names of operands. */
export type Readers = Readonly<Record<string, Reader>>;

/** A row of results, and what its elements are expected to be off by. */
export interface ExactRow {
  readonly out: Float64Array;
  readonly lse: number;
  readonly errors: { readonly out: number; readonly lse: number };
}

/** Which row. */
export type RowIndex = Pick<Pair, "batch" | "head" | "query">;

/** What the functions of a caller do, which is the same for every such feature. */
function tracedFeature(name: AttentionProblem["features"][number], place: Place): ExactFeature {
  const { stage, traced } = feature(name.name), graph = traced!(name.params).graph;
  const at = evaluator([graph.root], place);
  return stage === "hide"
    ? { shows: ({ query, key }) => at(NaN, query, key)[0] !== 0 }
    : { score: (s, { query, key }) => at(s, query, key)[0]! };
}

/** Turns a row of a sequence. */
function turnRow(
  x: Float64Array,
  { dims, interleaved, table, sequences }: RowRotation,
  batch: number,
  row: number,
): void {
  const half = dims / 2, line = (sequences[batch]!.first + row) * dims;
  for (let p = 0; p < half; p++) {
    const i = interleaved ? 2 * p : p, j = interleaved ? i + 1 : p + half;
    const a = x[i]!, b = x[j]!, cos = table[line + p]!, sin = table[line + half + p]!;
    x[i] = a * cos - b * sin;
    x[j] = b * cos + a * sin;
  }
}

const norm = (x: Float64Array): number => Math.hypot(...x);

/** Scores of the keys that a row sees, each with what it may be off by. */
interface Scored {
  readonly keys: number[];
  readonly scores: number[];
  readonly errors: number[];
}

/** Computes rows of a call. */
export class Formula {
  readonly #problem: AttentionProblem;
  readonly #readers: Readers;
  readonly #starts: {
    readonly q: readonly number[] | undefined;
    readonly k: readonly number[] | undefined;
  };

  constructor(problem: AttentionProblem, readers: Readers) {
    this.#problem = problem;
    this.#readers = readers;
    const { queries, keys } = problem.packed ?? {};
    this.#starts = { q: queries?.starts, k: keys?.starts };
  }

  /** What operands of products are rounded by. */
  get #unit(): number {
    return this.#problem.precision === "f16" ? U16 : U;
  }

  get #coarse(): number {
    return this.#problem.operands.k?.dtype === "i8" ? COARSE : 0;
  }

  /** Where a row of a sequence lies in a tensor: the batch element, and the row there. */
  placeOf(side: "q" | "k", batch: number, row: number): readonly [number, number] {
    const starts = this.#starts[side];
    return starts ? [0, starts[batch]! + row] : [batch, row];
  }

  /** What the features do at the pairs of a head. */
  #meanings({ batch, head }: RowIndex): ExactFeature[] {
    const { features, spans, queryHeads, kvHeads } = this.#problem, span = spans[batch]!;
    const place: Place = {
      ...{ batch, head, kvHead: Math.floor(head / (queryHeads / kvHeads)), offset: span.offset },
      ...{ lengthQ: span.lengthQ, lengthK: span.lengthK },
    };
    const call: ExactCall = { place, values: (name) => this.#readers[name]! };
    return features.flatMap((use) => {
      const { exact, traced } = feature(use.name);
      if (traced) return [tracedFeature(use, place)];
      return exact ? [exact(use.params, call)] : [];
    });
  }

  #row(name: "q" | "k", batch: number, head: number, row: number): Float64Array {
    const [at, index] = this.placeOf(name, batch, row), rotation = rotationOf(this.#problem, name);
    const read = this.#readers[name]!, { headDim } = this.#problem;
    const x = Float64Array.from({ length: headDim }, (_, d) => read(at, head, index, d));
    if (rotation) turnRow(x, rotation, batch, row);
    return x;
  }

  #scored(row: RowIndex, meanings: readonly ExactFeature[]): Scored {
    const { spans, softmaxScale, queryHeads, kvHeads } = this.#problem,
      { batch, head, query } = row;
    const { low, high, lengthK } = spans[batch]!,
      found: Scored = { keys: [], scores: [], errors: [] };
    const kvHead = Math.floor(head / (queryHeads / kvHeads)),
      q = this.#row("q", batch, head, query);
    const size = Math.abs(softmaxScale) * norm(q),
      most = q.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    const coarse = this.#coarse * Math.abs(softmaxScale) * most;
    for (let key = Math.max(0, query + low); key < lengthK && key <= query + high; key++) {
      const pair: Pair = { batch, head, query, key };
      if (!meanings.every(({ shows }) => shows?.(pair) ?? true)) continue;
      const k = this.#row("k", batch, kvHead, key);
      let s = softmaxScale * q.reduce((sum, x, d) => sum + x * k[d]!, 0);
      let error = this.#unit * (Math.abs(s) + size * norm(k)) + coarse * norm(k);
      for (const { score } of meanings) {
        if (!score || s === -Infinity) continue; // what is hidden stays so
        const next = score(s, pair); // its slope, by what the error so far does to it
        const carried = Math.max(
          Math.abs(score(s + error, pair) - next),
          Math.abs(score(s - error, pair) - next),
        );
        error = (Number.isFinite(carried) ? carried : 0) +
          3 * U * (Math.abs(next) + Math.abs(next - s));
        s = next;
      }
      if (s === -Infinity) continue;
      found.keys.push(key);
      found.scores.push(s);
      found.errors.push(Number.isFinite(error) ? error : 0);
    }
    return found;
  }

  /** One row. */
  compute(row: RowIndex): ExactRow {
    const { valueDim, queryHeads, kvHeads } = this.#problem, { batch, head, query } = row;
    const meanings = this.#meanings(row), { keys, scores, errors } = this.#scored(row, meanings);
    const joined = meanings.flatMap(({ joins }) => joins ? [joins(row)] : []);
    const top = [...scores, ...joined].reduce((a, b) => Math.max(a, b), -Infinity);
    const out = new Float64Array(valueDim);
    if (top === -Infinity) return { out, lse: top, errors: { out: 0, lse: 0 } };
    const sum = [...scores, ...joined].reduce((total, s) => total + Math.exp(s - top), 0);
    const lse = top + Math.log(sum), kvHead = Math.floor(head / (queryHeads / kvHeads));
    const least = this.#problem.precision === "f16" ? LEAST16 : 0;
    const rough = (this.#coarse + least) *
      Math.exp(scores.reduce((a, b) => Math.max(a, b), -Infinity) - lse);
    let largest = 0, ofOut = 0, ofLse = 0;
    keys.forEach((key, n) => {
      const p = Math.exp(scores[n]! - lse), error = errors[n]!, pair = { batch, head, query, key };
      const z = meanings.reduce((z, { weight }) => z * (weight?.(pair) ?? 1), 1);
      const [at, index] = this.placeOf("k", batch, key);
      let size = 0;
      for (let d = 0; d < valueDim; d++) {
        const v = this.#readers["v"]!(at, kvHead, index, d);
        size = Math.max(size, Math.abs(v));
        out[d]! += p * z * v;
      }
      largest = Math.max(largest, size);
      ofOut += (z === 0 ? p * p * error : z * p * (this.#unit + (1 - p) * error)) ** 2 +
        (z * rough) ** 2;
      ofLse += (p * (U + error)) ** 2;
    });
    const most = out.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    return {
      ...{ out, lse },
      errors: {
        out: Math.sqrt(ofOut * largest ** 2 + (U * most) ** 2 * (1 + keys.length / 3)),
        lse: 3 * U * Math.abs(lse) + Math.sqrt(ofLse),
      },
    };
  }
}
