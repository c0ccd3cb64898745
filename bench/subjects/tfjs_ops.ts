/**
 * Gradients of attention in one process with TensorFlow.js, on its WASM backend and one thread: by flashAttention, and by
 * formulas that store the matrix of scores, as users write them and as they are fastest there.
 * @module
 */

import * as tf from "@tensorflow/tfjs";
import { setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
import { attentionSync } from "../../mod.ts";
import { createFlashAttention } from "../../src/tfjs.ts";
import { type Call, shapes } from "../cases.ts";
import type { Entrant } from "../measure/race.ts";
import { gradientError, type Gradients, type Saved } from "../oracle.ts";
import { GRADIENT_TOLERANCE } from "./flashtile.ts";

type Attend = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) => tf.Tensor;

/** Far below every score, and finite. */
const HIDDEN = -1e9;

/** Starts the backend. */
export async function openTfjs(): Promise<void> {
  setWasmPaths(new URL("./", import.meta.resolve("@tensorflow/tfjs-backend-wasm")).pathname);
  if (!await tf.setBackend("wasm")) throw new Error("tfjs-wasm did not start");
}

/** What is added to the scores of a causal call. */
function causalMask({ c }: Call): tf.Tensor {
  const mask = Float32Array.from(
    { length: c.lengthQ * c.lengthK },
    (_, n) => n % c.lengthK > Math.floor(n / c.lengthK) ? HIDDEN : 0,
  );
  return tf.tensor(mask, [c.lengthQ, c.lengthK]);
}

/** Products of four axes, differentiated by `tf.grads`: the natural way. */
function natural(call: Call): Attend {
  const mask = causalMask(call), scale = 1 / Math.sqrt(call.c.headDim);
  return (q, k, v) => {
    const scores = tf.mul(tf.matMul(q, k, false, true), scale);
    return tf.matMul(tf.softmax(tf.add(scores, mask)), v);
  };
}

/**
 * One head after the other, with products of two axes and without transpose flags: only these reach the fast kernels of the
 * backend. Gradients are written out for the same reason.
 */
function byHeads(call: Call): Attend {
  const mask = causalMask(call), { headDim, lengthQ, lengthK } = call.c;
  const scale = 1 / Math.sqrt(headDim);
  const head = (x: tf.Tensor, n: number, length: number) =>
    tf.reshape(tf.slice(x, [0, n, 0, 0], [1, 1, length, headDim]), [length, headDim]);
  const probabilities = (q: tf.Tensor, k: tf.Tensor) =>
    tf.softmax(tf.add(tf.mul(tf.matMul(q, tf.transpose(k)), scale), mask));
  const gradients = (dOut: tf.Tensor, q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) => {
    const p = probabilities(q, k), dv = tf.matMul(tf.transpose(p), dOut);
    const dp = tf.matMul(dOut, tf.transpose(v));
    const delta = tf.sum(tf.mul(dp, p), 1, true);
    const ds = tf.mul(tf.mul(p, tf.sub(dp, delta)), scale);
    return [tf.matMul(ds, k), tf.matMul(tf.transpose(ds), q), dv];
  };
  const stack = (parts: tf.Tensor[]) => tf.expandDims(tf.stack(parts), 0);
  const heads = Array.from({ length: call.c.queryHeads }, (_, n) => n);
  const cut = (x: tf.Tensor, length: number) => heads.map((n) => head(x, n, length));
  return tf.customGrad((...given) => {
    const [q, k, v] = given as [tf.Tensor, tf.Tensor, tf.Tensor];
    const save = given[3] as unknown as (tensors: tf.Tensor[]) => void;
    save([q, k, v]);
    const [qs, ks, vs] = [cut(q, lengthQ), cut(k, lengthK), cut(v, lengthK)];
    return {
      value: stack(heads.map((n) => tf.matMul(probabilities(qs[n]!, ks[n]!), vs[n]!))),
      gradFunc: (dOut: tf.Tensor, saved: tf.Tensor[]) => {
        const [q, k, v] = saved as [tf.Tensor, tf.Tensor, tf.Tensor];
        const [ds, qs, ks, vs] = [dOut, q, k, v].map((x, n) => cut(x, n < 2 ? lengthQ : lengthK));
        const each = heads.map((n) => gradients(ds![n]!, qs![n]!, ks![n]!, vs![n]!));
        return [0, 1, 2].map((at) => stack(each.map((parts) => parts[at]!)));
      },
    };
  }) as Attend;
}

/** Both passes of a causal call, each way. */
export function tfjsSteps(call: Call): Entrant[] {
  const { c, data } = call, of = shapes(c);
  const tensors = () => [
    ...[tf.tensor(data.q, of.q), tf.tensor(data.k, of.kv), tf.tensor(data.v, of.kv)],
  ];
  let saved: Saved | undefined;
  const savedOnce = (): Saved => {
    if (saved) return saved;
    const [q, k, v] = ([["q", of.q], ["k", of.kv], ["v", of.kv]] as const)
      .map(([name, shape]) => ({ data: data[name], shape }));
    const { out, lse } = attentionSync(q!, k!, v!, { layout: "bhsd", causal: true });
    return saved = { out: out.data, lse: lse.data };
  };
  const step = (name: string, attendOf: () => Promise<Attend> | Attend): Entrant => ({
    name,
    tolerance: GRADIENT_TOLERANCE,
    async create() {
      const attend = await attendOf(), inputs = tensors(), dOut = tf.tensor(data.dOut, of.q);
      const differentiate = tf.grads((q, k, v) => attend(q!, k!, v!));
      let made: tf.Tensor[] = [];
      const run = () => {
        tf.dispose(made);
        made = differentiate(inputs, dOut);
      };
      const error = () => {
        const [dq, dk, dv] = made.map((x) => x.dataSync() as Float32Array);
        return gradientError(call, savedOnce(), { dq, dk, dv } as Gradients);
      };
      return { work: { name, run }, error, dispose: () => tf.dispose([...inputs, dOut, ...made]) };
    },
  });
  return [
    step("flashAttention", async () => {
      const flashAttention = await createFlashAttention<tf.Tensor>(tf);
      return (q, k, v) => flashAttention(q, k, v, { layout: "bhsd", causal: true });
    }),
    step("formula", () => natural(call)),
    step("formula by heads", () => byHeads(call)),
  ];
}
