/** An engine of the caller's under the op and the layer: it computes, keeps its budget, and stays the caller's. */

import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { createEngine, type Engine } from "@flashtile/attention";
import {
  type AdapterOptions,
  createFlashAttention,
  createMultiHeadAttention,
} from "@flashtile/attention/tfjs";
import { defaultEngine } from "../../src/engine/create_engine.ts";
import type { GpuDevice } from "../../src/webgpu/device/api.ts";
import { callersDevice, gpuTest } from "../webgpu/support.ts";
import { normal, onBackends, useBackend, valuesOf } from "./backends.ts";

const SHAPE = [1, 64, 2, 16];

/** An engine that can compute for the backend that is set. */
async function engineFor(memoryBudget: number): Promise<Engine> {
  const { device } = tf.backend() as { device?: GpuDevice };
  if (!device) return await createEngine({ backend: "wasm", threads: 1, memoryBudget });
  return await createEngine({ backend: "webgpu", device, memoryBudget });
}

/** The result and the gradient of an op. */
async function bothOf(options: AdapterOptions): Promise<Float32Array[]> {
  const flashAttention = await createFlashAttention<tf.Tensor>(tf, options);
  const x = normal("x", SHAPE), bias = normal("bias", [64, 64]);
  const call = (x: tf.Tensor) => flashAttention(x, x, x, { bias, causal: true });
  return await valuesOf([call(x), tf.grad((x) => tf.sum(tf.square(call(x))))(x)]);
}

onBackends("an engine of the caller's computes, and is left to the caller", async () => {
  const engine = await engineFor(2 ** 24), want = await bothOf({});
  const shared = { ...defaultEngine().memory }, before = engine.memory.peak;
  assert.deepEqual(await bothOf({ engine }), want);
  assert.ok(engine.memory.peak > before, "its memory");
  assert.deepEqual(defaultEngine().memory, shared, "and that of no other");
  assert.deepEqual(await bothOf({ engine: undefined }), want);

  const flashAttention = await createFlashAttention<tf.Tensor>(tf, { engine }),
    x = normal("x", SHAPE);
  const tensors = tf.memory().numTensors;
  engine.dispose();
  assert.throws(() => flashAttention(x, x, x), /engine was disposed/);
  assert.equal(tf.memory().numTensors, tensors, "a call that fails leaves nothing");
  assert.deepEqual(await bothOf({}), want, "others go on");
});

onBackends("the budget of an engine is kept", async (_, name) => {
  const memoryBudget = 2 ** 21, engine = await engineFor(memoryBudget);
  const flashAttention = await createFlashAttention<tf.Tensor>(tf, { engine });
  const x = normal("x", [1, 1200, 1, 16]), want = await useBackend(name);
  const bias = { data: new Float32Array(1200 * 1200), shape: [1200, 1200] }; // 5.5 MiB
  const before = tf.memory().numTensors;
  if (name === "webgpu") { // it has to be there as a whole
    assert.throws(() => flashAttention(x, x, x, { bias }), RangeError);
    assert.equal(tf.memory().numTensors, before, "a call that fails leaves nothing");
  } else {
    const [got, all] = await valuesOf([flashAttention, want].map((op) => op(x, x, x, { bias })));
    got!.forEach((y, n) => assert.ok(Math.abs(y - all![n]!) < 1e-5));
  }
  assert.ok(engine.memory.peak <= memoryBudget, `${engine.memory.peak}`);
  assert.deepEqual(flashAttention(x, x, x).shape, x.shape);
  engine.dispose();
});

onBackends("workers of an engine are left alone: an op is synchronous", async () => {
  const engine = await createEngine({ backend: "wasm", workers: 2 }), want = await bothOf({});
  assert.deepEqual(await bothOf({ engine }), want);
  engine.dispose();
}, ["cpu", "wasm"]);

gpuTest("an engine that is not on the device of TensorFlow.js is refused", async () => {
  await useBackend("webgpu");
  const wasm = await createEngine({ backend: "wasm", threads: 1 });
  const other = await createEngine({ backend: "webgpu", device: await callersDevice() });
  for (const [engine, where] of [[wasm, "WASM"], [other, "another device"]] as const) {
    await assert.rejects(
      () => createFlashAttention(tf, { engine }),
      new RegExp(
        `^RangeError: Cannot run createFlashAttention: engine computes on ${where}.*tf.backend`,
      ),
    );
  }
  await tf.setBackend("cpu"); // there any of them can
  const x = normal("x", SHAPE), want = await (await useBackend("cpu"))(x, x, x).data();
  for (const engine of [wasm, other]) {
    const flashAttention = await createFlashAttention<tf.Tensor>(tf, { engine });
    assert.deepEqual(await flashAttention(x, x, x).data(), want);
    engine.dispose();
  }
});

Deno.test("the layer computes on the engine that it was made with, loaded models on the last", async () => {
  await useBackend("cpu");
  const one = await createEngine({ backend: "wasm", threads: 1 });
  const Own = await createMultiHeadAttention(tf, { engine: one });
  const Shared = await createMultiHeadAttention(tf);
  assert.equal(await createMultiHeadAttention(tf), Shared);
  assert.notEqual(Own, Shared);
  const args = { numHeads: 2, keyDim: 4, inputShape: [8, 6] };
  const model = tf.sequential({ layers: [new Own(args)] }), x = normal("x", [1, 8, 6]);
  const [want] = await valuesOf([model.predict(x) as tf.Tensor]);
  const load = () => tf.models.modelFromJSON(model.toJSON(null, false) as never);
  assert.equal((await load()).layers[0]!.constructor, Shared);
  assert.equal(await createMultiHeadAttention(tf, { engine: one }), Own);
  const again = await load();
  assert.equal(again.layers[0]!.constructor, Own);
  again.setWeights(model.getWeights());
  assert.deepEqual(await valuesOf([again.predict(x) as tf.Tensor]), [want]);
  one.dispose();
  assert.throws(() => model.predict(x), /engine was disposed/);
  assert.ok(new Shared(args).apply(x));
});

Deno.test("wrong engines are named", async () => {
  await useBackend("cpu");
  const wrong: readonly (readonly [options: unknown, message: RegExp])[] = [
    [7, /TypeError: Cannot run createFlashAttention: options is 7 but must be an object/],
    [null, /options is null but must be an object/],
    [{ engine: 7 }, /engine is 7 but must be an Engine/],
    [{ threads: 1 }, /options has the unknown name "threads", wanted engine/],
  ];
  for (const [options, message] of wrong) {
    await assert.rejects(() => createFlashAttention(tf, options as never), message);
  }
  await assert.rejects(
    () => createMultiHeadAttention(tf, { engine: {} as never }),
    /TypeError: Cannot run createMultiHeadAttention: engine is/,
  );
  const x = normal("x", SHAPE), flashAttention = await createFlashAttention<tf.Tensor>(tf);
  assert.throws(
    () => flashAttention(x, x, x, { engine: defaultEngine() } as never),
    /UnsupportedError: the option engine of flashAttention.*createFlashAttention\(tf, \{ engine \}\)/,
  );
});
