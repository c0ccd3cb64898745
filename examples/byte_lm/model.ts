/**
 * An attention-only language model over bytes: embedding, layers of causal attention with
 * residuals, output. Everything costly is `attention()` and `attentionBackward()`; the products
 * around them are small, and their gradients are written out by hand.
 */
import { attention, attentionBackward, type Engine, type HostTensor } from "../../mod.ts";
import { floats } from "./floats.ts";
import type { KeyValueCache } from "./kv_cache.ts";
import {
  addBiasGradient,
  addRmsNormGradients,
  crossEntropyInPlace,
  embed,
  embedGradient,
  rmsNorm,
} from "./layers.ts";
import { addLinear, addLinearGradients } from "./linear.ts";
import {
  initialParameters,
  type LayerParameters,
  listParameters,
  type ModelParameters,
  type ModelShape,
  type Parameter,
  VOCABULARY,
} from "./parameters.ts";
import { RotaryPositions } from "./positions.ts";
import type { Random } from "./random.ts";

/** What one layer's forward pass leaves for its backward pass: nothing of size length². */
interface LayerRecord {
  x: Float32Array;
  normed: Float32Array;
  q: HostTensor;
  k: HostTensor;
  v: HostTensor;
  out: HostTensor;
  lse: HostTensor;
}

/** q and k of one layer, `[1, length, heads, headDim]`, positions included. */
export interface LayerQueriesKeys {
  q: HostTensor;
  k: HostTensor;
}

export class ByteModel {
  readonly shape: ModelShape;
  readonly parameters: Parameter[];
  /** Milliseconds spent in our attention calls since the start. */
  attentionMs = 0;
  readonly #engine: Engine;
  readonly #weights: ModelParameters;
  readonly #positions: RotaryPositions;

