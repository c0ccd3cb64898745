/**
 * The named workloads every bench of this folder draws from, with what one call of each costs.
 * The names are stable: stored results refer to them.
 * @module
 */

/** One attention problem: shapes only, always in layout `bhsd`. */
export interface Case {
  readonly name: string;
  readonly batch: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly lengthQ: number;
  readonly lengthK: number;
  readonly headDim: number;
}

/** Inputs of one case in host memory, head-major. */
export interface Operands {
  readonly q: Float32Array;
  readonly k: Float32Array;
  readonly v: Float32Array;
  readonly dOut: Float32Array;
}

/** A self-attention case: as many keys as queries, one kv head per query head. */
export function square(name: string, heads: number, length: number, headDim: number): Case {
  const same = { queryHeads: heads, kvHeads: heads, lengthQ: length, lengthK: length };
  return { name, batch: 1, headDim, ...same };
}

function decode(name: string, kvHeads: number, lengthK: number): Case {
  return { name, batch: 1, queryHeads: 32, kvHeads, lengthQ: 1, lengthK, headDim: 128 };
}

/** Small, with a tail in every direction, for correctness before anything is timed. */
export const CHECK_CASE: Case = square("check", 2, 70, 64);

export const CASES: readonly Case[] = [
  square("s128", 12, 128, 64),
  square("s512", 12, 512, 64),
  square("s1024", 8, 1024, 64),
  square("s1024d32", 8, 1024, 32),
  square("s1024d128", 8, 1024, 128),
  square("s2048", 8, 2048, 64),
  square("s2048d32", 8, 2048, 32),
  square("s2048d128", 8, 2048, 128),
  square("s4096", 4, 4096, 64),
  square("s16384", 1, 16384, 64),
  square("s65536", 1, 65536, 64),
  decode("dec4k", 32, 4096),
  decode("dec32kgqa", 8, 32768),
];

/** The case of that name; an unknown name lists the known ones. */
export function caseNamed(name: string): Case {
  const found = [...CASES, CHECK_CASE].find((c) => c.name === name);
  if (!found) throw new RangeError(`No case "${name}": ${CASES.map((c) => c.name).join(", ")}`);
  return found;
}

/** Floating-point operations of the forward pass: two products over the visible half or whole. */
export function forwardFlops(c: Case, causal = false): number {
  return 4 * scores(c) * c.headDim * (causal ? 0.5 : 1);
}

/** Operations of the backward pass: its five products (the scores are recomputed). */
export function backwardFlops(c: Case, causal = false): number {
  return 10 * scores(c) * c.headDim * (causal ? 0.5 : 1);
}

function scores(c: Case): number {
  return c.batch * c.queryHeads * c.lengthQ * c.lengthK;
}

/** Bytes of K and V in f32: what a decode step cannot avoid reading. */
export function kvBytes(c: Case): number {
  return 2 * 4 * c.batch * c.kvHeads * c.lengthK * c.headDim;
}

/** Shapes of the operands in layout `bhsd`. */
export function shapes(c: Case): { q: number[]; kv: number[] } {
  return {
    q: [c.batch, c.queryHeads, c.lengthQ, c.headDim],
    kv: [c.batch, c.kvHeads, c.lengthK, c.headDim],
  };
}

/** The same inputs for every contender, in every process. */
export function operands(c: Case): Operands {
  const { q, kv } = shapes(c);
  const size = (shape: number[]) => shape.reduce((a, b) => a * b, 1);
  return {
    q: normal(size(q), 1),
    k: normal(size(kv), 2),
    v: normal(size(kv), 3),
    dOut: normal(size(q), 4),
  };
}

/**
 * Values close to a standard normal, so that softmax rows are neither flat nor one-hot: the sum of
 * the four bytes of a 32-bit xorshift state, shifted and scaled (cheap, and the same everywhere).
 */
export function normal(count: number, seed: number): Float32Array {
  const values = new Float32Array(count);
  let state = Math.imul(seed + 1, 0x9e3779b1) | 1;
  const scale = 1 / Math.sqrt(4 * (256 * 256 - 1) / 12);
  for (let i = 0; i < count; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const sum = (state & 255) + (state >>> 8 & 255) + (state >>> 16 & 255) + (state >>> 24);
    values[i] = (sum - 510) * scale;
  }
  return values;
}
