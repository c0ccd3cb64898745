// TensorFlow.js as a user has it, in Node: the op with its gradients, and a model that is fitted for two steps.
import { attention } from "@flashtile/attention";
import { createFlashAttention, createMultiHeadAttention } from "@flashtile/attention/tfjs";
import * as tf from "@tensorflow/tfjs";
import { inputs, type Values } from "./inputs.ts";
import type { TfjsReport } from "./messages.ts";

await tf.setBackend("cpu");
const flashAttention = await createFlashAttention(tf);
const { q, k, v, dOut } = inputs();
const tensor = ({ data, shape }: Values): tf.Tensor => tf.tensor(data, [...shape]);
const list = async (x: tf.Tensor): Promise<number[]> => Array.from(await x.data());

const [tq, tk, tv, weights] = [tensor(q), tensor(k), tensor(v), tensor(dOut)];
const loss = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor): tf.Tensor =>
  tf.sum(tf.mul(flashAttention(q, k, v, { causal: true }), weights));
const [dq, dk, dv] = tf.grads(loss)([tq, tk, tv]);
const { lse } = await attention(q, k, v, { causal: true });
const numbers = {
  out: await list(flashAttention(tq, tk, tv, { causal: true })),
  lse: Array.from(lse.data),
  dq: await list(dq!),
  dk: await list(dk!),
  dv: await list(dv!),
};

const MultiHeadAttention = await createMultiHeadAttention(tf);
const model = tf.sequential();
model.add(new MultiHeadAttention({ numHeads: 2, keyDim: 4, inputShape: [6, 8] }));
model.compile({ optimizer: tf.train.sgd(0.5), loss: "meanSquaredError" });
const x = tf.randomNormal([2, 6, 8], 0, 1, "float32", 7);
const { history } = await model.fit(x, tf.mul(x, 0.5), { epochs: 2, verbose: 0 });
const report: TfjsReport = { numbers, losses: history["loss"] as number[] };
console.log(JSON.stringify(report));
