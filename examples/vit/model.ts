import * as tf from "@tensorflow/tfjs";
import type { Random } from "../byte_lm/random.ts";
import type { Attend } from "../transformer/attention.ts";
import { blocks, norm, normal, type Stage, zeros } from "../transformer/blocks.ts";
import { layerNorm, linear } from "../transformer/ops.ts";
import { SIDE } from "./digits.ts";

export interface ModelShape {
  layers: number;
  heads: number;
  dim: number;
  /** Pixels of a patch each way, a divisor of those of a picture. */
  patch: number;
}

/** How many patches a picture has. */
export const patchesOf = ({ patch }: { readonly patch: number }): number => (SIDE / patch) ** 2;

const CLASSES = 10;

/**
 * A vision transformer (Dosovitskiy et al., 2020): patches of a picture are its tokens, all of which see each other. Classes
 * are read off all of them together, which is learned sooner than from their mean.
 */
export class Vit {
  readonly shape: ModelShape;
  readonly #stages: readonly Stage[];
  readonly #embed: readonly [weight: tf.Variable, bias: tf.Variable];
  readonly #positions: tf.Variable;
  readonly #lastNorm: [gain: tf.Variable, shift: tf.Variable];
  readonly #classes: readonly [weight: tf.Variable, bias: tf.Variable];

  constructor(shape: ModelShape, random: Random, attend: Attend) {
    const { dim, patch } = shape, length = patchesOf(shape), deviation = 1 / Math.sqrt(dim);
    this.shape = shape;
    this.#embed = [normal([patch * patch, dim], 1 / patch, random), zeros(dim)];
    this.#positions = normal([length, dim], deviation, random);
    this.#stages = blocks({ ...shape, length, deviation }, random, attend);
    this.#lastNorm = norm(dim);
    this.#classes = [
      normal([length * dim, CLASSES], deviation / Math.sqrt(length), random),
      zeros(CLASSES),
    ];
  }

  get variables(): tf.Variable[] {
    const inner = this.#stages.flatMap(({ variables }) => variables);
    return [...this.#embed, this.#positions, ...inner, ...this.#lastNorm, ...this.#classes];
  }

  /** Logits `[pictures, 10]` of patches `[pictures * patches, patch * patch]`. */
  logits(patches: tf.Tensor): tf.Tensor {
    const { dim } = this.shape, length = patchesOf(this.shape);
    const rows = tf.reshape(linear(patches, ...this.#embed), [-1, length, dim]);
    const x = this.#stages.reduce(
      (x, { apply }) => tf.tidy(() => apply(x)),
      tf.reshape(tf.add(rows, this.#positions), [-1, dim]),
    );
    const pictures = tf.reshape(layerNorm(x, ...this.#lastNorm), [-1, length * dim]);
    return linear(pictures, ...this.#classes);
  }

  dispose(): void {
    tf.dispose(this.variables);
  }
}
