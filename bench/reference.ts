/**
 * Attention in float64, row by row: what every contender's result is checked against before
 * anything is timed. Layout `bhsd`; causal is aligned to the last key.
 * @module
 */

import type { Case, Operands } from "./cases.ts";

export interface Gradients {
  readonly dq: Float64Array;
  readonly dk: Float64Array;
  readonly dv: Float64Array;
}

/** Calls `visit` for every query row with its place in q and in k, and its probabilities. */
function eachRow(
  c: Case,
  { q, k }: Operands,
  causal: boolean,
  visit: (queryAt: number, keysAt: number, p: Float64Array) => void,
): void {
  const { batch, queryHeads, kvHeads, lengthQ, lengthK, headDim } = c;
  const scale = 1 / Math.sqrt(headDim);
  for (let head = 0; head < batch * queryHeads; head++) {
    const keysAt = Math.floor(head / (queryHeads / kvHeads)) * lengthK * headDim;
    for (let i = 0; i < lengthQ; i++) {
      const queryAt = (head * lengthQ + i) * headDim;
      const visible = causal ? Math.max(0, Math.min(lengthK, i + lengthK - lengthQ + 1)) : lengthK;
      const p = new Float64Array(visible);
      for (let j = 0; j < visible; j++) {
        let dot = 0;
        for (let d = 0; d < headDim; d++) dot += q[queryAt + d] * k[keysAt + j * headDim + d];
        p[j] = dot * scale;
      }
      const highest = p.reduce((a, b) => Math.max(a, b), -Infinity);
      let sum = 0;
      for (let j = 0; j < visible; j++) sum += p[j] = Math.exp(p[j] - highest);
      for (let j = 0; j < visible; j++) p[j] /= sum;
      visit(queryAt, keysAt, p);
    }
  }
}

/** The output, O = softmax(q·kᵀ·scale)·v. */
export function reference(c: Case, data: Operands, causal: boolean): Float64Array {
  const out = new Float64Array(data.q.length);
  eachRow(c, data, causal, (queryAt, keysAt, p) => {
    for (let j = 0; j < p.length; j++) {
      for (let d = 0; d < c.headDim; d++) {
        out[queryAt + d] += p[j] * data.v[keysAt + j * c.headDim + d];
      }
    }
  });
  return out;
}

/** The gradients of sum(dOut * O). */
export function referenceGradients(c: Case, data: Operands, causal: boolean): Gradients {
  const { q, k, v, dOut } = data;
  const size = c.headDim;
  const scale = 1 / Math.sqrt(size);
  const dq = new Float64Array(q.length);
  const dk = new Float64Array(k.length);
  const dv = new Float64Array(v.length);
  eachRow(c, data, causal, (queryAt, keysAt, p) => {
    const dp = p.map((_, j) => {
      let dot = 0;
      for (let d = 0; d < size; d++) dot += dOut[queryAt + d] * v[keysAt + j * size + d];
      return dot;
    });
    // dOut · O of this row, without forming O.
    const delta = dp.reduce((sum, x, j) => sum + x * p[j], 0);
    for (let j = 0; j < p.length; j++) {
      const ds = p[j] * (dp[j] - delta) * scale;
      const keyAt = keysAt + j * size;
      for (let d = 0; d < size; d++) {
        dq[queryAt + d] += ds * k[keyAt + d];
        dk[keyAt + d] += ds * q[queryAt + d];
        dv[keyAt + d] += p[j] * dOut[queryAt + d];
      }
    }
  });
  return { dq, dk, dv };
}

/** Largest absolute difference; NaN when anything is NaN, missing or of another size. */
export function worstError(values: Float32Array | undefined, exact: Float64Array): number {
  if (values?.length !== exact.length) return NaN;
  let worst = 0;
  for (let i = 0; i < exact.length; i++) {
    const error = Math.abs(values[i] - exact[i]);
    if (Number.isNaN(error)) return NaN;
    if (error > worst) worst = error;
  }
  return worst;
}
