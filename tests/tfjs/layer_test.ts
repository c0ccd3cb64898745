/** The layer: masks, heads and weights as Keras means them, in calls and in models, saved and loaded. */

import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import {
  createMultiHeadAttention,
  type MultiHeadAttentionArgs,
  type MultiHeadAttentionCall,
} from "@flashtile/attention/tfjs";
import { normal, useBackend, valuesOf } from "./backends.ts";
import { type Formula, materialized } from "./materialized.ts";

const BATCH = 2, QUERIES = 4, KEYS = 5, FEATURES = 6, OTHERS = 3;
const bool = (values: readonly number[], shape: number[]) => tf.tensor([...values], shape, "bool");
const queryBits = [1, 1, 1, 0, 1, 1, 0, 0], keyBits = [1, 1, 1, 1, 0, 1, 1, 0, 0, 0];
const pairBits = Array.from({ length: BATCH * 2 * QUERIES * KEYS }, (_, n) => Number(n % 7 !== 3));

/** A call: which inputs it has, and what Keras' documentation says of its pairs. */
interface Case {
  readonly name: string;
  readonly args?: Partial<MultiHeadAttentionArgs>;
  readonly inputs?: "query" | "query, value" | "query, value, key";
  readonly call?: () => MultiHeadAttentionCall;
  readonly visible?: Formula["visible"];
}

/** "query_mask, value_mask, key_mask, attention_mask and the causal mask are combined with a logical AND." */
const CASES: readonly Case[] = [
  { name: "self-attention: value and key are the query" },
  { name: "value, and key is it", inputs: "query, value" },
  { name: "value and key", inputs: "query, value, key" },
  { name: "valueDim", args: { valueDim: 5 }, inputs: "query, value, key" },
  { name: "no bias", args: { useBias: false } },
  { name: "outputShape", args: { outputShape: [2, 4] } },
  { name: "outputShape of one axis", args: { outputShape: 7 } },
  { name: "grouped: head h reads h / 2", args: { numHeads: 4, numKeyValueHeads: 2 } },
  { name: "multi-query", args: { numHeads: 4, numKeyValueHeads: 1 }, inputs: "query, value" },
  {
    name: "the causal mask is the lower triangle from the top left",
    inputs: "query, value",
    call: () => ({ useCausalMask: true }),
    visible: (_b, _h, i, j) => j <= i,
  },
  {
    name: "a causal mask of the layer that a call takes back",
    args: { useCausalMask: true },
    call: () => ({ useCausalMask: false }),
  },
  { name: "causal by argument", args: { useCausalMask: true }, visible: (_b, _h, i, j) => j <= i },
  {
    name: "attentionMask [T, S]",
    inputs: "query, value",
    call: () => ({ attentionMask: bool(pairBits.slice(0, 20), [QUERIES, KEYS]) }),
    visible: (_b, _h, i, j) => pairBits[i * KEYS + j] === 1,
  },
  {
    name: "attentionMask [B, T, S], the same for all heads",
    inputs: "query, value",
    call: () => ({ attentionMask: bool(pairBits.slice(0, 40), [BATCH, QUERIES, KEYS]) }),
    visible: (b, _h, i, j) => pairBits[(b * QUERIES + i) * KEYS + j] === 1,
  },
  {
    name: "attentionMask [B, N, T, S]",
    inputs: "query, value, key",
    call: () => ({ attentionMask: bool(pairBits, [BATCH, 2, QUERIES, KEYS]) }),
    visible: (b, h, i, j) => pairBits[((b * 2 + h) * QUERIES + i) * KEYS + j] === 1,
  },
  {
    name: "attentionMask of numbers",
    inputs: "query, value",
    call: () => ({ attentionMask: tf.tensor(pairBits.slice(0, 20), [1, QUERIES, KEYS]) }),
    visible: (_b, _h, i, j) => pairBits[i * KEYS + j] === 1,
  },
  {
    name: "a value mask",
    inputs: "query, value",
    call: () => ({ valueMask: bool(keyBits, [BATCH, KEYS]) }),
    visible: (b, _h, _i, j) => keyBits[b * KEYS + j] === 1,
  },
  {
    name: "a query mask: rows without keys",
    inputs: "query, value",
    call: () => ({ queryMask: bool(queryBits, [BATCH, QUERIES]) }),
    visible: (b, _h, i) => queryBits[b * QUERIES + i] === 1,
  },
  {
    name: "a query mask of self-attention is a value mask too",
    call: () => ({ queryMask: bool(queryBits, [BATCH, QUERIES]) }),
    visible: (b, _h, i, j) => queryBits[b * QUERIES + i] === 1 && queryBits[b * QUERIES + j] === 1,
  },
  {
    name: "all of them",
    inputs: "query, value, key",
    call: () => ({
      queryMask: bool(queryBits, [BATCH, QUERIES]),
      valueMask: bool(keyBits, [BATCH, KEYS]),
      keyMask: bool([1, 0, 1, 1, 1, 1, 1, 1, 1, 1], [BATCH, KEYS]),
      attentionMask: bool(pairBits.slice(0, 40), [BATCH, QUERIES, KEYS]),
      useCausalMask: true,
    }),
    visible: (b, _h, i, j) =>
      queryBits[b * QUERIES + i] === 1 && keyBits[b * KEYS + j] === 1 && (b > 0 || j !== 1) &&
      pairBits[(b * QUERIES + i) * KEYS + j] === 1 && j <= i,
  },
];

