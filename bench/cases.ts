/**
 * The workloads that every bench draws from, which sections they belong to, and what a call of each
 * costs. Names are stable: stored results refer to them.
 * @module
 */

import { mapTuple } from "../tests/tuples.ts";

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

/** One call: a case with its inputs. */
export interface Call {
  readonly c: Case;
  readonly data: Operands;
  readonly causal: boolean;
}

/** Batch × heads × length × head dimension, or batch × heads/kv heads × queries × keys × dimension. */
const SHAPES: Readonly<Record<string, string>> = {
  s128: "1x12x128x64",
  s512: "1x12x512x64",
  s1024: "1x8x1024x64",
  s1024d32: "1x8x1024x32",
  s1024d128: "1x8x1024x128",
  s2048: "1x8x2048x64",
  s2048d32: "1x8x2048x32",
  s2048d128: "1x8x2048x128",
  s4096: "1x4x4096x64",
  s16384: "1x1x16384x64",
  s65536: "1x1x65536x64",
  dec4k: "1x32/32x1x4096x128",
  dec32kgqa: "1x32/8x1x32768x128",
};

const HARDWARE = "4x16x1024x64! 4x16x1024x128! 1x16x4096x64! 1x16x4096x128!";

/**
 * Cases by tag: whose they are, and the section. Where some have a mark, a quick run takes only those:
 * `!` those of any run, `?` those of no other. `gpu` is a hardware GPU, `software` a software adapter,
 * whose cases are small; their names are their shapes.
 */
const TAGS: Readonly<Record<string, string>> = {
  "wasm forward": "s128! s512! s1024 s1024d32 s1024d128 s2048 s2048d32 s2048d128 s4096 s16384",
  "wasm causal": "s128 s512! s1024 s2048 s2048d128 s4096 s16384",
  "wasm backward": "s128 s512! s1024 s2048 s2048d32 s2048d128 s4096",
  "wasm decode": "dec4k! dec32kgqa",
  "wasm threads": "s128 s512! s1024 s2048 s4096 s16384",
  "wasm int8": "1x1x1024x64! 1x1x1024x128 1x1x4096x64 1x1x4096x128",
  "wasm density": "s4096 s1024?",
  "wasm features": "1x2x2048x64 1x2x512x64?",
  "wasm tfjs": "1x4x128x64! 1x4x512x64 1x4x1024x64 1x4x2048x64",
  "wasm linformer": "1x1x512x64! 1x1x1024x64! 1x1x2048x64 1x1x4096x64 1x1x8192x64 1x1x16384x64",
  "wasm memory": "s4096 s16384 s65536 s1024?",
  "peers forward": "s128! s512! s1024 s1024d32 s1024d128 s2048 s4096 s16384",
  "peers causal": "s128! s512! s1024 s2048 s4096 s16384",
  "peers threads": "s512 s1024! s2048 s4096 s16384",
  "peers backward": "s512 s1024 s2048 s128?",
  "peers decode": "dec4k! dec32kgqa",
  "peers memory": "s16384 s65536 s4096?",
  "gpu forward": `${HARDWARE} 1x8x16384x64 1x8x16384x128`,
  "gpu half": "1x16x4096x64 1x16x4096x128",
  "gpu backward": `${HARDWARE} 1x8x16384x64`,
  // Less than 32 MB of keys and values would measure a cache, more than 1.2 GB take long to make.
  "gpu decode": "1x32/32x1x4096x128! 1x32/8x1x4096x128! 1x32/32x1x16384x128 1x32/8x1x16384x128 " +
    "1x32/4x1x16384x128 1x32/32x1x32768x128! 1x32/8x1x32768x128! 1x32/4x1x32768x128! " +
    "1x32/8x1x65536x128 1x32/4x1x65536x128 1x32/8x1x131072x128 1x32/4x1x131072x128",
  "gpu memory": "1x2x8192x64 1x2x16384x64",
  "gpu peers": "1x8x1024x64 1x8x4096x64",
  "software forward": "1x8x1024x64! 1x8x1024x128",
  "software half": "1x8x1024x64",
  "software backward": "1x8x1024x64 1x4x1024x128 1x4x512x64?",
  "software decode": "1x32/32x1x4096x128 1x32/8x1x4096x128 1x32/4x1x4096x128",
  "software memory": "1x2x512x64 1x2x1024x64",
  "software peers": "1x8x1024x64",
};

