import * as tf from "@tensorflow/tfjs";
import { Random } from "../byte_lm/random.ts";
import type { Batch } from "../byte_lm/text.ts";
import { type AttentionName, createAttention } from "../transformer/attention.ts";
import { gradientsAtOnce, gradientsByStage } from "./gradients.ts";
import { Gpt, type ModelShape } from "./model.ts";

export interface LearnerOptions extends ModelShape {
  rate: number;
  seed: number;
  recompute: boolean;
}

/** A model and its optimizers. */
export class Learner {
  readonly name: AttentionName;
  readonly model: Gpt;
  /** One for each variable: an optimizer frees what it makes on the way when it has done all that it is given. */
  readonly #optimizers: ReadonlyMap<string, tf.AdamOptimizer>;
  readonly #recompute: boolean;
  readonly #disposeAttention: () => void;

  private constructor(
    name: AttentionName,
    model: Gpt,
    { rate, recompute }: LearnerOptions,
    disposeAttention: () => void,
  ) {
    this.name = name;
    this.model = model;
    this.#optimizers = new Map(
      model.variables.map(({ name }) => [name, tf.train.adam(rate, 0.9, 0.98)]),
    );
    this.#recompute = recompute;
    this.#disposeAttention = disposeAttention;
  }

  /** Weights depend on the seed and the shape alone. */
  static async create(name: AttentionName, options: LearnerOptions): Promise<Learner> {
    const { attend, dispose } = await createAttention(name, {
      causal: true,
      length: options.context,
    });
    const model = new Gpt(options, new Random(options.seed), attend);
    return new Learner(name, model, options, dispose);
  }

  /** One step of training on pieces of `context` bytes; the loss before it. */
  step({ tokens, targets }: Batch): number {
    return tf.tidy(() => {
      const [read, next] = [tokens, targets].map((bytes) => tf.tensor1d(bytes, "int32"));
      const differentiate = this.#recompute ? gradientsByStage : gradientsAtOnce;
      const { loss, gradients } = differentiate(this.model, read!, next!);
      for (const [name, tensor] of Object.entries(gradients)) {
        this.#optimizers.get(name)!.applyGradients([{ name, tensor }]);
        tensor.dispose();
      }
      return loss.dataSync()[0]!;
    });
  }

  dispose(): void {
    this.model.dispose();
    for (const optimizer of this.#optimizers.values()) optimizer.dispose();
    this.#disposeAttention();
  }
}
