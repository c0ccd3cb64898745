/** Attention written with ops of TensorFlow.js, which store the matrix of scores: the formula that gradients are compared with. */

import * as tf from "@tensorflow/tfjs";

/** What the formula knows of a call. Tensors of scores are [batch, heads, queries, keys], or broadcast to it. */
export interface Formula {
  readonly layout?: "bshd" | "bhsd";
  readonly softmaxScale?: number;
  /** Before everything: what becomes of q and of k, [batch, heads, length, dim]. */
  readonly turn?: (x: tf.Tensor, side: "q" | "k") => tf.Tensor;
  /** What becomes of the scaled scores, in the order of the options. */
  readonly scores?: (scores: tf.Tensor) => tf.Tensor;
  /** Whether a pair is visible. */
  readonly visible?: (batch: number, head: number, query: number, key: number) => boolean;
  /** A logit of each head that joins the denominator. */
  readonly sink?: tf.Tensor;
  /** What probabilities are multiplied with. */
  readonly kept?: tf.Tensor;
}

/** Far below every score, and finite: gradients of rows without keys stay numbers. */
const HIDDEN = -1e9;

/** Each head of [batch, heads, length, dim] as often as query heads read it. */
function repeatHeads(x: tf.Tensor, heads: number): tf.Tensor {
  const [batch, kvHeads, length, dim] = x.shape as [number, number, number, number];
  if (kvHeads === heads) return x;
  const group = heads / kvHeads; // gather and tile have no gradient on every backend
  const head = (n: number) => tf.slice(x, [0, n, 0, 0], [batch, 1, length, dim]);
  return tf.concat(Array.from({ length: heads }, (_, n) => head(Math.floor(n / group))), 1);
}

function visibleTensor(shape: number[], visible: NonNullable<Formula["visible"]>): tf.Tensor {
  const [, heads, queries, keys] = shape as [number, number, number, number];
  const bits = new Uint8Array(shape.reduce((a, b) => a * b, 1)).map((_, n) => {
    const row = Math.floor(n / keys), plane = Math.floor(row / queries);
    return Number(visible(Math.floor(plane / heads), plane % heads, row % queries, n % keys));
  });
  return tf.tensor(bits, shape, "bool");
}

/** The softmax of scores, with the sink as one more key that has no value. */
function probabilities(scores: tf.Tensor, sink: tf.Tensor | undefined): tf.Tensor {
  if (!sink) return tf.softmax(scores);
  const [batch, heads, queries, keys] = scores.shape as [number, number, number, number];
  const column = tf.tile(tf.reshape(sink, [1, heads, 1, 1]), [batch, 1, queries, 1]);
  const all = tf.softmax(tf.concat([scores, column], 3));
  return tf.slice(all, [0, 0, 0, 0], [batch, heads, queries, keys]);
}

/** Attention of q, k and v. */
export function materialized(
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  formula: Formula = {},
): tf.Tensor {
  const { layout = "bshd", turn = (x) => x, scores = (s) => s, visible, kept } = formula;
  const swap = (x: tf.Tensor) => layout === "bshd" ? tf.transpose(x, [0, 2, 1, 3]) : x;
  const heads = swap(q).shape[1]!, scale = formula.softmaxScale ?? 1 / Math.sqrt(q.shape[3]!);
  const keys = repeatHeads(turn(swap(k), "k"), heads), values = repeatHeads(swap(v), heads);
  let s = scores(tf.mul(tf.matMul(turn(swap(q), "q"), keys, false, true), scale));
  let some: tf.Tensor | undefined;
  if (visible) {
    const shown = visibleTensor(s.shape, visible);
    some = tf.cast(tf.any(shown, 3, true), "float32"); // a row without keys is zeros
    s = tf.where(shown, s, tf.fill(s.shape, HIDDEN));
  }
  let p = probabilities(s, formula.sink);
  if (kept) p = tf.mul(p, kept);
  const out = tf.matMul(p, values);
  return swap(some ? tf.mul(out, some) : out);
}
