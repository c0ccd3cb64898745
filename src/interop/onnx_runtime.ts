// ONNX Runtime Web: its tensors on a GPU wrapped, and resident tensors as tensors of it. Nothing is copied.
import type { Engine } from "../engine/engine.ts";
import { Complaint, show } from "../tensor/errors.ts";
import type { GpuBufferLike, HostGpuBuffer } from "../tensor/gpu_types.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkDims, checkEngine, dtypeFrom, type TypeNames, wholeBuffer } from "./resident.ts";

/** A tensor of `onnxruntime-web`, by what is asked of it. */
export interface OnnxRuntimeTensor {
  /** Where its values are: `"gpu-buffer"` is wanted. */
  readonly location: string;
  /** `"float32"` or `"float16"`. */
  readonly type: string;
  /** Size of each axis. */
  readonly dims: readonly number[];
  /** The buffer that holds it, from the first byte on; its types do not always know `GPUBuffer`. */
  readonly gpuBuffer: object;
}

/** How ONNX Runtime is told what a buffer holds. */
export interface OnnxRuntimeBufferOptions {
  /** Name of the type. */
  readonly dataType: "float32" | "float16";
  /** Size of each axis. */
  readonly dims: readonly number[];
  /** Called when the tensor is disposed of. */
  readonly dispose: () => void;
}

/** The module `onnxruntime-web`, by what is asked of it; `T`: its tensors. */
export interface OnnxRuntimeModule<T> {
  /** The class of its tensors. */
  readonly Tensor: {
    /** A tensor in a buffer of the caller's. */
    fromGpuBuffer(buffer: HostGpuBuffer, options: OnnxRuntimeBufferOptions): T;
  };
}

const NAMES: TypeNames<"float32" | "float16"> = { f32: "float32", f16: "float16" };

/**
 * A tensor of ONNX Runtime Web that lies on the engine's GPU, as a resident one, without a copy: an output of a session
 * with `preferredOutputLocation: "gpu-buffer"`, for example. It stays ONNX Runtime's, and must not be disposed of
 * before the calls that read it have ended. Session and engine must have one device, which cannot be told from a
 * tensor: see docs/interop.md.
 *
 * @throws {TypeError} a tensor that is elsewhere, or of another type. @throws {UnsupportedError} an engine without a GPU.
 *
 * @example
 * ```ts
 * import { createEngine } from "@flashtile/attention";
 * import { fromOnnxRuntime } from "@flashtile/attention/interop";
 *
 * const engine = await createEngine(); // in earnest: { device }, that of the session
 * if (engine.device) {
 *   const gpuBuffer = engine.device.createBuffer({ size: 4096, usage: GPUBufferUsage.STORAGE });
 *   const output = { location: "gpu-buffer", type: "float32", dims: [1, 16, 4, 16], gpuBuffer };
 *   const q = fromOnnxRuntime(engine, output); // output: what session.run() gave
 *   console.log(q.shape); // [1, 16, 4, 16]
 * }
 * engine.dispose();
 * ```
 */
export function fromOnnxRuntime(engine: Engine, tensor: OnnxRuntimeTensor): Tensor {
  const complaint = new Complaint("fromOnnxRuntime");
  checkEngine(engine, complaint);
  if (typeof tensor !== "object" || tensor === null || !("location" in tensor)) {
    throw complaint.type(`tensor is ${show(tensor)} but must be a tensor of ONNX Runtime`);
  }
  const { location, type, dims } = tensor;
  if (location !== "gpu-buffer") {
    throw complaint.type(
      `tensor.location is ${show(location)} but must be "gpu-buffer": of outputs, that is what ` +
        "the option preferredOutputLocation of their session says",
    );
  }
  const dtype = dtypeFrom(NAMES, type, "tensor.type", complaint);
  const sizes = checkDims(dims, "tensor.dims", complaint);
  return engine.wrap(tensor.gpuBuffer as GpuBufferLike, sizes, { dtype });
}

/**
 * A resident tensor as one of ONNX Runtime Web, without a copy: to feed a session that computes on the same device, or
 * as the place where a session puts an output. Disposing of it disposes of the resident tensor.
 *
 * @throws {TypeError} bf16, which ONNX Runtime Web has no name for. @throws {RangeError} a tensor that does not begin
 * at the first byte of its buffer. @throws {UnsupportedError} a tensor that is not on a GPU.
 *
 * @example
 * ```ts
 * import { createEngine } from "@flashtile/attention";
 * import { toOnnxRuntime } from "@flashtile/attention/interop";
 *
 * // in earnest: import * as ort from "onnxruntime-web/webgpu";
 * const ort = { Tensor: { fromGpuBuffer: (buffer: object, options: object) => ({ buffer, options }) } };
 * const engine = await createEngine();
 * if (engine.device) {
 *   const { out, lse } = await engine.attention(...tensors(), { causal: true });
 *   lse.dispose();
 *   const feed = toOnnxRuntime(ort, out); // session.run({ out: feed })
 *   console.log(feed.options);
 *   out.dispose(); // in earnest: feed.dispose()
 * }
 * engine.dispose();
 *
 * function tensors() {
 *   const x = engine.tensor(new Float32Array(64), [1, 4, 1, 16]);
 *   return [x, x, x] as const;
 * }
 * ```
 */
export function toOnnxRuntime<T>(ort: OnnxRuntimeModule<T>, tensor: Tensor): T {
  const complaint = new Complaint("toOnnxRuntime");
  const made = ort?.Tensor, make = made?.fromGpuBuffer;
  if (typeof make !== "function") {
    throw complaint.type(`ort is ${show(ort)} but must be the module onnxruntime-web`);
  }
  const { buffer, shape, type } = wholeBuffer(NAMES, tensor, "toOnnxRuntime", complaint);
  const dispose = () => tensor.dispose();
  return make.call(made, buffer, { dataType: type, dims: shape, dispose });
}
