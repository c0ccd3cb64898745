/**
 * The operator `Attention` of ONNX, opsets 23 and 24, by its own names: for runtimes that have an ONNX graph at hand, and
 * for checking against it. Memory is linear in the length unless `qk_matmul_output` is asked for.
 *
 * @example
 * ```ts
 * import { onnxAttention } from "@flashtile/attention/onnx";
 * import assert from "node:assert/strict";
 *
 * const tensor = (...shape: number[]) => ({
 *   data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, Math.random),
 *   shape,
 * });
 * const inputs = { Q: tensor(1, 8, 4, 16), K: tensor(1, 2, 6, 16), V: tensor(1, 2, 6, 16) };
 * const { Y } = await onnxAttention(inputs, { is_causal: 1 });
 * assert.deepEqual(Y.shape, [1, 8, 4, 16]);
 * ```
 *
 * @module
 */
import type { OnnxAttentionAttributes } from "./onnx/attributes.ts";
import type { OnnxAttentionInputs } from "./onnx/inputs.ts";
import type { OnnxAttentionOptions, OnnxAttentionOutputs, OnnxOutputName } from "./onnx/options.ts";
import { runOperator } from "./onnx/run.ts";
import type { TensorData } from "./tensor/dtype.ts";

export type { OnnxAttentionAttributes } from "./onnx/attributes.ts";
export type { OnnxAttentionInputs } from "./onnx/inputs.ts";
export type { OnnxLengths } from "./onnx/lengths.ts";
export type { OnnxBooleanMask } from "./onnx/mask.ts";
export type {
  OnnxAttentionOptions,
  OnnxAttentionOutputs,
  OnnxOpset,
  OnnxOutputName,
} from "./onnx/options.ts";
export type { Engine } from "./engine/engine.ts";
export { UnsupportedError } from "./tensor/errors.ts";
export type * from "./types.ts";

/**
 * The ONNX operator `Attention`, `softmax(mask(softcap(Q Kᵀ · scale))) V`, inputs, attributes and outputs by its names
 * ([specification](https://onnx.ai/onnx/operators/onnx__Attention.html), opsets 23 and 24 as corrected in ONNX 1.23).
 *
 * | | rank 4 | rank 3 |
 * | --- | --- | --- |
 * | Q | `[batch_size, q_num_heads, q_sequence_length, head_size]` | `[batch_size, q_sequence_length, q_num_heads · head_size]` |
 * | K | `[batch_size, kv_num_heads, kv_sequence_length, head_size]` | `[batch_size, kv_sequence_length, kv_num_heads · head_size]` |
 * | V | `[batch_size, kv_num_heads, kv_sequence_length, v_head_size]` | `[batch_size, kv_sequence_length, kv_num_heads · v_head_size]` |
 * | Y | `[batch_size, q_num_heads, q_sequence_length, v_head_size]` | `[batch_size, q_sequence_length, q_num_heads · v_head_size]` |
 *
 * Outputs are those that `options.outputs` names, Y unless it says otherwise: `Y` and `qk_matmul_output` have the type and
 * the kind of array of Q, `present_key` those of K, `present_value` those of V. A query that sees no key has zeros in Y
 * and in its probabilities, whatever the keys and values hold that it does not see. Arithmetic is float32. It runs on
 * `options.engine`, or on the engine that all calls share.
 *
 * @throws {TypeError} an input, attribute, option or output that does not exist, one that is missing, wrong types or ranks.
 * @throws {RangeError} sizes and values that do not fit, or out of memory. @throws {UnsupportedError} double, and tensors
 * that do not lie in host memory.
 *
 * @example A decode step: one query, and a cache that grows
 * ```ts
 * import { onnxAttention } from "@flashtile/attention/onnx";
 * import assert from "node:assert/strict";
 *
 * const tensor = (...shape: number[]) => ({
 *   data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, Math.random),
 *   shape,
 * });
 * const inputs = {
 *   ...{ Q: tensor(1, 1, 4 * 16), K: tensor(1, 1, 2 * 16), V: tensor(1, 1, 2 * 16) },
 *   ...{ past_key: tensor(1, 2, 9, 16), past_value: tensor(1, 2, 9, 16) },
 * };
 * const attributes = { q_num_heads: 4, kv_num_heads: 2, is_causal: 1 };
 * const { Y, present_key } = await onnxAttention(inputs, attributes, {
 *   outputs: ["Y", "present_key", "present_value"],
 * });
 * assert.deepEqual(Y.shape, [1, 1, 64]);
 * assert.deepEqual(present_key.shape, [1, 2, 10, 16]);
 * ```
 */
export async function onnxAttention<
  Q extends TensorData,
  K extends TensorData,
  V extends TensorData,
  N extends OnnxOutputName = "Y",
>(
  inputs: OnnxAttentionInputs<Q, K, V>,
  attributes: OnnxAttentionAttributes = {},
  options: OnnxAttentionOptions<N> = {},
): Promise<Pick<OnnxAttentionOutputs<Q, K, V>, N>> {
  const outputs = await runOperator(inputs, attributes, options);
  return outputs as Pick<OnnxAttentionOutputs<Q, K, V>, N>;
}