/** Small, with a tail in every direction, for correctness before anything is timed. */
export const CHECK_CASE: Case = caseOf("1x2x70x64", "check");

/** The cases of a tag, such as `wasm forward`. */
export function tagged(tag: string, quick = false): Case[] {
  const names = TAGS[tag]!.split(" "), marked = names.filter((name) => /[!?]$/.test(name));
  const wanted = quick && marked.length ? marked : names.filter((name) => !name.endsWith("?"));
  return wanted.map((name) => caseNamed(name.replace(/[!?]$/, "")));
}

/** The case that stored results call so. */
export function caseNamed(name: string): Case {
  return caseOf(SHAPES[name] ?? name, name);
}

/** A case from its shape; the shape is its name unless it has another. */
export function caseOf(shape: string, name: string = shape): Case {
  const [batch, heads, ...rest] = shape.split("x");
  const [queryHeads, kvHeads = queryHeads] = heads?.split("/").map(Number) ?? [];
  const lengths = rest.length === 2 ? [rest[0], ...rest] : rest;
  const [lengthQ, lengthK, headDim] = lengths.map(Number);
  const sizes = { batch: Number(batch), queryHeads, kvHeads, lengthQ, lengthK, headDim };
  if (rest.length > 3 || !Object.values(sizes).every((n) => Number.isInteger(n) && n! > 0)) {
    throw new RangeError(`${shape}: a shape is BATCHxHEADSxLENGTHxDIM, such as 1x8x4096x64`);
  }
  return { name, ...sizes as Omit<Case, "name"> };
}

/** Floating-point operations of the forward pass: two products over the visible half or whole. */
export function forwardFlops(c: Case, causal = false): number {
  return 4 * c.batch * c.queryHeads * c.lengthQ * c.lengthK * c.headDim * (causal ? 0.5 : 1);
}

/** Operations of the backward pass: its five products (the scores are recomputed). */
export function backwardFlops(c: Case, causal = false): number {
  return 2.5 * forwardFlops(c, causal);
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
  const shape = shapes(c);
  const size = (shape: number[]) => shape.reduce((a, b) => a * b, 1);
  const [q, k, v, dOut] = mapTuple(
    [shape.q, shape.kv, shape.kv, shape.q],
    (of, i) => values(size(of), i + 1),
  );
  return { q, k, v, dOut };
}

/** The operands as they are once stored in 16 bits. */
export function roundedToHalf(data: Operands): Operands {
  const round = (x: Float32Array) => Float32Array.from(new Float16Array(x));
  return { q: round(data.q), k: round(data.k), v: round(data.v), dOut: round(data.dOut) };
}

/** Long arrays repeat, since making them takes longest. A prime, so that the rows differ. */
const BLOCK = 4_000_037;

/**
 * Values close to a standard normal, so that softmax rows are neither flat nor one-hot: the sum of
 * the four bytes of a 32-bit xorshift state, shifted and scaled (cheap, and the same everywhere).
 */
function values(count: number, seed: number): Float32Array {
  const values = new Float32Array(count);
  let state = Math.imul(seed + 1, 0x9e3779b1) | 1;
  const scale = 1 / Math.sqrt(4 * (256 * 256 - 1) / 12);
  for (let i = 0; i < Math.min(count, BLOCK); i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const sum = (state & 255) + (state >>> 8 & 255) + (state >>> 16 & 255) + (state >>> 24);
    values[i] = (sum - 510) * scale;
  }
  for (let at = BLOCK; at < count; at += BLOCK) values.copyWithin(at, 0, BLOCK);
  return values;
}
