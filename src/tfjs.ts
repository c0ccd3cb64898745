/**
 * Attention as an op of TensorFlow.js, with gradients and memory linear in the length, on its WebGPU, WASM, CPU and WebGL
 * backends. Nothing of TensorFlow.js is imported: the caller's own copy is passed in.
 *
 * @example
 * ```ts
 * import * as tf from "@tensorflow/tfjs";
 * import { createFlashAttention } from "@flashtile/attention/tfjs";
 *
 * await tf.setBackend("cpu"); // or "webgpu", or "wasm"
 * const flashAttention = await createFlashAttention(tf);
 *
 * const x = tf.randomNormal([1, 128, 4, 16]); // batch, length, heads, headDim
 * const loss = (x: tf.Tensor) => tf.mean(tf.square(flashAttention(x, x, x, { causal: true })));
 * console.log(tf.grad(loss)(x).shape); // [1, 128, 4, 16]
 * ```
 *
 * @module
 */
import { type AdapterOptions, checkAdapterOptions } from "./tfjs/adapter_options.ts";
import { layerClass } from "./tfjs/layer.ts";
import type { MultiHeadAttentionArgs } from "./tfjs/layer_args.ts";
import { flashAttention } from "./tfjs/op.ts";
import type { FlashAttentionOptions } from "./tfjs/options.ts";
import { prepareRunner, runnerOf } from "./tfjs/runners.ts";
import { opsOf, type TensorFlowWithLayers, type TfLayerClass } from "./tfjs/tf_layers.ts";
import { engineOf, type TensorFlow, type TfTensor } from "./tfjs/tensorflow.ts";

export type { AdapterOptions } from "./tfjs/adapter_options.ts";
export type { FlashAttentionOptions, TfPerSequence, TfRotary } from "./tfjs/options.ts";
export type { Engine } from "./engine/engine.ts";
export type { MultiHeadAttentionArgs, TfIdentifier } from "./tfjs/layer_args.ts";
export type { MultiHeadAttentionCall } from "./tfjs/layer_inputs.ts";
export type { TensorFlowWithLayers } from "./tfjs/tf_layers.ts";
export type { CapturedFloats, CapturedIntegers } from "./tfjs/runner.ts";
export type { TensorFlow, TfTensor } from "./tfjs/tensorflow.ts";
export { UnsupportedError } from "./tensor/errors.ts";
export type * from "./types.ts";

/**
 * Attention as an op of TensorFlow.js, eager and inside of `tf.grads`, `tf.variableGrads` and `model.fit`. The result is an
 * ordinary tensor: `tf.tidy` and `dispose` free it.
 *
 * | | shape, layout `"bshd"` | layout `"bhsd"` |
 * | --- | --- | --- |
 * | q | `[batch, lengthQ, queryHeads, headDim]` | `[batch, queryHeads, lengthQ, headDim]` |
 * | k | `[batch, lengthK, kvHeads, headDim]` | `[batch, kvHeads, lengthK, headDim]` |
 * | v | `[batch, lengthK, kvHeads, valueDim]` | `[batch, kvHeads, lengthK, valueDim]` |
 * | result | like q with valueDim | like q with valueDim |
 *
 * Gradients flow to q, k and v, and to the tensors among the options `bias`, `sink`, `alibiSlopes` and `captured`. A
 * gradient of a gradient throws `UnsupportedError`.
 *
 * @throws {TypeError} what is no float32 tensor of this instance, or was disposed of. @throws {RangeError} sizes that do not
 * fit, or out of memory. @throws {UnsupportedError} a backend that has no way.
 */
export type FlashAttention<T extends TfTensor = TfTensor> = (
  q: T,
  k: T,
  v: T,
  options?: FlashAttentionOptions<T>,
) => T;

