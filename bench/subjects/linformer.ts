/**
 * Linformer (Wang et al. 2020, arXiv 2006.04768): keys and values of a head projected to a fixed
 * number of rows, then the same attention. The projection is a product by the library's own tile, so
 * that the comparison is about what is computed, not about how well.
 * @module
 */

import type { Engine } from "../../mod.ts";
import type { Work } from "../measure/race.ts";
import { asmModule, instantiate, OPERANDS } from "./asm.ts";

/** Rows of the projected keys and values: the paper's k. */
export const ROWS = 256;

/** Exports of bench/asm/project.ts. */
interface Kernel {
  scratchBytes(length: number, columns: number): number;
  project(
    ...operands: [
      e: number,
      x: number,
      o: number,
      rows: number,
      length: number,
      dim: number,
      scratch: number,
    ]
  ): void;
}

/** A projection `[ROWS, length]` in the memory of the kernel, as a model would keep it. */
export class Projection {
  readonly #kernel: Kernel;
  readonly #sizes: readonly [rows: number, length: number, dim: number];
  readonly #places: readonly [e: number, x: number, o: number, scratch: number];
  readonly #x: Float32Array;
  readonly #o: Float32Array;

  constructor(module: WebAssembly.Module, weights: Float32Array, dim: number) {
    const length = weights.length / ROWS, x = OPERANDS + 4 * weights.length;
    const o = x + 4 * length * dim, scratch = o + 4 * ROWS * dim;
    // the most that scratch may take: X transposed, its padding, a panel
    const bytes = scratch - OPERANDS + 4 * dim * (length + 64) + 64;
    const { kernel, memory } = instantiate<Kernel>(module, bytes);
    if (kernel.scratchBytes(length, dim) > bytes - (scratch - OPERANDS)) {
      throw new RangeError("too little scratch");
    }
    const e = new Float32Array(memory.buffer, OPERANDS, weights.length);
    for (let i = 0; i < ROWS; i++) {
      for (let j = 0; j < length; j++) {
        e[((i >> 3) * length + j) * 8 + (i & 7)] = weights[i * length + j]!;
      }
    }
    this.#kernel = kernel;
    this.#sizes = [ROWS, length, dim];
    this.#places = [OPERANDS, x, o, scratch];
    this.#x = new Float32Array(memory.buffer, x, length * dim);
    this.#o = new Float32Array(memory.buffer, o, ROWS * dim);
  }

  /** `[length, dim]` in, `[ROWS, dim]` out, both in the caller's memory. */
  apply(rows: Float32Array): Float32Array {
    const [e, x, o, scratch] = this.#places;
    this.#x.set(rows);
    this.#kernel.project(e, x, o, ...this.#sizes, scratch);
    return this.#o.slice();
  }
}

/** One head with host tensors, from q, k and v to the result. */
export async function linformerWork(
  engine: Engine,
  { q, k, v }: Readonly<Record<"q" | "k" | "v", Float32Array>>,
  dim: number,
): Promise<Work> {
  const module = await asmModule("project"), length = k.length / dim;
  const [e, f] = [1, 2].map((seed) => new Projection(module, randomProjection(length, seed), dim));
  check(e!, randomProjection(length, 1), k, dim);
  const tensor = (data: Float32Array) => ({ data, shape: [1, data.length / dim, 1, dim] });
  const run = () => {
    engine.attentionSync(tensor(q), tensor(e!.apply(k)), tensor(f!.apply(v)));
  };
  return { name: "linformer", run };
}

/** Independent normals of variance 1/ROWS, as in the paper's proof and at the start of its training. */
export function randomProjection(length: number, seed: number): Float32Array {
  let state = Math.imul(seed, 0x9e3779b1) | 1;
  const uniform = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return ((state >>> 0) + 0.5) / 2 ** 32;
  };
  const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  return Float32Array.from({ length: ROWS * length }, () => normal() / Math.sqrt(ROWS));
}

/** Some rows of a projection against a sum in float64. */
function check(projection: Projection, weights: Float32Array, x: Float32Array, dim: number): void {
  const length = x.length / dim, found = projection.apply(x);
  for (const row of [0, 1, 100, ROWS - 1]) {
    for (let d = 0; d < dim; d++) {
      let sum = 0;
      for (let j = 0; j < length; j++) sum += weights[row * length + j]! * x[j * dim + d]!;
      const error = Math.abs(sum - found[row * dim + d]!);
      if (!(error < 1e-4)) throw new Error(`the projection is wrong by ${error}`);
    }
  }
}
