/** What the layer refuses, and what it says. */

import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { createMultiHeadAttention, type MultiHeadAttentionArgs } from "@flashtile/attention/tfjs";
import { normal, useBackend } from "./backends.ts";

const good = { numHeads: 2, keyDim: 3 };

const WRONG_ARGS: readonly (readonly [args: object | undefined, message: RegExp])[] = [
  [undefined, /TypeError: Cannot run MultiHeadAttention: args is undefined/],
  [{ keyDim: 3 }, /RangeError: Cannot run MultiHeadAttention: numHeads is undefined/],
  [{ numHeads: 2, keyDim: 0 }, /keyDim is 0 but must be an integer >= 1/],
  [{ ...good, valueDim: 1.5 }, /valueDim is 1.5/],
  [{ ...good, numHeads: 4, numKeyValueHeads: 3 }, /numKeyValueHeads is 3 but must divide numHeads/],
  [{ ...good, dropout: 1 }, /dropout is 1 but must be a number from 0 to below 1/],
  [{ ...good, seed: -1 }, /seed is -1/],
  [{ ...good, useBias: 1 }, /useBias is 1 but must be true or false/],
  [{ ...good, rotary: 1 }, /rotary is 1 but must be true or false/],
  [{ ...good, rotary: [] }, /rotary is \[\] but must be true, false or an object/],
  [{ ...good, outputShape: [0] }, /outputShape is 0/],
  [{ ...good, outputShape: [] }, /outputShape is \[\] but must have at least one axis/],
  [{ ...good, dtype: "int32" }, /dtype is "int32" but must be "float32"/],
  [{ ...good, attentionAxes: [2] }, /UnsupportedError: attentionAxes \[2\]/],
  [{ ...good, activityRegularizer: "l1l2" }, /UnsupportedError: activityRegularizer/],
  [{ ...good, kernelInitializer: "none" }, /Unknown initializer/],
  [{ ...good, dropOut: 0.5 }, /TypeError: .*args has the unknown name "dropOut", wanted one of/],
  [{ ...good, rotary: { base: 100, dim: 4 } }, /rotary has the unknown name "dim", wanted one of/],
  [{ ...good, flashAttention: true }, /args has the unknown name "flashAttention"/],
];

Deno.test("wrong arguments are named", async () => {
  await useBackend("cpu");
  const MultiHeadAttention = await createMultiHeadAttention(tf);
  for (const [args, message] of WRONG_ARGS) {
    assert.throws(() => new MultiHeadAttention(args as MultiHeadAttentionArgs), message);
  }
  new MultiHeadAttention({ ...good, attentionAxes: [1] } as MultiHeadAttentionArgs);
});

Deno.test("wrong calls are named", async () => {
  await useBackend("cpu");
  const MultiHeadAttention = await createMultiHeadAttention(tf);
  const x = normal("x", [2, 4, 6]), layer = new MultiHeadAttention(good);
  const calls: readonly (readonly [inputs: unknown, call: object, message: RegExp])[] = [
    [normal("x", [4, 6]), {}, /query has shape \[4, 6\] but must be \[batch, length, 6\]/],
    [
      x,
      { returnAttentionScores: true },
      /UnsupportedError: returnAttentionScores.*attentionScores/,
    ],
    [x, { queryMask: tf.ones([2, 5]) }, /queryMask is of shape \[2, 5\] but must be.*\[2,4\]/],
    [x, { valueMask: 1 }, /valueMask is 1 but must be a tensor of shape/],
    [x, { useCasualMask: true }, /TypeError: .*the call has the unknown name "useCasualMask"/],
    [x, { attentionMask: tf.ones([4]) }, /attentionMask has shape \[4\]/],
    [x, { attentionMask: tf.ones([3, 4]) }, /RangeError/],
    [
      x,
      { attentionMask: [[1]] },
      /TypeError: .*attentionMask is \[\[1\]\] but must be a tf.Tensor/,
    ],
    [x, { useCausalMask: "no" }, /useCausalMask is "no" but must be true or false/],
    [x, { training: 1 }, /training is 1 but must be true or false/],
    [[x, x, x, tf.ones([2, 4, 4]), x], {}, /inputs is .* but must be a query or \[query, value/],
    [[], {}, /inputs is \[\] but must be a query/],
    [undefined, {}, /inputs is undefined but must be a query/],
    [[x, normal("x", [2, 4, 5])], {}, /key has shape \[2, 4, 5\] but must be \[batch, length, 6\]/],
    [[x, x, normal("x", [2, 6])], {}, /key has shape \[2, 6\]/],
  ];
  layer.apply(x);
  for (const [inputs, call, message] of calls) {
    assert.throws(() => layer.apply(inputs as tf.Tensor, call as never), message);
  }
});

Deno.test("what a model would forget is refused", async () => {
  await useBackend("cpu");
  const MultiHeadAttention = await createMultiHeadAttention(tf);
  const x = tf.input({ shape: [4, 6] }), layer = new MultiHeadAttention(good);
  assert.throws(
    () => layer.apply(x, { useCausalMask: true }),
    /useCausalMask is true but a model does not keep it.*give it to the constructor/,
  );
  assert.throws(
    () => layer.apply(x, { queryMask: tf.ones([1, 4]) }),
    /queryMask is a Tensor but a model.*fourth input/,
  );
  assert.throws(
    () => layer.apply(tf.input({ shape: [null as never, null as never] })),
    /features known/,
  );
});

Deno.test("TensorFlow.js without layers is refused", async () => {
  const { layers: _, ...core } = tf;
  await assert.rejects(
    () => createMultiHeadAttention(core as never),
    /TypeError: Cannot run createMultiHeadAttention: tf has layers undefined/,
  );
});
