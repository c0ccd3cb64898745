/** The op and its gradients against the same written with ops that store the matrix of scores, on every backend. */

import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import type { FlashAttention } from "@flashtile/attention/tfjs";
import { onBackends, useBackend } from "./backends.ts";
import { type Case, CASES } from "./cases.ts";
import { compare, normal, runCase, valuesOf } from "./run_case.ts";
import { materialized } from "./materialized.ts";

/** What the formula gives, in TensorFlow.js' own CPU backend. */
const wanted = new Map<string, Map<string, Float32Array>>();

async function wantedOf(c: Case): Promise<Map<string, Float32Array>> {
  const known = wanted.get(c.name);
  if (known) return known;
  await useBackend("cpu");
  const made = await runCase(c, (q, k, v, learned) => materialized(q, k, v, c.formula(learned)));
  wanted.set(c.name, made);
  return made;
}

onBackends("results and gradients of every option", async (_, name) => {
  for (const c of CASES) {
    if (name === "webgpu" && c.alone) continue;
    const want = await wantedOf(c),
      flashAttention: FlashAttention<tf.Tensor> = await useBackend(name);
    const got = await runCase(c, (q, k, v, learned) => flashAttention(q, k, v, c.options(learned)));
    for (const [of, values] of want) compare(got.get(of)!, values, `${c.name}: ${of}`);
  }
});

onBackends("packed sequences are those that they are apart", async (flashAttention) => {
  const starts = [0, 3, 3, 7], q = normal("q", [7, 4, 8]), k = normal("k", [7, 2, 8]);
  const weights = normal("weights", [7, 4, 8]);
  const packed = (q: tf.Tensor, k: tf.Tensor) =>
    flashAttention(q, k, k, { cuSeqlensQ: starts, cuSeqlensK: starts, causal: true });
  const part = (x: tf.Tensor, begin: number, end: number) =>
    tf.expandDims(tf.slice(x, [begin, 0, 0], [end - begin, ...x.shape.slice(1)]), 0);
  const apart = (q: tf.Tensor, k: tf.Tensor) => {
    const outs = [[0, 3], [3, 7]].map(([begin, end]) => {
      const keys = part(k, begin!, end!);
      return tf.squeeze(flashAttention(part(q, begin!, end!), keys, keys, { causal: true }), [0]);
    });
    return tf.concat(outs, 0);
  };
  const all = (f: typeof packed) => [
    f(q, k),
    ...tf.grads((q, k) => tf.sum(tf.mul(f(q, k), weights)))([q, k]),
  ];
  const got = await valuesOf(all(packed)), want = await valuesOf(all(apart));
  ["out", "dq", "dk"].forEach((name, n) => compare(got[n]!, want[n]!, name));
});

onBackends(
  "gradients of variables, and of one tensor in all three places",
  async (flashAttention) => {
    const shape = [1, 17, 2, 8]; // so many rows that kernels of a GPU are those of many tests
    const x = tf.variable(normal("x", shape)), weights = normal("weights", shape);
    const loss = (f: (x: tf.Tensor) => tf.Tensor) => () =>
      tf.sum(tf.mul(f(x), weights)) as tf.Scalar;
    const { grads } = tf.variableGrads(loss((x) => flashAttention(x, x, x, { causal: true })), [x]);
    const got = await valuesOf([grads[x.name]!, x, weights]); // what was read can move from a GPU
    await useBackend("cpu");
    const visible = (_b: number, _h: number, i: number, j: number) => j <= i;
    const plain = tf.variableGrads(loss((x) => materialized(x, x, x, { visible })), [x]);
    compare(got[0]!, (await valuesOf([plain.grads[x.name]!]))[0]!, "dx");
    x.dispose();
  },
  ["cpu", "wasm", "webgpu"],
  "core",
);

Deno.test("a gradient is made on the backend that is set when it is wanted", async () => {
  const flashAttention = await useBackend("wasm"), x = normal("x", [1, 7, 2, 8]);
  const loss = (other: string) => (x: tf.Tensor) => {
    const out = flashAttention(x, x, x, { causal: true });
    tf.setBackend(other); // at once, as it is there already
    return tf.sum(tf.square(out));
  };
  const [want] = await valuesOf([tf.grad(loss("wasm"))(x)]);
  const moved = tf.grad(loss("cpu"))(x);
  assert.equal(tf.getBackend(), "cpu");
  compare((await valuesOf([moved]))[0]!, want!, "dx");
  await useBackend("wasm");
  compare((await valuesOf([tf.add(moved, 0)]))[0]!, want!, "dx, moved back");
});

onBackends("no keys, and no queries", async (flashAttention) => {
  for (const [queries, keys] of [[3, 0], [0, 3], [0, 0]]) {
    const [q, k] = [normal("q", [1, queries!, 2, 8]), normal("k", [1, keys!, 2, 8])];
    const out = flashAttention(q, k, k);
    // a sum of nothing is more than TensorFlow.js can do on WebGPU
    const made = tf.grads((q, k) => flashAttention(q!, k!, k!))([q, k], tf.onesLike(out));
    const shapes = [out, ...made].map(({ shape }) => shape);
    assert.deepEqual(shapes, [q.shape, q.shape, k.shape]);
    for (const values of await valuesOf([out, ...made])) {
      assert.ok(values.every((x) => x === 0), `${queries} queries, ${keys} keys`);
    }
  }
});
