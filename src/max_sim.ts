// The public calls of late interaction: check, run on an engine.
import { defaultEngine } from "./engine/create_engine.ts";
import { engineOf, savedTensors } from "./engine/engine_of.ts";
import type { MaxSimBackwardOptions, MaxSimOptions } from "./options.ts";
import type { MaxSimGradientsOf, MaxSimResult, SavedForMaxSim } from "./problem/max_sim.ts";
import type { AnyTensor, ResultOf } from "./tensor/tensor.ts";

/**
 * Scores documents by late interaction (ColBERT; Khattab and Zaharia 2020): for each document, the sum over the queries
 * of the largest product with one of its rows. `queries` are [tokens, dim], or several sets of them, [batch, tokens, dim];
 * `documents` are rows [rows, dim], one document behind the other, and `cuSeqlens` says where each begins. No product is
 * written to memory.
 *
 * The result has `scores`, f32 [documents] or [batch, documents], and `keys`, the row of each query's largest product,
 * which `maxSimBackward` needs. Equal products are taken by the lower row; one that is NaN is the largest. A document
 * without rows has score minus infinity and keys −1. Sums are made in a fixed order: the same inputs give the same bits.
 *
 * @throws {TypeError} wrong type or rank; no `cuSeqlens`. @throws {RangeError} sizes that do not fit, rows that are not
 * there, or out of memory.
 *
 * @example
 * ```ts
 * import { maxSim } from "@flashtile/attention";
 * import assert from "node:assert/strict";
 *
 * // two queries, two documents of two rows and of one
 * const queries = { data: new Float32Array([1, 0, 0, 1]), shape: [2, 2] };
 * const documents = { data: new Float32Array([3, 1, 0, 2, 1, 1]), shape: [3, 2] };
 * const { scores, keys } = await maxSim(queries, documents, { cuSeqlens: [0, 2, 3] });
 * assert.deepEqual([...scores.data], [3 + 2, 1 + 1]);
 * assert.deepEqual([...keys.data], [0, 1, 2, 2]);
 * ```
 */
export async function maxSim<T extends AnyTensor>(
  queries: T,
  documents: AnyTensor,
  options: MaxSimOptions,
): Promise<MaxSimResult<ResultOf<T>>> {
  return await engineOf(options, "maxSim", [queries, documents], defaultEngine)
    .maxSim(queries, documents, options);
}

/**
 * `maxSim` at once, on the calling thread, in WebAssembly.
 *
 * @throws {UnsupportedError} for tensors in GPU memory; otherwise as `maxSim`.
 *
 * @example
 * ```ts
 * import { maxSimSync } from "@flashtile/attention";
 *
 * const rows = { data: new Float32Array(8 * 4).fill(1), shape: [8, 4] };
 * const { scores } = maxSimSync(rows, rows, { cuSeqlens: [0, 3, 8] });
 * console.log(scores.data); // each of eight queries has the product 4
 * ```
 */
export function maxSimSync<T extends AnyTensor>(
  queries: T,
  documents: AnyTensor,
  options: MaxSimOptions,
): MaxSimResult<ResultOf<T>> {
  return engineOf(options, "maxSim", [queries, documents], defaultEngine)
    .maxSimSync(queries, documents, options);
}

/**
 * Gradients of `maxSim`: `dScores` is the gradient of the loss with respect to its scores, `saved` has its inputs and its
 * result `keys`. Each query gets the row of its largest product, that row gets the query, times the gradient of the
 * score; a gradient of 0 adds nothing, whatever rows hold. Sums are made in a fixed order.
 *
 * @throws {TypeError} wrong type or rank. @throws {RangeError} sizes that do not fit, keys that are no rows, or out of
 * memory.
 *
 * @example
 * ```ts
 * import { maxSim, maxSimBackward } from "@flashtile/attention";
 * import assert from "node:assert/strict";
 *
 * const queries = { data: new Float32Array([1, 0, 0, 1]), shape: [2, 2] };
 * const documents = { data: new Float32Array([3, 1, 0, 2, 1, 1]), shape: [3, 2] };
 * const { keys } = await maxSim(queries, documents, { cuSeqlens: [0, 2, 3] });
 * const dScores = { data: new Float32Array([1, 0]), shape: [2] }; // of the first score alone
 * const { dQueries, dDocuments } = await maxSimBackward(dScores, { queries, documents, keys });
 * assert.deepEqual([...dQueries.data], [3, 1, 0, 2]); // the rows that were chosen
 * assert.deepEqual([...dDocuments.data], [1, 0, 0, 1, 0, 0]); // the queries that chose them
 * ```
 */
export async function maxSimBackward<Q extends AnyTensor, K extends AnyTensor>(
  dScores: AnyTensor,
  saved: SavedForMaxSim<Q, K>,
  options: MaxSimBackwardOptions = {},
): Promise<MaxSimGradientsOf<Q, K>> {
  return await engineOf(options, "maxSimBackward", savedTensors(dScores, saved), defaultEngine)
    .maxSimBackward(dScores, saved, options);
}

/**
 * `maxSimBackward` at once, on the calling thread, in WebAssembly.
 *
 * @throws {UnsupportedError} for tensors in GPU memory; otherwise as `maxSimBackward`.
 *
 * @example
 * ```ts
 * import { maxSimBackwardSync, maxSimSync } from "@flashtile/attention";
 *
 * const rows = { data: new Float32Array(8 * 4).fill(1), shape: [8, 4] };
 * const { scores, keys } = maxSimSync(rows, rows, { cuSeqlens: [0, 3, 8] });
 * const { dQueries } = maxSimBackwardSync(scores, { queries: rows, documents: rows, keys });
 * console.log(dQueries.shape); // [8, 4]
 * ```
 */
export function maxSimBackwardSync<Q extends AnyTensor, K extends AnyTensor>(
  dScores: AnyTensor,
  saved: SavedForMaxSim<Q, K>,
  options: MaxSimBackwardOptions = {},
): MaxSimGradientsOf<Q, K> {
  return engineOf(options, "maxSimBackward", savedTensors(dScores, saved), defaultEngine)
    .maxSimBackwardSync(dScores, saved, options);
}
