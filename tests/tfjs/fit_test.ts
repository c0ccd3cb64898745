/** Models that are fitted with the layer: the loss falls as it does with attention that stores the matrix of scores. */

import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import {
  createMultiHeadAttention,
  type MultiHeadAttentionArgs,
  type MultiHeadAttentionClass,
} from "@flashtile/attention/tfjs";
import { layerClass } from "../../src/tfjs/layer.ts";
import { opsOf } from "../../src/tfjs/tf_layers.ts";
import { normal, onBackends, valuesOf } from "./backends.ts";
import { materialized } from "./materialized.ts";

type Class = MultiHeadAttentionClass<tf.layers.Layer>;

/** The layer with attention by ops of TensorFlow.js, causal. */
const plainLayer = (): Class =>
  layerClass(
    opsOf(tf, "test"),
    (q, k, v) => {
      const [a, b, c] = [q, k, v] as unknown as [tf.Tensor, tf.Tensor, tf.Tensor];
      return materialized(a, b, c, { visible: (_b, _h, i, j) => j <= i });
    },
  ) as unknown as Class;

const ARGS: MultiHeadAttentionArgs = {
  ...{ numHeads: 4, numKeyValueHeads: 2, keyDim: 4, useCausalMask: true, inputShape: [7, 6] },
};

/** The losses of five epochs, and the weights after them. */
async function fit(Layer: Class): Promise<{ losses: number[]; weights: Float32Array[] }> {
  const model = tf.sequential();
  model.add(new Layer(ARGS));
  model.add(tf.layers.dense({ units: 6 }));
  model.setWeights(model.getWeights().map((w, n) => tf.mul(normal(`w ${n}`, w.shape), 0.4)));
  model.compile({ optimizer: tf.train.momentum(0.1, 0.9), loss: "meanSquaredError" });
  const x = normal("x", [6, 7, 6]), y = normal("y", [6, 7, 6]);
  const options = { epochs: 5, batchSize: 2, shuffle: false, verbose: 0 } as const;
  const { history } = await model.fit(x, y, options);
  const weights = await valuesOf(model.getWeights());
  const left = tf.memory().numTensors;
  await model.fit(x, y, options);
  assert.equal(tf.memory().numTensors, left, "a fit leaves nothing behind");
  model.dispose();
  return { losses: history["loss"] as number[], weights };
}

onBackends("a fitted model is that of the materialized attention", async () => {
  const got = await fit(await createMultiHeadAttention(tf)), want = await fit(plainLayer());
  assert.ok(got.losses.at(-1)! < 0.9 * got.losses[0]!, `losses ${got.losses}`);
  for (const [n, loss] of want.losses.entries()) {
    assert.ok(Math.abs(got.losses[n]! - loss) <= 1e-6 * loss, `${got.losses[n]}, ${loss}`);
  }
  want.weights.forEach((weight, n) => {
    weight.forEach((w, m) => {
      const x = got.weights[n]![m]!;
      assert.ok(Math.abs(w - x) <= 2e-6, `weight ${n}[${m}] is ${x} but must be ${w}`);
    });
  });
});
