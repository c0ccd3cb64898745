/** Several copies of TensorFlow.js in one program, as packages bring them that bundle their own. */

import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { normal, useBackend, valuesOf } from "./backends.ts";

const file = new URL("./tf-core.es2017.js", import.meta.resolve("@tensorflow/tfjs-core"));

Deno.test("copies of one realm share an engine, so one op serves all of them", async () => {
  const copy = createRequire(import.meta.url)(file.pathname) as typeof tf;
  assert.notEqual(copy.Tensor, tf.Tensor);
  const flashAttention = await useBackend("cpu"), x = normal("x", [1, 5, 2, 8]);
  const mine = tf.grad((x) => tf.sum(tf.square(flashAttention(x, x, x))))(x);
  const theirs = copy.tensor(await x.data(), [1, 5, 2, 8]);
  const made = copy.grad((x) => copy.sum(copy.square(flashAttention(x, x, x))))(theirs);
  const [want, got] = await valuesOf([mine, made]);
  assert.deepEqual(got, want);
});