/** The layer written out: each projection is the einsum of Keras. */
function written(weights: tf.Tensor[], inputs: tf.Tensor[], c: Case): tf.Tensor {
  const useBias = c.args?.useBias ?? true, step = useBias ? 2 : 1;
  const dense = (n: number, x: tf.Tensor, equation: string) => {
    const y = tf.einsum(equation, x, weights[n * step]!);
    return useBias ? tf.add(y, weights[n * step + 1]!) : y;
  };
  const [x, value = x, key = value] = inputs as [tf.Tensor, ...tf.Tensor[]];
  const [q, k, v] = [x, key, value].map((x, n) => dense(n, x, "bte,ehd->bthd"));
  const out = materialized(q!, k!, v!, c.visible ? { visible: c.visible } : {});
  const equation = Array.isArray(c.args?.outputShape) ? "bthd,hdef->btef" : "bthd,hde->bte";
  return dense(3, out, equation);
}

function near(got: Float32Array, want: Float32Array, name: string, allowed = 5e-6): void {
  assert.equal(got.length, want.length, name);
  got.forEach((x, n) => {
    assert.ok(Math.abs(x - want[n]!) <= allowed, `${name}[${n}] is ${x} but must be ${want[n]}`);
  });
}

/** New values for the weights of a layer: biases that are not zero. */
function fill(layer: tf.layers.Layer): void {
  layer.setWeights(layer.getWeights().map((w, n) => tf.mul(normal(`weight ${n}`, w.shape), 0.5)));
}

Deno.test("calls mean what they mean in Keras", async () => {
  await useBackend("cpu"); // the others have no einsum
  const MultiHeadAttention = await createMultiHeadAttention(tf);
  for (const c of CASES) {
    const layer = new MultiHeadAttention({ numHeads: 2, keyDim: 3, ...c.args });
    const all = [
      normal("query", [BATCH, QUERIES, FEATURES]),
      normal("value", [BATCH, KEYS, OTHERS]),
      normal("key", [BATCH, KEYS, FEATURES]),
    ];
    const inputs = all.slice(0, (c.inputs ?? "query").split(",").length);
    layer.apply(inputs); // makes the weights
    fill(layer);
    const got = layer.apply(inputs, c.call?.() as never) as tf.Tensor;
    const [y, want] = await valuesOf([got, written(layer.getWeights(), inputs, c)]);
    near(y!, want!, c.name);
    assert.deepEqual(layer.computeOutputShape(inputs.map(({ shape }) => shape)), got.shape);
    layer.dispose();
  }
});

Deno.test("inputs by name, weights with Keras' names and shapes", async () => {
  await useBackend("cpu");
  const MultiHeadAttention = await createMultiHeadAttention(tf);
  const args = { numHeads: 4, numKeyValueHeads: 2, keyDim: 3, valueDim: 5, name: "attend" };
  const layer = new MultiHeadAttention(args);
  const [x, value] = [normal("x", [1, 4, 6]), normal("value", [1, 5, 7])];
  const got = layer.apply(x, { value }) as tf.Tensor;
  const [a, b] = await valuesOf([got, layer.apply([x, value, value]) as tf.Tensor]);
  near(a!, b!, "y");
  assert.equal(await createMultiHeadAttention(tf), MultiHeadAttention, "one class");
  assert.deepEqual(layer.weights.map(({ originalName, shape }) => [originalName, shape]), [
    ["attend/query/kernel", [6, 4, 3]],
    ["attend/query/bias", [4, 3]],
    ["attend/key/kernel", [7, 2, 3]],
    ["attend/key/bias", [2, 3]],
    ["attend/value/kernel", [7, 2, 5]],
    ["attend/value/bias", [2, 5]],
    ["attend/attention_output/kernel", [4, 5, 6]],
    ["attend/attention_output/bias", [6]],
  ]);
});

