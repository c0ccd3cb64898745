import * as tf from "@tensorflow/tfjs";
import type { Random } from "../byte_lm/random.ts";
import type { Attend } from "../transformer/attention.ts";
import { blocks, norm, normal, type Stage } from "../transformer/blocks.ts";
import { crossEntropy, embed, layerNorm, scoreTokens } from "../transformer/ops.ts";

export interface ModelShape {
  layers: number;
  heads: number;
  dim: number;
  context: number;
}

/** Tokens are bytes. */
const VOCABULARY = 256;

/** Of weights at first. */
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
    const { dim, context } = shape;
    this.shape = shape;
    this.#table = normal([VOCABULARY, dim], DEVIATION, random);
    this.#positions = normal([context, dim], DEVIATION, random);
    this.stages = blocks({ ...shape, length: context, deviation: DEVIATION }, random, attend);
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
    return crossEntropy(scoreTokens(layerNorm(x, ...this.#lastNorm), this.#table), targets);
  }

  loss(tokens: tf.Tensor1D, targets: tf.Tensor1D): tf.Scalar {
    const x = this.stages.reduce((x, { apply }) => tf.tidy(() => apply(x)), this.embed(tokens));
    return this.head(x, targets);
  }

  dispose(): void {
    tf.dispose(this.variables);
  }
}
