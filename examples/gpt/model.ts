import * as tf from "@tensorflow/tfjs";
import type { Random } from "../byte_lm/random.ts";
import type { Attend } from "./attention.ts";
import {
  crossEntropy,
  embed,
  geluLinear,
  layerNorm,
  linear,
  scoreBytes,
  VOCABULARY,
} from "./ops.ts";

export interface ModelShape {
  layers: number;
  heads: number;
  dim: number;
  context: number;
}

/** A part of the model that adds something to its rows `[batch * length, dim]`. */
export interface Stage {
  readonly variables: tf.Variable[];
  readonly apply: (x: tf.Tensor) => tf.Tensor;
}

const DEVIATION = 0.02;

/** GPT-2 (Radford et al., 2019) on bytes: learned positions, norms before each part, one table for input and output. */
export class Gpt {
  readonly shape: ModelShape;
  /** Attention and MLP of each layer, in turn. */
  readonly stages: readonly Stage[];
  readonly #table: tf.Variable;
  readonly #positions: tf.Variable;
  readonly #lastNorm: [gain: tf.Variable, shift: tf.Variable];

  constructor(shape: ModelShape, random: Random, attend: Attend) {
    const { layers, dim, context } = shape;
    this.shape = shape;
    this.#table = normal([VOCABULARY, dim], random);
    this.#positions = normal([context, dim], random);
    this.stages = Array.from({ length: layers }, () => [
      attentionStage(shape, random, attend),
      mlpStage(shape, random),
    ]).flat();
    this.#lastNorm = norm(dim);
  }

  /** Variables of `embed`, and those of `head`; the table is in both. */
  get embedVariables(): tf.Variable[] {
    return [this.#table, this.#positions];
  }

  get headVariables(): tf.Variable[] {
    return [this.#table, ...this.#lastNorm];
  }

  get variables(): tf.Variable[] {
    const inner = this.stages.flatMap(({ variables }) => variables);
    return [...this.embedVariables, ...inner, ...this.#lastNorm];
  }

  /** The rows that the first stage reads, of texts of `context` bytes. */
  embed(tokens: tf.Tensor1D): tf.Tensor {
    const { context, dim } = this.shape;
    const rows = tf.reshape(embed(tokens, this.#table), [-1, context, dim]);
    return tf.reshape(tf.add(rows, this.#positions), [-1, dim]);
  }

  /** The loss, of what the last stage made. */
  head(x: tf.Tensor, targets: tf.Tensor1D): tf.Scalar {
    return crossEntropy(scoreBytes(layerNorm(x, ...this.#lastNorm), this.#table), targets);
  }

  loss(tokens: tf.Tensor1D, targets: tf.Tensor1D): tf.Scalar {
    const x = this.stages.reduce((x, { apply }) => tf.tidy(() => apply(x)), this.embed(tokens));
    return this.head(x, targets);
  }

  dispose(): void {
    tf.dispose(this.variables);
  }
}

function attentionStage(
  { layers, heads, dim, context }: ModelShape,
  random: Random,
  attend: Attend,
): Stage {
  const [gain, shift] = norm(dim);
  const pack = normal([dim, 3 * dim], random), packBias = zeros(3 * dim);
  const out = normal([dim, dim], random, layers), outBias = zeros(dim);
  return {
    variables: [gain, shift, pack, packBias, out, outBias],
    apply: (x) => {
      const packed = linear(layerNorm(x, gain, shift), pack, packBias);
      const all = tf.reshape(packed, [-1, context, 3 * heads, dim / heads]);
      const [q, k, v] = tf.split(all, 3, 2) as [tf.Tensor, tf.Tensor, tf.Tensor];
      return tf.add(x, linear(tf.reshape(attend(q, k, v), [-1, dim]), out, outBias));
    },
  };
}

function mlpStage({ layers, dim }: ModelShape, random: Random): Stage {
  const [gain, shift] = norm(dim);
  const wide = normal([dim, 4 * dim], random), wideBias = zeros(4 * dim);
  const out = normal([4 * dim, dim], random, layers), outBias = zeros(dim);
  return {
    variables: [gain, shift, wide, wideBias, out, outBias],
    apply: (x) => {
      const rows = linear(layerNorm(x, gain, shift), wide, wideBias);
      return tf.add(x, geluLinear(rows, out, outBias));
    },
  };
}

function norm(dim: number): [gain: tf.Variable, shift: tf.Variable] {
  return [tf.tidy(() => tf.variable(tf.ones([dim]))), zeros(dim)];
}

const zeros = (size: number) => tf.tidy(() => tf.variable(tf.zeros([size])));

/** Normal weights; what adds to the rows 2 `layers` times begins smaller by the root of that. */
function normal(shape: [number, number], random: Random, layers = 0.5): tf.Variable {
  const deviation = DEVIATION / Math.sqrt(2 * layers);
  const values = Float32Array.from(
    { length: shape[0] * shape[1] },
    () => random.normal(deviation),
  );
  return tf.tidy(() => tf.variable(tf.tensor(values, shape)));
}