/** A model that was saved and loaded again. */
async function reloaded(model: tf.LayersModel): Promise<tf.LayersModel> {
  let saved: tf.io.ModelArtifacts | undefined;
  await model.save(tf.io.withSaveHandler((artifacts) => {
    saved = artifacts;
    return Promise.resolve({
      modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: "JSON" },
    });
  }));
  const modelTopology = JSON.parse(JSON.stringify(saved!.modelTopology));
  return await tf.loadLayersModel(tf.io.fromMemory({ ...saved!, modelTopology }));
}

Deno.test("a model is the same after it was saved and loaded", async () => {
  await useBackend("cpu");
  const MultiHeadAttention = await createMultiHeadAttention(tf);
  const [query, value, mask] = [[4, 6], [5, 3], [4, 5]].map((shape) => tf.input({ shape }));
  const attend = new MultiHeadAttention({
    ...{ numHeads: 4, numKeyValueHeads: 2, keyDim: 4, outputShape: 8, dropout: 0.5, seed: 3 },
    ...{ rotary: { base: 100 }, kernelRegularizer: "l1l2", kernelConstraint: "maxNorm" },
  });
  const cross = attend.apply([query!, value!, value!, mask!]) as tf.SymbolicTensor;
  const causal = new MultiHeadAttention({ numHeads: 2, keyDim: 3, useCausalMask: true });
  const outputs = causal.apply(cross) as tf.SymbolicTensor;
  const model = tf.model({ inputs: [query!, value!, mask!], outputs });
  const again = await reloaded(model);
  const inputs = [
    normal("query", [BATCH, 4, 6]),
    normal("value", [BATCH, 5, 3]),
    tf.tensor(pairBits.slice(0, 40), [BATCH, 4, 5]),
  ];
  const [want, got] = await valuesOf([model, again].map((m) => m.predict(inputs) as tf.Tensor));
  near(got!, want!, "prediction", 1e-6); // TensorFlow.js applies constraints to what it loads
  assert.deepEqual(again.layers.map((l) => l.getConfig()), model.layers.map((l) => l.getConfig()));
});

Deno.test("padding is hidden: a sequence gives what it gives without it", async () => {
  await useBackend("cpu");
  const MultiHeadAttention = await createMultiHeadAttention(tf);
  const embedding = tf.layers.embedding({ inputDim: 9, outputDim: 6, maskZero: true });
  const layer = new MultiHeadAttention({ numHeads: 2, keyDim: 3 });
  const model = (length: number) => {
    const tokens = tf.input({ shape: [length] });
    const outputs = layer.apply(embedding.apply(tokens)) as tf.SymbolicTensor;
    return tf.model({ inputs: tokens, outputs });
  };
  const padded = model(6), short = model(4);
  fill(layer);
  const long = padded.predict(tf.tensor([[3, 5, 1, 2, 0, 0]])) as tf.Tensor;
  const want = short.predict(tf.tensor([[3, 5, 1, 2]])) as tf.Tensor;
  const [got, exact, rest] = await valuesOf([
    tf.slice(long, [0, 0, 0], [1, 4, 6]),
    want,
    tf.slice(long, [0, 4, 0], [1, 2, 6]),
  ]);
  near(got!, exact!, "what is real");
  const bias = await layer.getWeights()[7]!.data();
  rest!.forEach((x, n) => assert.equal(x, bias[n % 6])); // a row without keys: the bias is left
});

Deno.test("dropout: in training only, another one each time, the same for a seed", async () => {
  await useBackend("cpu");
  const MultiHeadAttention = await createMultiHeadAttention(tf), x = normal("x", [2, 16, 6]);
  const make = (seed?: number) => {
    const layer = new MultiHeadAttention({ numHeads: 2, keyDim: 3, dropout: 0.5, seed });
    layer.apply(x);
    fill(layer);
    return async (training?: boolean) =>
      (await valuesOf([layer.apply(x, { training } as never) as tf.Tensor]))[0]!;
  };
  const [a, b, c] = [make(5), make(5), make()];
  const still = await a(), first = await a(true), second = await a(true);
  near(await a(), still, "no training", 0);
  assert.notDeepEqual(first, still);
  assert.notDeepEqual(first, second);
  near(await b(true), first, "the same seed", 0);
  near(await b(true), second, "the same seed", 0);
  assert.notDeepEqual(await c(true), first);
});
