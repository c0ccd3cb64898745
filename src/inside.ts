// The public calls that look inside attention: check, plan, run on an engine.
import { defaultEngine } from "./engine/create_engine.ts";
import { engineOf } from "./engine/engine_of.ts";
import type {
  AttentionOptions,
  AttentionScoresOptions,
  AttentionTopKeysOptions,
} from "./options.ts";
import type { TopKeys } from "./problem/inside_options.ts";
import type { AnyTensor, FloatResultOf, ResultOf } from "./tensor/tensor.ts";

/**
 * The scores of a rectangle of `attention`, f32 [batch, queryHeads, rows, keys]: `rows` and `keys` are pairs
 * `[first, end)`, all of them unless they are given. Options mean what they mean in `attention`; memory is that of the
 * result.
 *
 * | stage | what |
 * | --- | --- |
 * | `"raw"` | `q kᵀ · softmaxScale`, hidden pairs too |
 * | `"softcapped"` | the same after `softcap` |
 * | `"masked"` | after every option; minus infinity at hidden pairs |
 * | `"probabilities"` | `exp(score − lse)`, 0 at hidden pairs; needs `lse`, the result of `attention` |
 *
 * The result lives where q lives. With a `sink` the probabilities of a row add up to less than 1.
 *
 * @throws {TypeError} wrong type, rank or stage; no `lse`. @throws {RangeError} sizes that do not fit, a range that is
 * not inside, or out of memory.
 *
 * @example
 * ```ts
 * import { attention, attentionScores } from "@flashtile/attention";
 * import assert from "node:assert/strict";
 *
 * // one query, two keys with equal scores: each has half of the weight
 * const q = { data: new Float32Array([0]), shape: [1, 1, 1, 1] };
 * const k = { data: new Float32Array([1, 2]), shape: [1, 2, 1, 1] };
 * const { lse } = await attention(q, k, k);
 * const { data } = await attentionScores(q, k, { stage: "probabilities", lse });
 * assert.ok([...data].every((p) => Math.abs(p - 0.5) < 1e-6));
 * ```
 */
export async function attentionScores<T extends AnyTensor>(
  q: T,
  k: AnyTensor,
  options: AttentionScoresOptions,
): Promise<FloatResultOf<T>> {
  const tensors = [q, k, options?.lse];
  return await engineOf(options, "attentionScores", tensors, defaultEngine)
    .attentionScores(q, k, options);
}

/**
 * The `count` largest probabilities of each query and their keys, [batch, queryHeads, rows, count] each, the largest
 * first, equal scores by the lower key; in one pass over the keys. `lse` is the result of `attention` with the same
 * options. `keys` are 32-bit integers, −1 with probability 0 where fewer keys are visible. A score that is NaN counts
 * as the largest.
 *
 * @throws {TypeError} wrong type or rank; no `lse`. @throws {RangeError} sizes that do not fit, `count` below 1 or
 * above lengthK, a range that is not inside, or out of memory.
 *
 * @example
 * ```ts
 * import { attention, attentionTopKeys } from "@flashtile/attention";
 * import assert from "node:assert/strict";
 *
 * const q = { data: new Float32Array([1]), shape: [1, 1, 1, 1] };
 * const k = { data: new Float32Array([0, 3, 1]), shape: [1, 3, 1, 1] };
 * const { lse } = await attention(q, k, k);
 * const { keys } = await attentionTopKeys(q, k, lse, { count: 2 });
 * assert.deepEqual([...keys.data], [1, 2]);
 * ```
 */
export async function attentionTopKeys<T extends AnyTensor>(
  q: T,
  k: AnyTensor,
  lse: AnyTensor,
  options: AttentionTopKeysOptions,
): Promise<TopKeys<ResultOf<T>>> {
  return await engineOf(options, "attentionTopKeys", [q, k, lse], defaultEngine)
    .attentionTopKeys(q, k, lse, options);
}

/**
 * What each key received in total, the sum of its probabilities over all queries, f32 [batch, queryHeads, lengthK]:
 * which keys of a cache may be evicted (H2O), which tokens matter. `lse` is the result of `attention` with the same
 * options. Sums have a fixed order: the same inputs give the same bits.
 *
 * @throws {TypeError} wrong type or rank; no `lse`. @throws {RangeError} sizes that do not fit, or out of memory.
 *
 * @example
 * ```ts
 * import { attention, attentionColumnSums } from "@flashtile/attention";
 * import assert from "node:assert/strict";
 *
 * // two queries; the first sees the first key only, the second both alike
 * const q = { data: new Float32Array([0, 0]), shape: [1, 2, 1, 1] };
 * const { lse } = await attention(q, q, q, { causal: true });
 * const { data } = await attentionColumnSums(q, q, lse, { causal: true });
 * assert.ok(Math.abs(data[0]! - 1.5) < 1e-6 && Math.abs(data[1]! - 0.5) < 1e-6);
 * ```
 */
export async function attentionColumnSums<T extends AnyTensor>(
  q: T,
  k: AnyTensor,
  lse: AnyTensor,
  options: AttentionOptions = {},
): Promise<FloatResultOf<T>> {
  return await engineOf(options, "attentionColumnSums", [q, k, lse], defaultEngine)
    .attentionColumnSums(q, k, lse, options);
}
