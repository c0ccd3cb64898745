/** Nothing is left behind: tensors of TensorFlow.js, its buffers, memory of this library. */

import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { defaultEngine } from "../../src/engine/create_engine.ts";
import type { GpuDevice } from "../../src/webgpu/device/api.ts";
import { type Watch, watchDevice } from "../webgpu/support.ts";
import type { FlashAttentionOptions } from "@flashtile/attention/tfjs";
import { normal, onBackends, valuesOf } from "./backends.ts";

/** What there is at a moment. */
function inventory(watch: Watch | undefined): object {
  const { numTensors, numBytes, numDataBuffers, ...rest } = tf.memory();
  const { numBytesInGPU, numBytesAllocatedInGPU } = rest as unknown as Record<string, number>;
  const gpu = { numBytesInGPU, numBytesAllocatedInGPU, buffers: watch?.live.size };
  return { numTensors, numBytes, numDataBuffers, ...gpu, own: defaultEngine().memory };
}

/** Of training. */
const STEPS = 1000;

onBackends("many steps of training leave nothing behind", async (flashAttention, name) => {
  const device = (tf.backend() as unknown as { device?: GpuDevice }).device;
  const watch = name === "webgpu" ? watchDevice(device!) : undefined;
  const [x, bias, sink] = [[1, 4, 2, 8], [4, 4], [2]].map((shape) =>
    tf.variable(normal("x", shape))
  );
  const mask = tf.tensor([1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1], [4, 4], "bool");
  const optimizer = tf.train.sgd(0.01);
  const step = () =>
    optimizer.minimize(() => {
      const options = { bias: bias!, sink: sink!, mask: tf.logicalNot(tf.logicalNot(mask)) };
      return tf.mean(tf.square(flashAttention(x!, x!, x!, options))) as tf.Scalar;
    });
  let before = {};
  for (let n = 0; n < STEPS; n++) {
    step();
    if (n % 50 === 49) await x!.data(); // a GPU is not left behind by more than that
    if (n === 99) before = inventory(watch);
  }
  assert.deepEqual(inventory(watch), before);
  for (const value of await x!.data()) assert.ok(Number.isFinite(value));
  tf.disposeVariables();
  mask.dispose();
});

onBackends("what is made in a tidy goes with it, failed calls leave nothing", (flashAttention) => {
  const q = normal("q", [1, 4, 2, 8]), before = tf.memory().numTensors;
  const out = flashAttention(q, q, q, { causal: true });
  assert.equal(tf.memory().numTensors, before + 1);
  out.dispose();
  tf.tidy(() => void flashAttention(q, q, q, { causal: true }));
  const wrong = tf.ones([1, 4, 3, 8]);
  assert.throws(() => flashAttention(q, wrong, wrong));
  assert.throws(() => tf.grad((q) => tf.sum(flashAttention(q, wrong, wrong)))(q));
  wrong.dispose();
  const gradients = tf.grads((q) => tf.sum(flashAttention(q, q, q)))([q]);
  assert.equal(tf.memory().numTensors, before + 1);
  tf.dispose([...gradients, q]);
});

onBackends("constants of the host are used, and leave nothing", async (flashAttention) => {
  const q = normal("q", [1, 4, 2, 8]), bias = normal("bias", [4, 4]), sink = normal("sink", [2]);
  const bits = Uint8Array.of(1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1);
  const mask = tf.tensor(bits, [4, 4], "bool");
  const tensors = { bias, sink, mask }, [b, s] = await valuesOf([bias, sink]);
  const constants = {
    bias: { data: b!, shape: [4, 4] },
    sink: { data: s!, shape: [2] },
    mask: { data: bits, shape: [4, 4] },
  };
  const gradient = async (options: FlashAttentionOptions<tf.Tensor>) => {
    const made = tf.grad((q) => tf.sum(tf.square(flashAttention(q, q, q, options))))(q);
    const [values] = await valuesOf([made]);
    made.dispose();
    return values!;
  };
  const want = await gradient(tensors), before = tf.memory().numTensors;
  for (let n = 0; n < 5; n++) assert.deepEqual(await gradient(constants), want);
  assert.equal(tf.memory().numTensors, before);
  tf.dispose([q, bias, sink, mask]);
});

onBackends("a gradient keeps tensors, not copies of them", async (flashAttention) => {
  const [x, bias] = [normal("x", [1, 4, 2, 8]), normal("bias", [4, 4])];
  const mask = tf.tensor(Uint8Array.of(1, 0, 0, 0, 1, 1, 0, 0), [2, 4], "bool");
  const options = { bias, mask: tf.concat([mask, mask]) };
  const counts = (): number[] => {
    const { numTensors, numBytes, numDataBuffers } = tf.memory();
    return [numTensors, numBytes, numDataBuffers];
  };
  let added = NaN;
  const learn = (disposeFirst: boolean) =>
    tf.grads((x, bias) => {
      const [q, k, v] = [1, 2, 3].map((factor) => tf.mul(x!, factor));
      const before = tf.memory().numDataBuffers;
      const out = flashAttention(q!, k!, v!, { ...options, bias: bias! });
      added = tf.memory().numDataBuffers - before;
      if (disposeFirst) tf.dispose([q!, k!, v!]);
      return tf.square(out);
    })([x, bias]);
  const want = learn(false), before = counts();
  assert.equal(added, 2); // out, and a number a row
  const got = learn(true);
  assert.deepEqual(await valuesOf(got), await valuesOf(want));
  tf.dispose(got);
  assert.deepEqual(counts(), before);
  // what does not lead to the result is freed with the rest
  tf.dispose(tf.grads((x) => (flashAttention(x!, x!, x!, options), tf.square(x!)))([x]));
  assert.deepEqual(counts(), before);
  tf.dispose([...want, x, bias, mask, options.mask]);
});
