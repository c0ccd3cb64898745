/**
 * Rows of attention in float64, exactly or with the integers of `precision: "int8"` and `"int8-pv"`, made from their
 * definition; also without the means that are taken from keys and values. The softmax is the oracle's.
 * @module
 */

import { attentionF64 } from "../../tests/reference/attention_f64.ts";
import { describeProblem } from "../../tests/reference/problem.ts";

/** Operands of one head, rows behind each other. */
export interface Head {
  readonly q: Float32Array;
  readonly k: Float32Array;
  readonly v: Float32Array;
  readonly dim: number;
}

/** Which products are those of integers, and whether means are taken first. */
export interface Rounding {
  readonly of: "nothing" | "scores" | "scores and outputs";
  readonly means: boolean;
}

/** Keys that share a mean, and a unit of weights and values; the largest integers. */
const GROUP = 96, QUERY = 127, KEY = 63, WEIGHT = 127, VALUE = 127;

type Row = Float64Array;
const rowsOf = (x: Float32Array, dim: number): Row[] =>
  Array.from(
    { length: x.length / dim },
    (_, n) => Float64Array.from(x.subarray(n * dim, (n + 1) * dim)),
  );
const largest = (x: Row) => x.reduce((most, y) => Math.max(most, Math.abs(y)), 0);

/** Numbers in whole steps, of which the largest has so many. */
function stepped(x: Row, steps: number): Row {
  const unit = largest(x) / steps || 1;
  return x.map((y) => Math.round(y / unit) * unit);
}

/** Rows in groups of keys. */
function groupsOf<T>(rows: readonly T[]): T[][] {
  const count = Math.ceil(rows.length / GROUP);
  return Array.from({ length: count }, (_, n) => rows.slice(n * GROUP, (n + 1) * GROUP));
}

const meanOf = (group: readonly Row[]): Row =>
  group[0]!.map((_, d) => group.reduce((sum, x) => sum + x[d]!, 0) / group.length);

/** What is taken from each key: the mean of its group, where that makes keys smaller. */
function meansOf(keys: readonly Row[]): Row[] {
  return groupsOf(keys).flatMap((group) => {
    const mean = meanOf(group),
      size = (of: (x: Row) => Row) => group.reduce((sum, x) => sum + largest(of(x)), 0);
    const smaller = size((x) => x.map((y, d) => y - mean[d]!)) < size((x) => x);
    return group.map(() => smaller ? mean : mean.map(() => 0));
  });
}

/** P · v of weights in 7 bits and values in 8, each column less its mean, which returns with the weights as they are. */
function output(p: Row, values: readonly Row[], means: boolean): Row {
  const out = values[0]!.map(() => 0);
  groupsOf(values).forEach((group, g) => {
    const weights = p.subarray(g * GROUP, g * GROUP + group.length),
      rounded = stepped(weights, WEIGHT);
    const mean = means ? meanOf(group) : out.map(() => 0);
    const sum = weights.reduce((a, b) => a + b);
    out.forEach((_, d) => {
      const column = stepped(Float64Array.from(group, (v) => v[d]! - mean[d]!), VALUE);
      out[d]! += rounded.reduce((total, x, n) => total + x * column[n]!, 0) + sum * mean[d]!;
    });
  });
  return out;
}

/** Rows of the result. */
export function resultRows(
  { q, k, v, dim }: Head,
  rows: readonly number[],
  { of, means }: Rounding,
): Row[] {
  const keys = rowsOf(k, dim), integers = of !== "nothing";
  const taken = integers && means ? meansOf(keys) : keys.map((key) => key.map(() => 0));
  // [integers of a query, the query] · [integers of a key, what was taken from it]
  const queries = rows.map((i) => Float64Array.from(q.subarray(i * dim, (i + 1) * dim)))
    .flatMap((x) => [...integers ? stepped(x, QUERY) : x, ...x]);
  const rest = keys.flatMap((key, n) => {
    const less = key.map((x, d) => x - taken[n]![d]!);
    return [...integers ? stepped(less, KEY) : less, ...taken[n]!];
  });
  const tensor = (data: ArrayLike<number>, columns: number) => {
    return { data: Float32Array.from(data), shape: [1, data.length / columns, 1, columns] };
  };
  const options = { softmaxScale: 1 / Math.sqrt(dim) };
  const problem = describeProblem(
    ...[tensor(queries, 2 * dim), tensor(rest, 2 * dim), tensor(v, dim)] as const,
    options,
  );
  const { out, probabilities } = attentionF64(problem), count = keys.length;
  if (of !== "scores and outputs") return rows.map((_, n) => out.slice(n * dim, (n + 1) * dim));
  const values = rowsOf(v, dim);
  return rows.map((_, n) =>
    output(probabilities.subarray(n * count, (n + 1) * count), values, means)
  );
}

/** How far rows are from others: the cosine of all together, and the largest difference by the largest element. */
export function distance(
  got: readonly Row[],
  want: readonly Row[],
): { cosine: number; error: number } {
  const a = got.flatMap((row) => [...row]), b = want.flatMap((row) => [...row]);
  const product = (x: number[], y: number[]) => x.reduce((sum, z, n) => sum + z * y[n]!, 0);
  const off = a.reduce((most, x, n) => Math.max(most, Math.abs(x - b[n]!)), 0);
  const most = b.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  return { cosine: product(a, b) / Math.sqrt(product(a, a) * product(b, b)), error: off / most };
}
