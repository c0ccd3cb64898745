/** What flashAttention refuses, and what it says. */

import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { captured, scoreMod, UnsupportedError } from "@flashtile/attention";
import { createFlashAttention, type FlashAttentionOptions } from "@flashtile/attention/tfjs";
import { absent, gpuTest } from "../webgpu/support.ts";
import { normal, useBackend } from "./backends.ts";

const shape = [1, 4, 2, 8];
const anything = (value: unknown) => value as tf.Tensor;

gpuTest("a backend that came later is refused until it was looked at", async () => {
  const flashAttention = await useBackend("cpu"), shape = [1, 16, 2, 8];
  await tf.setBackend("webgpu");
  const q = normal("q", shape);
  assert.throws(() => flashAttention(q, q, q), {
    name: "UnsupportedError",
    message: /not looked at.*webgpu.*createFlashAttention\(tf\) after tf.setBackend/,
  });
  await createFlashAttention(tf);
  assert.deepEqual(flashAttention(q, q, q).shape, shape);
});

gpuTest("integers and captured tensors on a GPU have to be read before", async () => {
  const flashAttention = await useBackend("webgpu"), shape = [1, 16, 2, 8];
  const q = normal("q", shape); // so many rows that their kernel is that of many tests
  const three = tf.reshape(tf.matMul(tf.ones([1, 3]), tf.ones([3, 1])), [1]); // made on the GPU
  const keyLengths = tf.cast(three, "int32");
  assert.throws(() => flashAttention(q, q, q, { keyLengths }), {
    name: "UnsupportedError",
    message: /reading keyLengths at once.*webgpu.*await the data\(\)/,
  });
  await keyLengths.data();
  assert.deepEqual(flashAttention(q, q, q, { keyLengths }).shape, shape);
  const gains = captured(new Float32Array(2), [2], { gradient: true });
  const values = tf.reshape(tf.matMul(tf.ones([2, 3]), tf.ones([3, 1])), [2]);
  const options = {
    scoreMod: scoreMod(({ score, head }) => score.mul(gains.at(head))),
    captured: new Map([[gains, values]]),
  };
  assert.throws(() => flashAttention(q, q, q, options), /UnsupportedError.*a tensor of captured/);
  await values.data();
  assert.deepEqual(flashAttention(q, q, q, options).shape, shape);
});

const gains = captured(new Float32Array(2), [2], { gradient: true });

/** Wrong options, and what is said of them. */
const WRONG: readonly (readonly [options: () => object, message: RegExp])[] = [
  [() => ({ casual: true }), /TypeError: Cannot run flashAttention.*unknown name "casual"/],
  [() => ({ into: {} }), /UnsupportedError: the option into of flashAttention/],
  [() => ({ stats: ["entropy"] }), /UnsupportedError: the option stats of flashAttention/],
  [() => ({ precision: "f16" }), /UnsupportedError: the option precision of flashAttention/],
  [() => ({ verify: "sample" }), /UnsupportedError: the option verify of flashAttention/],
  [() => ({ sequences: [0] }), /UnsupportedError: the option sequences of flashAttention/],
  [() => ({ signal: AbortSignal.abort() }), /UnsupportedError: the option signal of flashAtt/],
  [
    () => ({ bias: tf.tensor([1], [1], "int32") }),
    /bias has dtype "int32" but must have "float32"/,
  ],
  [() => ({ mask: tf.ones([4, 4]) }), /mask has dtype "float32" but must have "bool"/],
  [() => ({ keyLengths: tf.ones([1]) }), /keyLengths has dtype "float32" but must have "int32"/],
  [() => ({ causal: { offset: tf.ones([1]) } }), /causal.offset has dtype "float32"/],
  [() => ({ bias: tf.ones([3, 4]) }), /RangeError: Cannot run attention: bias has shape \[3, 4\]/],
  [() => ({ sink: tf.ones([3]) }), /RangeError: Cannot run attention: sink has shape \[3\]/],
  [() => ({ layout: "bhds" }), /layout is "bhds" but must be "bshd" or "bhsd"/],
  [() => ({ captured: {} }), /captured is an object with no keys but must be a Map/],
  [() => ({ captured: new Map([[1, tf.ones([2])]]) }), /captured has the key 1/],
  [() => ({ captured: new Map([[gains, tf.ones([3])]]) }), /shape \[3\] but its array has \[2\]/],
  [
    () => ({ captured: new Map([[gains, 1]]) }),
    /a tensor of captured is 1 but must be a tf.Tensor/,
  ],
];