/**
 * Makes `flashAttention` for an instance of TensorFlow.js, once its backend is ready. Where that is WebGPU, its device is
 * looked at, and so it has to be set before; the others may be set at any time. `options.engine` computes, which stays the
 * caller's.
 *
 * @throws {TypeError} `tf` is not TensorFlow.js, or `engine` no engine. @throws {RangeError} the engine is not on the device of
 * TensorFlow.js. @throws {UnsupportedError} that device computes wrongly.
 *
 * @example Gradients of variables
 * ```ts
 * import * as tf from "@tensorflow/tfjs";
 * import { createFlashAttention } from "@flashtile/attention/tfjs";
 * import assert from "node:assert/strict";
 *
 * await tf.setBackend("cpu");
 * const flashAttention = await createFlashAttention(tf);
 * const x = tf.randomNormal([2, 8, 4, 16]), sink = tf.variable(tf.zeros([4]));
 * const { grads } = tf.variableGrads(() => tf.mean(flashAttention(x, x, x, { sink })));
 * assert.deepEqual(grads[sink.name]!.shape, [4]);
 * ```
 */
export async function createFlashAttention<T extends TfTensor>(
  tf: TensorFlow<T>,
  options: AdapterOptions = {},
): Promise<FlashAttention<T>> {
  const call = await prepared(tf, options, "createFlashAttention");
  return (q, k, v, options) => call({ q, k, v }, options) as T;
}

/** The op for the backend that is set, once it can run there. */
async function prepared(
  tf: TensorFlow,
  options: AdapterOptions,
  action: string,
): Promise<(given: { q: unknown; k: unknown; v: unknown }, options: unknown) => TfTensor> {
  const engine = engineOf(tf, action), own = checkAdapterOptions(options, action);
  await tf.ready();
  await prepareRunner(engine, own, action);
  return (given, options) =>
    flashAttention(engine, (engine) => runnerOf(engine, own), given, options);
}

/** The class of a layer. */
export interface MultiHeadAttentionClass<L extends object = object> {
  /** What saved models call it. */
  readonly className: string;
  /** Makes a layer. */
  new (args: MultiHeadAttentionArgs): L;
}

/** One class for each `Layer` that it extends and engine that computes, or that `Layer` again. */
const LAYERS = new WeakMap<object, WeakMap<object, TfLayerClass>>();

/**
 * Makes the layer `MultiHeadAttention` for an instance of TensorFlow.js, and registers it there, so that models that were
 * saved with it can be loaded. Arguments and weights are those of Keras' layer of that name, with `numKeyValueHeads` of its
 * layer for grouped queries; attention itself is `flashAttention`.
 *
 * Inputs are [batch, length, features]: a query alone, or `[query, value]`, `[query, value, key]`,
 * `[query, value, key, attentionMask]`. Models that are loaded have layers of the class that was made last, and so its engine.
 *
 * @throws {TypeError} `tf` is not TensorFlow.js with its layers. Else it throws as `createFlashAttention`.
 *
 * @example
 * ```ts
 * import * as tf from "@tensorflow/tfjs";
 * import { createMultiHeadAttention } from "@flashtile/attention/tfjs";
 * import assert from "node:assert/strict";
 *
 * await tf.setBackend("cpu");
 * const MultiHeadAttention = await createMultiHeadAttention(tf);
 * const model = tf.sequential();
 * model.add(new MultiHeadAttention({ numHeads: 4, keyDim: 8, useCausalMask: true, inputShape: [16, 32] }));
 * model.compile({ optimizer: "adam", loss: "meanSquaredError" });
 * const x = tf.randomNormal([2, 16, 32]);
 * await model.fit(x, x, { epochs: 1, verbose: 0 });
 * assert.deepEqual((model.predict(x) as tf.Tensor).shape, [2, 16, 32]);
 * ```
 */
export async function createMultiHeadAttention<T extends TfTensor, L extends object>(
  tf: TensorFlowWithLayers<T, L>,
  options: AdapterOptions = {},
): Promise<MultiHeadAttentionClass<L>> {
  const action = "createMultiHeadAttention";
  engineOf(tf, action);
  const ops = opsOf(tf, action), { Layer } = ops.layers;
  const call = await prepared(tf, options, action);
  const classes = LAYERS.get(Layer) ?? new WeakMap<object, TfLayerClass>(),
    key = options.engine ?? Layer;
  const made = classes.get(key) ??
    layerClass(ops, (q, k, v, options) => call({ q, k, v }, options));
  LAYERS.set(Layer, classes.set(key, made as TfLayerClass));
  ops.serialization.registerClass(made); // what is loaded from here on is of this class
  return made as unknown as MultiHeadAttentionClass<L>;
}
