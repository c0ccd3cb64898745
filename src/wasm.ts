/**
 * The CPU alone: the same calls as `@flashtile/attention`, on engines that never look for a GPU. A bundle of this entry
 * holds no WGSL and no code for GPUs.
 *
 * @example
 * ```ts
 * import { attention } from "@flashtile/attention/wasm";
 *
 * const shape = [1, 128, 8, 64]; // batch, length, heads, headDim
 * const x = { data: new Float32Array(128 * 8 * 64).fill(0.1), shape };
 * const { out } = await attention(x, x, x, { causal: true });
 * console.log(out.shape);
 * ```
 *
 * @module
 */
import { Engine } from "./engine/engine.ts";
import {
  backwardTensors,
  engineOf,
  namedEngine,
  partTensors,
  savedTensors,
} from "./engine/engine_of.ts";
import { checkEngineOptions, type EngineOptions } from "./engine/engine_options.ts";
import { attentionOn, attentionSyncOn, backwardOn, backwardSyncOn } from "./engine/passes.ts";
import { Router } from "./engine/router.ts";
import { Runner } from "./engine/runner.ts";
import type {
  ApplyRotaryOptions,
  AttentionBackwardOptions,
  AttentionOptions,
  AttentionScoresOptions,
  AttentionTopKeysOptions,
  MaxSimBackwardOptions,
  MaxSimOptions,
  MergeOptions,
} from "./options.ts";
import type {
  AttentionGradients,
  AttentionResult,
  SavedForBackward,
} from "./problem/call_options.ts";
import type { TopKeys } from "./problem/inside_options.ts";
import type { MaxSimGradientsOf, MaxSimResult, SavedForMaxSim } from "./problem/max_sim.ts";
import { UnsupportedError } from "./tensor/errors.ts";
import type { AnyTensor, FloatResultOf, ResultOf } from "./tensor/tensor.ts";

const CPU = { backend: "wasm" } as const;
let runner: Runner | undefined;

/** What runs calls that name no engine. */
function defaultRunner(): Runner {
  if (!runner || runner.router.disposed) runner = new Runner(new Router(CPU, undefined));
  return runner;
}

/** An engine on it, for calls that are methods of engines only. */
function defaultEngine(): Engine {
  const runner = defaultRunner();
  return (runner.engine as Engine | undefined) ?? new Engine(CPU, undefined, runner);
}

/** Options of `createEngine` of this entry: those of the whole library, less what is about GPUs. */
export type WasmEngineOptions =
  & Omit<
    EngineOptions,
    "backend" | "device" | "allowFallbackAdapter" | "debug" | "tune" | "tuneStore" | "coexecute"
  >
  & { readonly backend?: "auto" | "wasm" | undefined };

/** Makes an engine, as `createEngine` of `@flashtile/attention` does, on the CPU. */
// deno-lint-ignore require-await -- the same contract: what is wrong rejects
export async function createEngine(options: WasmEngineOptions = {}): Promise<Engine> {
  checkEngineOptions(options);
  const { backend = "wasm" } = options as EngineOptions;
  if (backend === "webgpu") {
    throw new UnsupportedError(
      "computing on a GPU",
      "wasm",
      "import createEngine from @flashtile/attention",
    );
  }
  return new Engine({ ...options, backend: "wasm" });
}

/** `attention` of `@flashtile/attention`. */
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

/** `attentionSync` of `@flashtile/attention`. */
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

/** `attentionBackward` of `@flashtile/attention`. */
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

/** `attentionBackwardSync` of `@flashtile/attention`. */
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

/** `attentionScores` of `@flashtile/attention`. */
export async function attentionScores<T extends AnyTensor>(
  q: T,
  k: AnyTensor,
  options: AttentionScoresOptions,
): Promise<FloatResultOf<T>> {
  const tensors = [q, k, options?.lse];
  return await engineOf(options, "attentionScores", tensors, defaultEngine)
    .attentionScores(q, k, options);
}