Deno.test("wrong options are named", async () => {
  const flashAttention = await useBackend("cpu"), q = normal("q", shape);
  for (const [options, message] of WRONG) {
    const given = options() as FlashAttentionOptions<tf.Tensor>;
    assert.throws(() => flashAttention(q, q, q, given), message);
  }
  assert.throws(() => flashAttention(q, q, q, 7 as never), /options is 7 but must be an object/);
});

Deno.test("wrong tensors are named", async () => {
  const flashAttention = await useBackend("cpu"), q = normal("q", shape);
  const gone = normal("gone", shape);
  gone.dispose();
  const Engine = tf.engine().constructor as new (env: object) => ReturnType<typeof tf.engine>;
  const foreign = new Engine(tf.env()).makeTensor(
    new Float32Array(64),
    shape,
    "float32",
    tf.backend() as never,
  );
  const wrong: readonly (readonly [unknown, RegExp])[] = [
    [new Float32Array(64), /TypeError.*k is a Float32Array but must be a tf.Tensor/],
    [undefined, /TypeError.*k is undefined but must be a tf.Tensor/],
    [tf.ones(shape, "int32"), /k has dtype "int32" but must have "float32": use tf.cast/],
    [tf.ones([4, 8]), /RangeError.*k has shape \[4, 8\] but must be \[batch, length, heads, dim\]/],
    [gone, /TypeError.*k was disposed of/],
    [foreign, /k is a tensor of another instance of TensorFlow.js/],
    [tf.ones([1, 4, 2, 7]), /RangeError.*k/],
    [tf.ones([1, 4, 3, 8]), /RangeError/],
  ];
  for (const [k, message] of wrong) {
    assert.throws(() => flashAttention(q, anything(k), anything(k)), message);
  }
  assert.throws(
    () => flashAttention(tf.ones([4, 8]), q, q, { layout: "bhsd" }),
    /must be \[batch, heads, length, dim\]/,
  );
  assert.throws(
    () => flashAttention(q, q, q, { cuSeqlensQ: [0, 4] }),
    /must be \[rows, heads, dim\]/,
  );
});

Deno.test("what is not TensorFlow.js is refused", async () => {
  for (const wrong of [undefined, {}, { engine: () => ({}), ready: () => Promise.resolve() }]) {
    await assert.rejects(
      () => createFlashAttention(wrong as never),
      /TypeError: Cannot run createFlashAttention: tf/,
    );
  }
});

Deno.test("a gradient of a gradient throws", async () => {
  const flashAttention = await useBackend("cpu"), q = normal("q", shape);
  const gradient = tf.grad((q) => tf.sum(tf.square(flashAttention(q, q, q))));
  assert.throws(() => tf.grad((q) => tf.sum(gradient(q)))(q), {
    name: "UnsupportedError",
    message: /the gradient of a gradient of flashAttention/,
  });
  const fine = tf.grad((x) => tf.sum(tf.mul(tf.square(x), tf.sum(gradient(q)))))(normal("x", [3]));
  assert.deepEqual(fine.shape, [3]); // of what does not depend on it there is one
});

Deno.test("a backend that has no way is refused, WebGL is read back with one warning", async () => {
  const flashAttention = await useBackend("cpu"), cpu = tf.engine().findBackendFactory("cpu");
  if (tf.engine().backendNames().includes("webgl")) tf.removeBackend("webgl");
  for (const name of ["webgl", "other"]) tf.registerBackend(name, cpu); // what they are called counts
  await tf.setBackend("other");
  const q = normal("q", shape);
  assert.throws(() => flashAttention(q, q, q), UnsupportedError);
  await tf.setBackend("webgl");
  const warnings: unknown[] = [], { warn } = console;
  console.warn = (text) => warnings.push(text);
  try {
    const on = normal("q", shape), first = flashAttention(on, on, on);
    assert.deepEqual(await flashAttention(on, on, on).data(), await first.data());
  } finally {
    console.warn = warn;
  }
  assert.equal(
    warnings.filter((text) => /webgl backend reads its inputs back/.test(`${text}`)).length,
    1,
  );
  for (const name of ["webgl", "other"]) tf.removeBackend(name);
});

Deno.test(
  "tensors of another backend move to the one that is set",
  { ignore: !!absent },
  async () => {
    await useBackend("cpu");
    const q = normal("q", [1, 16, 2, 8]), want = await (await useBackend("cpu"))(q, q, q).data();
    const onHeap = await (await useBackend("wasm"))(q, q, q).data();
    const onGpu = await (await useBackend("webgpu"))(q, q, q).data();
    for (const got of [onHeap, onGpu]) {
      got.forEach((x, n) => assert.ok(Math.abs(x - want[n]!) < 1e-5));
    }
  },
);