  constructor(shape: ModelShape, random: Random, engine: Engine) {
    this.shape = shape;
    this.#engine = engine;
    this.#weights = initialParameters(shape, random);
    this.parameters = listParameters(this.#weights);
    this.#positions = new RotaryPositions(shape.headDim, shape.context);
  }

  /** Mean loss of guessing `targets` from `tokens` (both `[batch, length]`), in nats per byte. */
  async loss(
    tokens: Uint8Array,
    targets: Uint8Array,
    length: number,
  ): Promise<number> {
    const { x } = await this.#forward(tokens, length);
    const normed = rmsNorm(x, this.#weights.gain.value);
    return crossEntropyInPlace(
      this.#logits(normed),
      this.#weights.outputBias.value,
      targets,
    );
  }

  /** The same loss, and its gradient added to every parameter's. */
  async lossAndGradients(
    tokens: Uint8Array,
    targets: Uint8Array,
    length: number,
  ): Promise<number> {
    const { embedding, gain, output, outputBias, layers } = this.#weights;
    const { x, records } = await this.#forward(tokens, length);
    const normed = rmsNorm(x, gain.value);
    const logits = this.#logits(normed);
    const loss = crossEntropyInPlace(logits, outputBias.value, targets);

    const dLogits = logits; // overwritten in place
    const dNormed = new Float32Array(normed.length);
    const { dim } = this.shape;
    addBiasGradient(dLogits, outputBias.gradient);
    addLinearGradients(
      normed,
      output.value,
      dLogits,
      dNormed,
      output.gradient,
      dim,
      VOCABULARY,
    );
    const dx = new Float32Array(x.length);
    addRmsNormGradients(x, gain.value, dNormed, dx, gain.gradient);
    for (let layer = layers.length - 1; layer >= 0; layer--) {
      await this.#layerBackward(layers[layer]!, records[layer]!, dx, length);
    }
    embedGradient(tokens, dx, embedding.gradient);
    return loss;
  }

  /**
   * Reads `tokens` after what the cache holds and returns the logits of the byte that follows.
   * One token is a decode step: a single query row against all cached keys.
   */
  async extend(
    cache: KeyValueCache,
    tokens: Uint8Array,
  ): Promise<Float32Array> {
    const { dim } = this.shape;
    const { layers, embedding, gain, outputBias } = this.#weights;
    let x: Float32Array = new Float32Array(tokens.length * dim);
    embed(tokens, embedding.value, x);
    for (let layer = 0; layer < layers.length; layer++) {
      const { q, k, v } = this.#project(layers[layer]!, x, tokens.length, cache.length).qkv;
      const { keys, values } = cache.append(layer, k, v);
      const { out } = await this.#timed(() =>
        attention(q, keys, values, { causal: true, engine: this.#engine })
      );
      x = this.#residual(layers[layer]!, x, out);
    }
    cache.length += tokens.length;
    const last = rmsNorm(x.subarray(x.length - dim), gain.value);
    const logits = this.#logits(last);
    for (let c = 0; c < VOCABULARY; c++) logits[c]! += outputBias.value[c]!;
    return logits;
  }

  /** Queries and keys of every layer for one text: what its attention map is made of. */
  async queriesAndKeys(tokens: Uint8Array): Promise<LayerQueriesKeys[]> {
    return (await this.#forward(tokens, tokens.length)).records;
  }

  async #forward(
    tokens: Uint8Array,
    length: number,
  ): Promise<{ x: Float32Array; records: LayerRecord[] }> {
    let x: Float32Array = new Float32Array(tokens.length * this.shape.dim);
    embed(tokens, this.#weights.embedding.value, x);
    const records: LayerRecord[] = [];
    for (const layer of this.#weights.layers) {
      const { normed, qkv } = this.#project(layer, x, length, 0);
      const { out, lse } = await this.#timed(() =>
        attention(qkv.q, qkv.k, qkv.v, { causal: true, engine: this.#engine })
      );
      records.push({ x, normed, ...qkv, out, lse });
      x = this.#residual(layer, x, out);
    }
    return { x, records };
  }

  /** Adds the layer's gradients, and turns `dx` from the gradient of its output to that of x. */
  async #layerBackward(
    layer: LayerParameters,
    record: LayerRecord,
    dx: Float32Array,
    length: number,
  ): Promise<void> {
    const { dim, heads, kvHeads, headDim } = this.shape;
    const { x, normed, q, k, v, out, lse } = record;
    const dOut = {
      data: new Float32Array(floats(out).length),
      shape: out.shape,
    };
    const qDim = heads * headDim, kvDim = kvHeads * headDim;
    addLinearGradients(
      floats(out),
      layer.wo.value,
      dx,
      dOut.data,
      layer.wo.gradient,
      qDim,
      dim,
    );
    const { dq, dk, dv } = await this.#timed(() =>
      attentionBackward(dOut, { q, k, v, out, lse }, {
        causal: true,
        engine: this.#engine,
      })
    );
    this.#positions.turn(floats(dq), length, heads, 0, -1);
    this.#positions.turn(floats(dk), length, kvHeads, 0, -1);
    const dNormed = new Float32Array(normed.length);
    const { wq, wk, wv } = layer;
    addLinearGradients(
      normed,
      wq.value,
      floats(dq),
      dNormed,
      wq.gradient,
      dim,
      qDim,
    );
    addLinearGradients(
      normed,
      wk.value,
      floats(dk),
      dNormed,
      wk.gradient,
      dim,
      kvDim,
    );
    addLinearGradients(
      normed,
      wv.value,
      floats(dv),
      dNormed,
      wv.gradient,
      dim,
      kvDim,
    );
    // dx already holds the residual's share; the layer's own share joins it.
    addRmsNormGradients(x, layer.gain.value, dNormed, dx, layer.gain.gradient);
  }

  #project(
    layer: LayerParameters,
    x: Float32Array,
    length: number,
    firstPosition: number,
  ): {
    normed: Float32Array;
    qkv: { q: HostTensor; k: HostTensor; v: HostTensor };
  } {
    const { dim, heads, kvHeads, headDim } = this.shape;
    const normed = rmsNorm(x, layer.gain.value);
    const rows = x.length / dim;
    const project = (weights: Parameter, count: number): Float32Array => {
      const y = new Float32Array(rows * count * headDim);
      addLinear(normed, weights.value, y, dim, count * headDim);
      return y;
    };
    const q = project(layer.wq, heads);
    const k = project(layer.wk, kvHeads);
    const v = project(layer.wv, kvHeads);
    this.#positions.turn(q, length, heads, firstPosition);
    this.#positions.turn(k, length, kvHeads, firstPosition);
    const shape = (
      count: number,
    ): number[] => [rows / length, length, count, headDim];
    return {
      normed,
      qkv: {
        q: { data: q, shape: shape(heads) },
        k: { data: k, shape: shape(kvHeads) },
        v: { data: v, shape: shape(kvHeads) },
      },
    };
  }

  #residual(
    layer: LayerParameters,
    x: Float32Array,
    out: HostTensor,
  ): Float32Array {
    const { dim, heads, headDim } = this.shape;
    const y = x.slice();
    addLinear(floats(out), layer.wo.value, y, heads * headDim, dim);
    return y;
  }

  #logits(normed: Float32Array): Float32Array {
    const { dim } = this.shape;
    const logits = new Float32Array(normed.length / dim * VOCABULARY);
    addLinear(normed, this.#weights.output.value, logits, dim, VOCABULARY);
    return logits;
  }

  async #timed<T>(work: () => Promise<T>): Promise<T> {
    const start = performance.now();
    const result = await work();
    this.attentionMs += performance.now() - start;
    return result;
  }
}
