// The public calls: check, plan, run on an engine.
import { backwardTensors, engineOf, namedEngine, partTensors } from "./engine/engine_of.ts";
import { defaultEngine } from "./engine/create_engine.ts";
import { defaultRunner } from "./engine/default_runner.ts";
import { attentionOn, attentionSyncOn, backwardOn, backwardSyncOn } from "./engine/passes.ts";
import type {
  AttentionGradients,
  AttentionResult,
  SavedForBackward,
} from "./problem/call_options.ts";
import type { AttentionBackwardOptions, AttentionOptions, MergeOptions } from "./options.ts";
import type { AnyTensor, ResultOf } from "./tensor/tensor.ts";

/**
 * Exact attention, `softmax(q kᵀ · softmaxScale) v`, tile by tile (FlashAttention-2): memory beyond the
 * tensors is O(lengthQ), the score matrix never exists.
 *
 * | | shape, layout `"bshd"` | layout `"bhsd"` |
 * | --- | --- | --- |
 * | q | `[batch, lengthQ, queryHeads, headDim]` | `[batch, queryHeads, lengthQ, headDim]` |
 * | k | `[batch, lengthK, kvHeads, headDim]` | `[batch, kvHeads, lengthK, headDim]` |
 * | v | `[batch, lengthK, kvHeads, valueDim]` | `[batch, kvHeads, lengthK, valueDim]` |
 * | out | like q with valueDim | like q with valueDim |
 * | lse | `[batch, queryHeads, lengthQ]` | the same |
 *
 * queryHeads is a multiple of kvHeads; query head h reads kv head `floor(h / (queryHeads / kvHeads))`.
 * A query that sees no key gets out 0 and lse −∞. Runs on all threads of the engine.
 *
 * @throws {TypeError} wrong type or rank. @throws {RangeError} sizes that do not fit, or out of memory.
 * @throws {UnsupportedError} an option no backend has yet.
 *
 * @example
 * ```ts
 * import { attention } from "@flashtile/attention";
 * import assert from "node:assert/strict";
 *
 * const shape = [1, 128, 4, 64]; // batch, length, heads, headDim
 * const random = () => ({ data: Float32Array.from({ length: 128 * 4 * 64 }, Math.random), shape });
 * const { out, lse } = await attention(random(), random(), random(), { causal: true });
 * assert.deepEqual(out.shape, shape);
 * assert.deepEqual(lse.shape, [1, 4, 128]);
 * ```
 */
export async function attention<T extends AnyTensor>(
  q: T,
  k: AnyTensor,
  v: AnyTensor,
  options: AttentionOptions = {},
): Promise<AttentionResult<ResultOf<T>>> {
  const engine = namedEngine(options, "attention", [q, k, v]);
  if (engine) return await engine.attention(q, k, v, options);
  return await attentionOn(defaultRunner(), q, k, v, options);
}

/**
 * `attention`, at once: on the calling thread, with no await and no worker. For small problems such as
 * decode steps, and for hosts with synchronous custom gradients.
 *
 * @example
 * ```ts
 * import { attentionSync } from "@flashtile/attention";
 * import assert from "node:assert/strict";
 *
 * // one query, two keys with equal scores: the mean of the values
 * const q = { data: new Float32Array([0]), shape: [1, 1, 1, 1] };
 * const k = { data: new Float32Array([1, 2]), shape: [1, 2, 1, 1] };
 * const v = { data: new Float32Array([10, 20]), shape: [1, 2, 1, 1] };
 * assert.equal(attentionSync(q, k, v).out.data[0], 15);
 * ```
 */
export function attentionSync<T extends AnyTensor>(
  q: T,
  k: AnyTensor,
  v: AnyTensor,
  options: AttentionOptions = {},
): AttentionResult<ResultOf<T>> {
  const engine = namedEngine(options, "attention", [q, k, v]);
  if (engine) return engine.attentionSync(q, k, v, options);
  return attentionSyncOn(defaultRunner(), q, k, v, options);
}

