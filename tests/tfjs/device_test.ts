/** A device of the caller's under TensorFlow.js: shared with an engine of this library, and lost. */

import * as tf from "@tensorflow/tfjs";
import { WebGPUBackend } from "@tensorflow/tfjs-backend-webgpu";
import assert from "node:assert/strict";
import { createEngine, DeviceLostError } from "@flashtile/attention";
import { callersDevice, gpuTest } from "../webgpu/support.ts";
import { normal, useBackend } from "./backends.ts";

gpuTest("a device of the caller's is shared, and its loss is told", async () => {
  const device = await callersDevice(), info = { vendor: "", architecture: "" };
  tf.removeBackend("webgpu");
  tf.registerBackend("webgpu", () => new WebGPUBackend(device as never, info as never));
  const flashAttention = await useBackend("webgpu"), x = normal("x", [1, 7, 2, 8]);
  const want = await flashAttention(x, x, x, { causal: true }).data();

  // the buffer of a tensor, seen by an engine on the same device
  using engine = await createEngine({ backend: "webgpu", device });
  const { tensorRef, buffer } = tf.add(x, tf.zeros([1, 7, 2, 8])).dataToGPU() as unknown as {
    tensorRef: tf.Tensor;
    buffer: object;
  };
  const wrapped = engine.wrap(buffer as never, [1, 7, 2, 8]);
  const { out } = await engine.attention(wrapped, wrapped, wrapped, { causal: true });
  assert.deepEqual(await out.read(), want);
  tensorRef.dispose();

  device.destroy();
  await device.lost;
  assert.throws(() => flashAttention(x, x, x), DeviceLostError);
});
