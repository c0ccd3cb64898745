/**
 * Exact FlashAttention for every JavaScript runtime: forward and backward, tile by tile, memory linear
 * in the length, on WebGPU or in WASM SIMD. Runs in Deno, browsers, Node, Bun and edge functions, with
 * no dependency.
 *
 * @example
 * ```ts
 * import { attention } from "@flashtile/attention";
 *
 * const shape = [1, 1024, 8, 64]; // batch, length, heads, headDim
 * const random = () => ({ data: Float32Array.from({ length: 1024 * 8 * 64 }, Math.random), shape });
 * const { out, lse } = await attention(random(), random(), random(), { causal: true });
 * console.log(out.shape, lse.shape);
 * ```
 *
 * @module
 */
export {
  attention,
  attentionBackward,
  attentionBackwardSync,
  attentionSync,
  mergeAttention,
} from "./src/attention.ts";
export { attentionColumnSums, attentionScores, attentionTopKeys } from "./src/inside.ts";
export { maxSim, maxSimBackward, maxSimBackwardSync, maxSimSync } from "./src/max_sim.ts";
export { applyRotary } from "./src/rotary.ts";
export { createEngine } from "./src/engine/create_engine.ts";
export { Engine } from "./src/engine/engine.ts";
export { blockMaskFromLists } from "./src/expression/block_lists.ts";
export { createBlockMask } from "./src/expression/block_mask.ts";
export { captured } from "./src/expression/captured.ts";
export { masks } from "./src/expression/masks.ts";
export { maskMod, scoreMod } from "./src/expression/score_mod.ts";
export { DeviceLostError, UnsupportedError } from "./src/tensor/errors.ts";
export { VerificationError } from "./src/problem/verification.ts";
export { dropoutMask, type DropoutMaskOptions } from "./src/problem/features/dropout_mask.ts";
export type * from "./src/types.ts";
