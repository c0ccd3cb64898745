/**
 * GPU buffers of other libraries as tensors of an engine, and results as tensors of theirs, on a device that they share:
 * ONNX Runtime Web, LiteRT.js and jax-js. No value is copied. The libraries are given as they were imported; this entry
 * imports none of them. docs/interop.md has whole programs, and what each library cannot do.
 *
 * @example
 * ```ts
 * import { attention, type Engine } from "@flashtile/attention";
 * import {
 *   fromOnnxRuntime,
 *   type OnnxRuntimeModule,
 *   type OnnxRuntimeTensor,
 *   toOnnxRuntime,
 * } from "@flashtile/attention/interop";
 *
 * // between two sessions of ONNX Runtime Web whose tensors stay on the GPU
 * async function between<T extends OnnxRuntimeTensor>(
 *   ort: OnnxRuntimeModule<T>,
 *   engine: Engine,
 *   [q, k, v]: [T, T, T],
 * ): Promise<T> {
 *   const from = (tensor: T) => fromOnnxRuntime(engine, tensor);
 *   const { out, lse } = await attention(from(q), from(k), from(v), { causal: true });
 *   lse.dispose();
 *   return toOnnxRuntime(ort, out);
 * }
 * ```
 *
 * @module
 */
export { fromJax, type JaxArray, type JaxModule } from "./interop/jax.ts";
export { fromLiteRt, type LiteRtModule, type LiteRtTensor, toLiteRt } from "./interop/litert.ts";
export {
  fromOnnxRuntime,
  type OnnxRuntimeBufferOptions,
  type OnnxRuntimeModule,
  type OnnxRuntimeTensor,
  toOnnxRuntime,
} from "./interop/onnx_runtime.ts";
export type { Engine } from "./engine/engine.ts";
export { UnsupportedError } from "./tensor/errors.ts";
export type * from "./types.ts";
