// Inputs that anybody can make again, and a row of the exact result.

/** q, k and v of self-attention, each `[1, heads, length, headDim]` (layout "bhsd"), with values between -1 and 1. */
export interface Inputs {
  readonly heads: number;
  readonly length: number;
  readonly headDim: number;
  readonly q: Float32Array<ArrayBuffer>;
  readonly k: Float32Array<ArrayBuffer>;
  readonly v: Float32Array<ArrayBuffer>;
}

/** Numbers between -1 and 1 by a generator of 32 bits (mulberry32). */
export function randomFloats(
  count: number,
  seed: number,
): Float32Array<ArrayBuffer> {
  const values = new Float32Array(count);
  let state = seed | 0;
  for (let i = 0; i < count; i++) {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    values[i] = ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1;
  }
  return values;
}

/** Inputs of so many heads and tokens. */
export function makeInputs(
  heads: number,
  length: number,
  headDim: number,
): Inputs {
  const size = heads * length * headDim,
    random = (seed: number) => randomFloats(size, seed);
  return { heads, length, headDim, q: random(1), k: random(2), v: random(3) };
}

/** One row of softmax(q kᵀ / √headDim) v in float64, by the plain formula. */
export function exactRow(
  inputs: Inputs,
  head: number,
  row: number,
): Float64Array {
  const { length, headDim, q, k, v } = inputs, base = head * length * headDim;
  const scores = new Float64Array(length), from = base + row * headDim;
  let highest = -Infinity;
  for (let j = 0; j < length; j++) {
    let dot = 0;
    for (let d = 0; d < headDim; d++) {
      dot += q[from + d]! * k[base + j * headDim + d]!;
    }
    scores[j] = dot / Math.sqrt(headDim);
    highest = Math.max(highest, scores[j]!);
  }
  const out = new Float64Array(headDim);
  let sum = 0;
  for (let j = 0; j < length; j++) {
    const weight = Math.exp(scores[j]! - highest);
    sum += weight;
    for (let d = 0; d < headDim; d++) {
      out[d]! += weight * v[base + j * headDim + d]!;
    }
  }
  return out.map((x) => x / sum);
}

/**
 * The largest difference between `out` and the exact result in four rows, as a share of the largest value there: about
 * 1e-7 for float32. NaN where `out` has one.
 */
export function errorOf(inputs: Inputs, out: Float32Array): number {
  const { heads, length, headDim } = inputs;
  const rows = [0, Math.floor(length / 3), Math.floor(length / 2), length - 1];
  let worst = 0, largest = 0;
  for (const [n, row] of rows.entries()) {
    const head = n % heads, from = (head * length + row) * headDim;
    exactRow(inputs, head, row).forEach((value, d) => {
      const difference = Math.abs(out[from + d]! - value);
      worst = difference <= worst ? worst : difference; // NaN stays
      largest = Math.max(largest, Math.abs(value));
    });
  }
  return worst / largest;
}
