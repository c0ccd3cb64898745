// Rounding errors, and rows with the sizes that they depend on.

/** Mean size of a relative rounding error in float32. */
export const U: number = 2 ** -24 / Math.sqrt(3);

/** The same in float16, and half a step of its smallest numbers. */
export const U16: number = 2 ** -11 / Math.sqrt(3), LEAST16: number = 2 ** -25;

/** Half a step of the 15 bits to which queries and weights may be rounded beside rows of bytes (docs/caches.md). */
export const COARSE: number = 2 ** -15;

/**
 * Steps in the largest element of what becomes integers, with precision `"int8"` and `"int8-pv"`: of a query, of a key, of a
 * column of values and of the weights of a row. A step rounds by 1/√12 of it in the mean.
 */
export const STEPS: Readonly<Record<"query" | "key" | "value", number>> = {
  query: 127 * Math.sqrt(12),
  key: 63 * Math.sqrt(12),
  value: 127 * Math.sqrt(12),
};

/** A row of numbers: its norm, and the size of its largest element. */
export interface Row {
  readonly values: Float64Array;
  readonly norm: number;
  readonly most: number;
}

/** The size of the largest element. */
export function largest(x: Float64Array): number {
  let most = 0;
  for (let n = 0; n < x.length; n++) most = Math.max(most, Math.abs(x[n]!));
  return most;
}

/** Product of two rows. */
export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let n = 0; n < a.length; n++) sum += a[n]! * b[n]!;
  return sum;
}

/** sum += factor · x */
export function addScaled(sum: Float64Array, factor: number, x: Float64Array): void {
  for (let n = 0; n < x.length; n++) sum[n]! += factor * x[n]!;
}

/** A row with its sizes. */
export function rowOf(values: Float64Array): Row {
  return { values, norm: Math.sqrt(dot(values, values)), most: largest(values) };
}

/** An error, where there is one: beside what is not finite nothing is expected. */
export function finite(error: number): number {
  return Number.isFinite(error) ? error : 0;
}
