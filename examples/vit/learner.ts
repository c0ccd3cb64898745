import * as tf from "@tensorflow/tfjs";
import { Random } from "../byte_lm/random.ts";
import { type AttentionName, createAttention } from "../transformer/attention.ts";
import { crossEntropy } from "../transformer/ops.ts";
import { cutPatches, type Digits, type PatchBatch } from "./digits.ts";
import { type ModelShape, patchesOf, Vit } from "./model.ts";

export interface LearnerOptions extends ModelShape {
  rate: number;
  seed: number;
}

/** Pictures that are looked at in one call when a model is tested. */
const TESTED = 100;

/** A model and its optimizer. */
export class Learner {
  readonly name: AttentionName;
  readonly model: Vit;
  readonly #optimizer: tf.AdamOptimizer;
  readonly #rate: number;
  readonly #disposeAttention: () => void;

  private constructor(name: AttentionName, model: Vit, rate: number, disposeAttention: () => void) {
    this.name = name;
    this.model = model;
    this.#optimizer = tf.train.adam(rate, 0.9, 0.98);
    this.#rate = rate;
    this.#disposeAttention = disposeAttention;
  }

  /** Weights depend on the seed and the shape alone. */
  static async create(name: AttentionName, options: LearnerOptions): Promise<Learner> {
    const seen = { causal: false, length: patchesOf(options) };
    const { attend, dispose } = await createAttention(name, seen);
    const model = new Vit(options, new Random(options.seed), attend);
    return new Learner(name, model, options.rate, dispose);
  }

  /** One step of training at a share of the learning rate; the loss before it. */
  step({ patches, labels }: PatchBatch, share: number): number {
    // the optimizer reads it in each step, and has no method to set it
    (this.#optimizer as unknown as { learningRate: number }).learningRate = share * this.#rate;
    return tf.tidy(() => {
      const read = this.#tensor(patches), wanted = tf.tensor1d(labels, "int32");
      const { value, grads } = tf.variableGrads(
        () => crossEntropy(this.model.logits(read), wanted),
        this.model.variables,
      );
      this.#optimizer.applyGradients(
        Object.entries(grads).map(([name, tensor]) => ({ name, tensor })),
      );
      tf.dispose(grads);
      return value.dataSync()[0]!;
    });
  }

  /** The share of pictures whose digit is found. */
  accuracy(digits: Digits): number {
    const count = digits.labels.length, { patch } = this.model.shape;
    let found = 0;
    for (let first = 0; first < count; first += TESTED) {
      const which = Array.from({ length: Math.min(TESTED, count - first) }, (_, n) => first + n);
      const { patches, labels } = cutPatches(digits, which, patch);
      const best = tf.tidy(() => tf.argMax(this.model.logits(this.#tensor(patches)), 1).dataSync());
      found += labels.filter((label, n) => label === best[n]).length;
    }
    return found / count;
  }

  #tensor(patches: Float32Array): tf.Tensor {
    const pixels = this.model.shape.patch ** 2;
    return tf.tensor(patches, [patches.length / pixels, pixels]);
  }

  dispose(): void {
    this.model.dispose();
    this.#optimizer.dispose();
    this.#disposeAttention();
  }
}
