/** Causal attention of q, k and v `[batch, length, heads, headDim]`, in three ways. */
import * as tf from "@tensorflow/tfjs";
import { createFlashAttention } from "@flashtile/attention/tfjs";
import { op } from "./ops.ts";

export type Attend = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) => tf.Tensor;
export type AttentionName = "flash" | "materialised" | "by-heads";

/** Far below every score, and finite. */
const HIDDEN = -1e9;

/** Makes attention for the backend that is set; `dispose` frees what it holds between calls. */
export async function createAttention(
  name: AttentionName,
  length: number,
): Promise<{ attend: Attend; dispose: () => void }> {
  if (name === "flash") {
    const flashAttention = await createFlashAttention<tf.Tensor>(tf);
    return { attend: (q, k, v) => flashAttention(q, k, v, { causal: true }), dispose: () => {} };
  }
  const mask = causalMask(length);
  const attend = name === "materialised" ? materialised(mask) : byHeads(mask);
  return { attend, dispose: () => mask.dispose() };
}

/** What is added to scores `[length, length]`. */
function causalMask(length: number): tf.Tensor {
  const values = new Float32Array(length * length);
  for (let query = 0; query < length; query++) {
    values.fill(HIDDEN, query * length + query + 1, (query + 1) * length);
  }
  return tf.tensor(values, [length, length]);
}

/** As it is usually written: all scores are stored, and TensorFlow.js finds the gradients. */
function materialised(mask: tf.Tensor): Attend {
  return (q, k, v) => {
    const byHead = (x: tf.Tensor) => tf.transpose(x, [0, 2, 1, 3]);
    const scores = tf.mul(tf.matMul(byHead(q), byHead(k), false, true), 1 / Math.sqrt(q.shape[3]!));
    return byHead(tf.matMul(tf.softmax(tf.add(scores, mask)), byHead(v)));
  };
}

/**
 * As it is fastest with the ops of TensorFlow.js on its WASM backend: one head after the other, in products of two axes, and
 * probabilities computed again for gradients that are written out.
 */
function byHeads(mask: tf.Tensor): Attend {
  type Head = [q: tf.Tensor, k: tf.Tensor, v: tf.Tensor];
  const weights = (q: tf.Tensor, k: tf.Tensor) => {
    const scores = tf.mul(tf.matMul(q, tf.transpose(k)), 1 / Math.sqrt(q.shape[1]!));
    return tf.softmax(tf.add(scores, mask));
  };
  const gradients = (dOut: tf.Tensor, [q, k, v]: Head): tf.Tensor[] => {
    const p = weights(q, k), dWeights = tf.matMul(dOut, tf.transpose(v));
    const dScores = tf.mul(tf.sub(dWeights, tf.sum(tf.mul(dWeights, p), 1, true)), p);
    const d = tf.mul(dScores, 1 / Math.sqrt(q.shape[1]!));
    return [tf.matMul(d, k), tf.matMul(tf.transpose(d), q), tf.matMul(tf.transpose(p), dOut)];
  };
  return op({
    forward: (q, k, v) => {
      const parts = [q!, k!, v!].map(cutHeads);
      const heads = parts[0]!.map((q, n) =>
        tf.tidy(() => tf.matMul(weights(q, parts[1]![n]!), parts[2]![n]!))
      );
      return { value: joinHeads(heads, q!.shape), saved: [q!, k!, v!] };
    },
    backward: (dOut, q, k, v) => {
      const [ds, ...parts] = [dOut, q!, k!, v!].map(cutHeads);
      const each = ds!.map((d, n) =>
        tf.tidy(() => gradients(d, parts.map((heads) => heads[n]!) as Head))
      );
      return [0, 1, 2].map((at) => joinHeads(each.map((made) => made[at]!), q!.shape));
    },
  }) as Attend;
}

/** The heads of `[batch, length, heads, headDim]`, each `[length, headDim]`. */
function cutHeads(x: tf.Tensor): tf.Tensor[] {
  const [, length, , dim] = x.shape as [number, number, number, number];
  const rows = tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [-1, length, dim]);
  return tf.unstack(rows);
}

function joinHeads(parts: tf.Tensor[], shape: number[]): tf.Tensor {
  const [batch, length, heads, dim] = shape as [number, number, number, number];
  return tf.transpose(tf.reshape(tf.stack(parts), [batch, heads, length, dim]), [0, 2, 1, 3]);
}