/**
 * Gradients of attention (FlashAttention-2, algorithm 2): score tiles are computed again from `lse`
 * instead of being stored. `options` must be those of the forward call; `dLse` may be added where the
 * loss used lse as well. Sums have a fixed order: the same inputs give the same bits.
 *
 * @throws {TypeError} wrong type or rank. @throws {RangeError} sizes that do not fit, or out of memory.
 *
 * @example
 * ```ts
 * import { attention, attentionBackward } from "@flashtile/attention";
 * import assert from "node:assert/strict";
 *
 * const shape = [1, 16, 2, 8];
 * const random = () => ({ data: Float32Array.from({ length: 256 }, Math.random), shape });
 * const [q, k, v, dOut] = [random(), random(), random(), random()];
 * const { out, lse } = await attention(q, k, v, { causal: true });
 * const { dq, dk, dv } = await attentionBackward(dOut, { q, k, v, out, lse }, { causal: true });
 * assert.deepEqual([dq.shape, dk.shape, dv.shape], [shape, shape, shape]);
 * ```
 */
export async function attentionBackward<
  Q extends AnyTensor,
  K extends AnyTensor,
  V extends AnyTensor,
>(
  dOut: AnyTensor,
  saved: SavedForBackward<Q, K, V>,
  options: AttentionBackwardOptions = {},
): Promise<AttentionGradients<ResultOf<Q>, ResultOf<K>, ResultOf<V>>> {
  const engine = namedEngine(options, "attentionBackward", backwardTensors(dOut, saved));
  if (engine) return await engine.attentionBackward(dOut, saved, options);
  return await backwardOn(defaultRunner(), dOut, saved, options);
}

/**
 * `attentionBackward`, at once: on the calling thread, with no await and no worker.
 *
 * @example
 * ```ts
 * import { attentionBackwardSync, attentionSync } from "@flashtile/attention";
 * import assert from "node:assert/strict";
 *
 * const one = (x: number) => ({ data: new Float32Array([x]), shape: [1, 1, 1, 1] });
 * const [q, k, v] = [one(1), one(2), one(3)];
 * const { out, lse } = attentionSync(q, k, v);
 * // a single key has weight 1 whatever its score: dq = 0, dv = 1
 * const { dq, dv } = attentionBackwardSync(one(1), { q, k, v, out, lse });
 * assert.ok(Math.abs(dq.data[0]!) < 1e-5 && Math.abs(dv.data[0]! - 1) < 1e-5);
 * ```
 */
export function attentionBackwardSync<
  Q extends AnyTensor,
  K extends AnyTensor,
  V extends AnyTensor,
>(
  dOut: AnyTensor,
  saved: SavedForBackward<Q, K, V>,
  options: AttentionBackwardOptions = {},
): AttentionGradients<ResultOf<Q>, ResultOf<K>, ResultOf<V>> {
  const engine = namedEngine(options, "attentionBackward", backwardTensors(dOut, saved));
  if (engine) return engine.attentionBackwardSync(dOut, saved, options);
  return backwardSyncOn(defaultRunner(), dOut, saved, options);
}

/**
 * Merges results of the same queries over disjoint keys into the result over all of them, exactly: the
 * softmax state (out, lse) is associative. This is the combine step of flash-decoding, ring attention
 * and shared prefixes (FlashInfer `merge_state`).
 *
 * `out` of each part is `[batch, lengthQ, queryHeads, valueDim]` (or `"bhsd"`), `lse` is
 * `[batch, queryHeads, lengthQ]`. A part with lse −∞ saw no key and weighs nothing.
 *
 * @throws {RangeError} no parts, or parts of different shapes.
 *
 * @example
 * ```ts
 * import { attentionSync, mergeAttention } from "@flashtile/attention";
 * import assert from "node:assert/strict";
 *
 * const part = (...x: number[]) => ({ data: new Float32Array(x), shape: [1, x.length, 1, 1] });
 * const q = part(1);
 * const left = attentionSync(q, part(0.5, 1), part(1, 2));
 * const right = attentionSync(q, part(2), part(3));
 * const whole = attentionSync(q, part(0.5, 1, 2), part(1, 2, 3));
 * const { out } = mergeAttention([left, right]);
 * assert.ok(Math.abs(out.data[0]! - whole.out.data[0]!) < 1e-6);
 * ```
 */
export function mergeAttention<T extends AnyTensor>(
  parts: readonly { readonly out: T; readonly lse: AnyTensor }[],
  options: MergeOptions = {},
): AttentionResult<ResultOf<T>> {
  return engineOf(options, "mergeAttention", partTensors(parts), defaultEngine).mergeAttention(
    parts,
    options,
  );
}
