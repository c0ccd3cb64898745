// The problem that every consumer computes, and that the runner's float64 reference recomputes. Integer
// arithmetic only: each engine must build the same float32 numbers, so no Math.sin and no random.

/** A host tensor as the library takes it, without importing the library here. */
export interface Values {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

/** Large enough to start threads (the planner's limit is 10 Mflop), small enough to send as JSON. */
export const SIZES = {
  length: 400,
  queryHeads: 2,
  kvHeads: 1,
  headDim: 40,
  valueDim: 24,
} as const;

function values(seed: number, heads: number, dim: number): Values {
  const shape = [1, SIZES.length, heads, dim];
  const n = SIZES.length * heads * dim;
  const data = Float32Array.from(
    { length: n },
    (_, i) => (i * 7919 + seed * 3571) % 2003 / 1001 - 1,
  );
  return { data, shape };
}

/** Queries, keys, values and the gradient that comes back. Causal, two query heads on one kv head. */
export function inputs(): { q: Values; k: Values; v: Values; dOut: Values } {
  const { queryHeads, kvHeads, headDim, valueDim } = SIZES;
  return {
    q: values(1, queryHeads, headDim),
    k: values(2, kvHeads, headDim),
    v: values(3, kvHeads, valueDim),
    dOut: values(4, queryHeads, valueDim),
  };
}
