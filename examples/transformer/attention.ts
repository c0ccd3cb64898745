/** Attention of q, k and v `[batch, length, heads, headDim]`, causal or not, in three ways. */
import * as tf from "@tensorflow/tfjs";
import { createFlashAttention } from "@flashtile/attention/tfjs";
import { oneOf } from "../flags.ts";
import { op } from "./ops.ts";

export type Attend = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) => tf.Tensor;
export type AttentionName = "flash" | "materialised" | "by-heads";

export const ATTENTION_HELP = `  --attention NAME  flash: this library's (default)
                    materialised: all scores are stored, gradients by TensorFlow.js
                    by-heads: the same formula, written to be fast on the wasm backend
                    both: flash and materialised, each a model, in turns on the same data`;

/** The kinds of attention that a flag names. */
export function parseAttention(text: string | undefined): AttentionName[] {
  const words = ["flash", "materialised", "by-heads", "both"] as const;
  const attention = oneOf("attention", text, words);
  return attention === "both" ? ["flash", "materialised"] : [attention];
}

/** Far below every score, and finite. */
const HIDDEN = -1e9;

/** Makes attention for the backend that is set; `dispose` frees what it holds between calls. */
export async function createAttention(
  name: AttentionName,
  { causal, length }: { causal: boolean; length: number },
): Promise<{ attend: Attend; dispose: () => void }> {
  if (name === "flash") {
    const flashAttention = await createFlashAttention<tf.Tensor>(tf);
    return { attend: (q, k, v) => flashAttention(q, k, v, { causal }), dispose: () => {} };
  }
  const mask = causal ? causalMask(length) : undefined;
  const attend = name === "materialised" ? materialised(mask) : byHeads(mask);
  return { attend, dispose: () => mask?.dispose() };
}

/** The softmax of `scores / √headDim`, of the pairs that the mask leaves. */
function weigh(scores: tf.Tensor, headDim: number, mask: tf.Tensor | undefined): tf.Tensor {
  const scaled = tf.mul(scores, 1 / Math.sqrt(headDim));
  return tf.softmax(mask ? tf.add(scaled, mask) : scaled);
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
function materialised(mask: tf.Tensor | undefined): Attend {
  return (q, k, v) => {
    const byHead = (x: tf.Tensor) => tf.transpose(x, [0, 2, 1, 3]);
    const weights = weigh(tf.matMul(byHead(q), byHead(k), false, true), q.shape[3]!, mask);
    return byHead(tf.matMul(weights, byHead(v)));
  };
}

/**
 * As it is fastest with the ops of TensorFlow.js on its WASM backend: one head after the other, in products of two axes, and
 * probabilities computed again for gradients that are written out.
 */
function byHeads(mask: tf.Tensor | undefined): Attend {
  type Head = [q: tf.Tensor, k: tf.Tensor, v: tf.Tensor];
  const weights = (q: tf.Tensor, k: tf.Tensor) =>
    weigh(tf.matMul(q, tf.transpose(k)), q.shape[1]!, mask);
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
