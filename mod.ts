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
export type { AbortSignalLike, MemoryUse } from "./src/backend/backend.ts";
export type { DType, Float16ArrayLike, TensorData } from "./src/tensor/dtype.ts";
export { type Abortable, Engine } from "./src/engine/engine.ts";
export { createEngine } from "./src/engine/create_engine.ts";
export type { BackendName, EngineOptions } from "./src/engine/engine_options.ts";
export type { ExplainedStep, Explanation } from "./src/backend/explanation.ts";
export { DeviceLostError, UnsupportedError } from "./src/tensor/errors.ts";
export type {
  AttentionBackwardOptions,
  AttentionOptions,
  MergeOptions,
  RunChoice,
} from "./src/options.ts";
export type {
  AttentionGradients,
  AttentionResult,
  BackwardCallOptions,
  CallOptions,
  Causal,
  Layout,
  PerSequence,
  SavedForBackward,
  Window,
} from "./src/problem/call_options.ts";
export type { MergeCallOptions } from "./src/problem/merge.ts";
export type { KernelName } from "./src/plan/kernel.ts";
export type { Tile } from "./src/plan/wasm/tiles.ts";
export type { Cost } from "./src/plan/cost.ts";
export type { Estimates } from "./src/plan/estimate.ts";
export type { Target, WasmTarget, WebGpuTarget } from "./src/plan/target.ts";
export type {
  AnyTensor,
  FloatResultOf,
  HostTensor,
  MaskTensor,
  ResultOf,
  Tensor,
} from "./src/tensor/tensor.ts";
export type { SimdLevel } from "./src/wasm/module/kernel_bytes.ts";
export type { GpuDeviceLike } from "./src/webgpu/device/api.ts";