/** `attentionTopKeys` of `@flashtile/attention`. */
export async function attentionTopKeys<T extends AnyTensor>(
  q: T,
  k: AnyTensor,
  lse: AnyTensor,
  options: AttentionTopKeysOptions,
): Promise<TopKeys<ResultOf<T>>> {
  return await engineOf(options, "attentionTopKeys", [q, k, lse], defaultEngine)
    .attentionTopKeys(q, k, lse, options);
}

/** `attentionColumnSums` of `@flashtile/attention`. */
export async function attentionColumnSums<T extends AnyTensor>(
  q: T,
  k: AnyTensor,
  lse: AnyTensor,
  options: AttentionOptions = {},
): Promise<FloatResultOf<T>> {
  return await engineOf(options, "attentionColumnSums", [q, k, lse], defaultEngine)
    .attentionColumnSums(q, k, lse, options);
}

/** `maxSim` of `@flashtile/attention`. */
export async function maxSim<T extends AnyTensor>(
  queries: T,
  documents: AnyTensor,
  options: MaxSimOptions,
): Promise<MaxSimResult<ResultOf<T>>> {
  return await engineOf(options, "maxSim", [queries, documents], defaultEngine)
    .maxSim(queries, documents, options);
}

/** `maxSimSync` of `@flashtile/attention`. */
export function maxSimSync<T extends AnyTensor>(
  queries: T,
  documents: AnyTensor,
  options: MaxSimOptions,
): MaxSimResult<ResultOf<T>> {
  return engineOf(options, "maxSim", [queries, documents], defaultEngine)
    .maxSimSync(queries, documents, options);
}

/** `maxSimBackward` of `@flashtile/attention`. */
export async function maxSimBackward<Q extends AnyTensor, K extends AnyTensor>(
  dScores: AnyTensor,
  saved: SavedForMaxSim<Q, K>,
  options: MaxSimBackwardOptions = {},
): Promise<MaxSimGradientsOf<Q, K>> {
  return await engineOf(options, "maxSimBackward", savedTensors(dScores, saved), defaultEngine)
    .maxSimBackward(dScores, saved, options);
}

/** `maxSimBackwardSync` of `@flashtile/attention`. */
export function maxSimBackwardSync<Q extends AnyTensor, K extends AnyTensor>(
  dScores: AnyTensor,
  saved: SavedForMaxSim<Q, K>,
  options: MaxSimBackwardOptions = {},
): MaxSimGradientsOf<Q, K> {
  return engineOf(options, "maxSimBackward", savedTensors(dScores, saved), defaultEngine)
    .maxSimBackwardSync(dScores, saved, options);
}

/** `mergeAttention` of `@flashtile/attention`. */
export function mergeAttention<T extends AnyTensor>(
  parts: readonly { readonly out: T; readonly lse: AnyTensor }[],
  options: MergeOptions = {},
): AttentionResult<ResultOf<T>> {
  return engineOf(options, "mergeAttention", partTensors(parts), defaultEngine)
    .mergeAttention(parts, options);
}

/** `applyRotary` of `@flashtile/attention`. */
export function applyRotary<T extends AnyTensor>(
  x: T,
  options: ApplyRotaryOptions = {},
): ResultOf<T> {
  return engineOf(options, "applyRotary", [x], defaultEngine).applyRotary(x, options);
}

export type * from "./types.ts";
export { dropoutMask, type DropoutMaskOptions } from "./problem/features/dropout_mask.ts";
export { Engine } from "./engine/engine.ts";
export { blockMaskFromLists } from "./expression/block_lists.ts";
export { createBlockMask } from "./expression/block_mask.ts";
export { captured } from "./expression/captured.ts";
export { masks } from "./expression/masks.ts";
export { maskMod, scoreMod } from "./expression/score_mod.ts";
export { VerificationError } from "./problem/verification.ts";
export { UnsupportedError } from "./tensor/errors.ts";
