/**
 * Rows of attention in float64, exactly or with the integers of `precision: "int8"`, made from their definition; also with
 * keys as they are, without a mean taken from them.
 * @module
 */

/** Operands of one head, rows behind each other. */
export interface Head {
  readonly q: Float32Array;
  readonly k: Float32Array;
  readonly v: Float32Array;
  readonly dim: number;
}

/** Keys that share a mean, and the steps in the largest element of a query and of a key. */
const GROUP = 96, QUERY = 127, KEY = 63;

type Row = Float64Array;
const rowsOf = (x: Float32Array, dim: number): Row[] =>
  Array.from(
    { length: x.length / dim },
    (_, n) => Float64Array.from(x.subarray(n * dim, (n + 1) * dim)),
  );
const largest = (x: Row) => x.reduce((most, y) => Math.max(most, Math.abs(y)), 0);
const dot = (a: Row, b: Row) => a.reduce((sum, x, d) => sum + x * b[d]!, 0);

/** A row in whole steps. */
function stepped(x: Row, steps: number): Row {
  const unit = largest(x) / steps || 1;
  return x.map((y) => Math.round(y / unit) * unit);
}

/** What is taken from each key: the mean of its group, where that makes keys smaller. */
function meansOf(keys: readonly Row[]): Row[] {
  return keys.map((key, n) => {
    const group = keys.slice(n - n % GROUP, n - n % GROUP + GROUP);
    const mean = key.map((_, d) => group.reduce((sum, x) => sum + x[d]!, 0) / group.length);
    const before = group.reduce((sum, x) => sum + largest(x), 0);
    const after = group.reduce((sum, x) => sum + largest(x.map((y, d) => y - mean[d]!)), 0);
    return after < before ? mean : key.map(() => 0);
  });
}

/** Rows of the result. `integers`: "exact" for none, or whether keys are less a mean. */
export function resultRows(
  { q, k, v, dim }: Head,
  rows: readonly number[],
  integers: "exact" | "less the mean" | "as they are",
): Row[] {
  const queries = rowsOf(q, dim), keys = rowsOf(k, dim), values = rowsOf(v, dim);
  const means = integers === "less the mean" ? meansOf(keys) : keys.map((key) => key.map(() => 0));
  const rest = keys.map((key, n) => {
    const less = key.map((x, d) => x - means[n]![d]!);
    return integers === "exact" ? less : stepped(less, KEY);
  });
  return rows.map((i) => {
    const query = queries[i]!, rounded = integers === "exact" ? query : stepped(query, QUERY);
    const scores = rest.map((key, n) =>
      (dot(rounded, key) + dot(query, means[n]!)) / Math.sqrt(dim)
    );
    const top = Math.max(...scores), weights = scores.map((s) => Math.exp(s - top));
    const sum = weights.reduce((a, b) => a + b);
    return query.map((_, d) => weights.reduce((out, p, n) => out + p * values[n]![d]!, 0) / sum);
  });
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
