/**
 * A model of Llama architecture. Attention is this library's, over caches that hold all sequences;
 * the products around it are plain TypeScript.
 */
import type { Engine, HostTensor } from "../../mod.ts";
import { floats } from "../byte_lm/floats.ts";
import type { Caches } from "./caches.ts";
import { add, embed, rmsNorm, swiGlu } from "./layers.ts";
import { linear } from "./linear.ts";
import { rotate } from "./rotary.ts";
import type { LayerWeights, Model, ModelShape } from "./weights.ts";

/** Tokens of several sequences, one behind the other. */
export interface Rows {
  tokens: Int32Array;
  /** Where each sequence's tokens begin, and the end of all. */
  starts: Int32Array;
  /** The number of each sequence in the caches. */
  sequences: Int32Array;
}

export class Llama {
  readonly shape: ModelShape;
  /** Milliseconds spent so far in this library's calls, and in all. */
  attentionMs = 0;
  totalMs = 0;
  readonly #model: Model;
  readonly #engine: Engine;

  constructor(model: Model, engine: Engine) {
    this.#model = model;
    this.#engine = engine;
    this.shape = model.shape;
  }

  /**
   * Reads tokens behind what the caches hold of their sequences, and returns the logits of what
   * follows each sequence, [sequences, vocabulary]. When it throws, the caches are as before.
   */
  async forward(caches: Caches, rows: Rows): Promise<Float32Array> {
    const start = performance.now();
    const before = [...rows.sequences].map((sequence) => caches.length(sequence));
    try {
      return await this.#forward(caches, rows, positionsOf(rows, before));
    } catch (error) {
      rows.sequences.forEach((sequence, i) => caches.truncate(sequence, before[i]!));
      throw error;
    } finally {
      this.totalMs += performance.now() - start;
    }
  }

  async #forward(caches: Caches, rows: Rows, positions: Int32Array): Promise<Float32Array> {
    const { weights, normEpsilon } = this.#model, { dim, hidden } = this.shape;
    const x = embed(rows.tokens, weights.embedding, dim);
    for (const [layer, its] of weights.layers.entries()) {
      const out = await this.#attention(caches, layer, its, x, rows, positions);
      add(x, linear(out, its.wo, out.length / rows.tokens.length));
      const normed = rmsNorm(x, its.feedForwardNorm, normEpsilon);
      const gate = linear(normed, its.gate, dim);
      swiGlu(gate, linear(normed, its.up, dim));
      add(x, linear(gate, its.down, hidden));
    }
    const last = rows.sequences.length, ends = new Float32Array(last * dim);
    for (let i = 0; i < last; i++) {
      const end = rows.starts[i + 1]! * dim;
      ends.set(x.subarray(end - dim, end), i * dim);
    }
    return linear(rmsNorm(ends, weights.norm, normEpsilon), weights.classifier, dim);
  }

  /** The heads' outputs for rows of x, [rows, heads · headDim]. */
  async #attention(
    caches: Caches,
    layer: number,
    { attentionNorm, wq, wk, wv }: LayerWeights,
    x: Float32Array,
    rows: Rows,
    positions: Int32Array,
  ): Promise<Float32Array> {
    const { dim, heads, kvHeads, headDim } = this.shape, { rotary, normEpsilon } = this.#model;
    const normed = rmsNorm(x, attentionNorm, normEpsilon);
    const q = linear(normed, wq, dim), k = linear(normed, wk, dim), v = linear(normed, wv, dim);
    rotate(q, positions, headDim, rotary);
    rotate(k, positions, headDim, rotary);
    const tensor = (data: Float32Array, count: number): HostTensor => ({
      data,
      shape: [...shapeOf(rows), count, headDim],
    });
    const { sequences, starts } = rows, packed = isPacked(rows);
    const start = performance.now();
    const cache = caches.layers[layer]!;
    await cache.append(tensor(k, kvHeads), tensor(v, kvHeads), {
      sequences,
      ...(packed ? { cuSeqlens: starts } : {}),
    });
    const { out } = await this.#engine.attention(tensor(q, heads), cache.keys, cache.values, {
      causal: true,
      sequences,
      ...(packed ? { cuSeqlensQ: starts } : {}),
    });
    this.attentionMs += performance.now() - start;
    return floats(out);
  }
}

/** Whether sequences have different numbers of rows; in a step of decoding, each has one. */
function isPacked({ starts }: Rows): boolean {
  return starts.some((start, i) => start !== i * starts[1]!);
}

/** The axes before the heads. */
function shapeOf(rows: Rows): number[] {
  const count = rows.sequences.length, total = rows.tokens.length;
  return isPacked(rows) ? [total] : [count, total / count];
}

function positionsOf({ tokens, starts }: Rows, before: number[]): Int32Array {
  const positions = new Int32Array(tokens.length);
  before.forEach((length, i) => {
    for (let row = starts[i]!; row < starts[i + 1]!; row++) {
      positions[row] = length + row - starts[i]!;
    }
  });
  return positions;
}
