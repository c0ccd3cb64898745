// Attention and its gradients in float64, straight from the formulas, for the one problem of
// apps/inputs.ts: batch 1, causal, query heads that share kv heads.
import { inputs, SIZES } from "./apps/inputs.ts";
import type { Numbers } from "./apps/messages.ts";

/** What the consumers' numbers are compared with. */
export type Reference = { readonly [K in keyof Numbers]: Float64Array };

function dot(a: ArrayLike<number>, ai: number, b: ArrayLike<number>, bi: number, n: number) {
  let sum = 0;
  for (let c = 0; c < n; c++) sum += a[ai + c]! * b[bi + c]!;
  return sum;
}

function addScaled(
  to: Float64Array,
  ti: number,
  f: number,
  a: Float32Array,
  ai: number,
  n: number,
) {
  for (let c = 0; c < n; c++) to[ti + c]! += f * a[ai + c]!;
}

/** Forward and backward, row by row. */
export function reference(): Reference {
  const { length, queryHeads, kvHeads, headDim, valueDim } = SIZES;
  const { q, k, v, dOut } = inputs();
  const scale = 1 / Math.sqrt(headDim), group = queryHeads / kvHeads;
  const result = {
    out: new Float64Array(dOut.data.length),
    lse: new Float64Array(queryHeads * length),
    dq: new Float64Array(q.data.length),
    dk: new Float64Array(k.data.length),
    dv: new Float64Array(v.data.length),
  };
  for (let head = 0; head < queryHeads; head++) {
    const kvHead = Math.floor(head / group);
    const keyAt = (j: number): number => (j * kvHeads + kvHead) * headDim;
    const valueAt = (j: number): number => (j * kvHeads + kvHead) * valueDim;
    for (let i = 0; i < length; i++) {
      const qi = (i * queryHeads + head) * headDim, oi = (i * queryHeads + head) * valueDim;
      const scores = Array.from(
        { length: i + 1 },
        (_, j) => scale * dot(q.data, qi, k.data, keyAt(j), headDim),
      );
      const max = Math.max(...scores);
      const lse = max + Math.log(scores.reduce((sum, s) => sum + Math.exp(s - max), 0));
      result.lse[head * length + i] = lse;
      const p = scores.map((s) => Math.exp(s - lse));
      p.forEach((pj, j) => addScaled(result.out, oi, pj, v.data, valueAt(j), valueDim));

      // dS = P * (dP - sum(dOut * out)), the rest are matrix products
      const delta = dot(dOut.data, oi, result.out, oi, valueDim);
      p.forEach((pj, j) => {
        const dp = dot(dOut.data, oi, v.data, valueAt(j), valueDim);
        const ds = pj * (dp - delta) * scale;
        addScaled(result.dq, qi, ds, k.data, keyAt(j), headDim);
        addScaled(result.dk, keyAt(j), ds, q.data, qi, headDim);
        addScaled(result.dv, valueAt(j), pj, dOut.data, oi, valueDim);
      });
    }
  }
  return result;
}
