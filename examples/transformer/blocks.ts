/** The blocks of a transformer on rows `[batch * length, dim]`: attention and an MLP, with norms before each. */
import * as tf from "@tensorflow/tfjs";
import type { Random } from "../byte_lm/random.ts";
import type { Attend } from "./attention.ts";
import { geluLinear, layerNorm, linear } from "./ops.ts";

export interface BlockShape {
  layers: number;
  heads: number;
  dim: number;
  /** Rows that see each other. */
  length: number;
  /** Of weights at first; those of what adds to the rows 2 `layers` times are smaller by the root of that. */
  deviation: number;
}

/** A part of the model that adds something to its rows. */
export interface Stage {
  readonly variables: tf.Variable[];
  readonly apply: (x: tf.Tensor) => tf.Tensor;
  /** How many times as wide as its input it gets: so many pieces of rows take no more. 1 where rows see each other. */
  readonly pieces: number;
}

/** Attention and MLP of each layer, in turn. */
export function blocks(shape: BlockShape, random: Random, attend: Attend): Stage[] {
  return Array.from({ length: shape.layers }, () => [
    attentionStage(shape, random, attend),
    mlpStage(shape, random),
  ]).flat();
}

function attentionStage(
  { layers, heads, dim, length, deviation }: BlockShape,
  random: Random,
  attend: Attend,
): Stage {
  const [gain, shift] = norm(dim);
  const pack = normal([dim, 3 * dim], deviation, random), packBias = zeros(3 * dim);
  const out = normal([dim, dim], deviation / Math.sqrt(2 * layers), random), outBias = zeros(dim);
  return {
    variables: [gain, shift, pack, packBias, out, outBias],
    apply: (x) => {
      const rows = layerNorm(x, gain, shift), biases = tf.split(packBias, 3);
      // not the rows are split: tf.split of the WASM backend copies all that it splits to the host, for each part
      const [q, k, v] = tf.split(pack, 3, 1).map((weight, n) =>
        tf.reshape(linear(rows, weight, biases[n]!), [-1, length, heads, dim / heads])
      ) as [tf.Tensor, tf.Tensor, tf.Tensor];
      return tf.add(x, linear(tf.reshape(attend(q, k, v), [-1, dim]), out, outBias));
    },
    pieces: 1,
  };
}

function mlpStage({ layers, dim, deviation }: BlockShape, random: Random): Stage {
  const [gain, shift] = norm(dim);
  const wide = normal([dim, 4 * dim], deviation, random), wideBias = zeros(4 * dim);
  const out = normal([4 * dim, dim], deviation / Math.sqrt(2 * layers), random),
    outBias = zeros(dim);
  return {
    variables: [gain, shift, wide, wideBias, out, outBias],
    apply: (x) => {
      const rows = linear(layerNorm(x, gain, shift), wide, wideBias);
      return tf.add(x, geluLinear(rows, out, outBias));
    },
    pieces: 4,
  };
}

/** The gain and the shift of a layer norm. */
export function norm(dim: number): [gain: tf.Variable, shift: tf.Variable] {
  return [tf.tidy(() => tf.variable(tf.ones([dim]))), zeros(dim)];
}

/** A variable of zeros, such as a bias. */
export const zeros = (size: number): tf.Variable => tf.tidy(() => tf.variable(tf.zeros([size])));

/** A variable of normal numbers. */
export function normal(shape: [number, number], deviation: number, random: Random): tf.Variable {
  const values = Float32Array.from(
    { length: shape[0] * shape[1] },
    () => random.normal(deviation),
  );
  return tf.tidy(() => tf.variable(tf.tensor(values, shape)));
}
