// LiteRT.js: its tensors on a GPU wrapped, and resident tensors as tensors of it. Nothing is copied.
import type { Engine } from "../engine/engine.ts";
import { Complaint, show, UnsupportedError } from "../tensor/errors.ts";
import type { GpuBufferLike, HostGpuBuffer } from "../tensor/gpu_types.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkDims, checkEngine, dtypeFrom, type TypeNames, wholeBuffer } from "./resident.ts";

/** A tensor of `@litertjs/core`, by what is asked of it. */
export interface LiteRtTensor {
  /** Where its values are: `"webgpu"` is wanted. */
  readonly accelerator: string;
  /** `"float32"`, and the size of each axis. */
  readonly type: {
    readonly dtype: string;
    readonly layout: { readonly dimensions: ArrayLike<number> };
  };
  /** What it belongs to, with the device. */
  readonly environment: { readonly webGpuDevice: object | null };
  /** The buffer that holds it, from the first byte on. */
  toGpuBuffer(): GpuBufferLike;
}

/** The module `@litertjs/core`, by what is asked of it; `T`: its tensors, `E`: its environments. */
export interface LiteRtModule<T, E> {
  /** The class of its tensors. */
  readonly Tensor: new (
    buffer: HostGpuBuffer,
    shape: number[],
    dtype: "float32",
    environment: E | undefined,
    onDelete: () => void,
  ) => T;
}

const NAMES: TypeNames<"float32"> = { f32: "float32" };

/**
 * A tensor of LiteRT.js that lies on the engine's GPU, as a resident one, without a copy: an output of a model with
 * `accelerator: "webgpu"`, for example. It stays LiteRT's, and must not be deleted before the calls that read it have
 * ended.
 *
 * @throws {TypeError} a tensor that is elsewhere, or of another type. @throws {RangeError} an engine on another device.
 * @throws {UnsupportedError} an engine without a GPU.
 *
 * @example
 * ```ts
 * import { createEngine } from "@flashtile/attention";
 * import { fromLiteRt, type LiteRtTensor } from "@flashtile/attention/interop";
 *
 * // in earnest: import { setWebGpuDevice } from "@litertjs/core"; output: what model.run() gave
 * async function wrapped(output: LiteRtTensor): Promise<readonly number[]> {
 *   const device = output.environment?.webGpuDevice as GPUDevice;
 *   using engine = await createEngine({ device });
 *   return fromLiteRt(engine, output).shape;
 * }
 * ```
 */
export function fromLiteRt(engine: Engine, tensor: LiteRtTensor): Tensor {
  const complaint = new Complaint("fromLiteRt");
  checkEngine(engine, complaint);
  const toGpuBuffer = tensor?.toGpuBuffer;
  if (typeof toGpuBuffer !== "function") {
    throw complaint.type(`tensor is ${show(tensor)} but must be a tensor of LiteRT.js`);
  }
  const { accelerator, type, environment } = tensor;
  const remedy = "createEngine({ device }) with the device of LiteRT's environment";
  if (accelerator !== "webgpu") {
    const move = 'see tensor.moveTo("webgpu")';
    throw complaint.type(`tensor is on ${show(accelerator)} but must be on "webgpu": ${move}`);
  }
  const dtype = dtypeFrom(NAMES, type?.dtype, "tensor.type.dtype", complaint);
  const sizes = checkDims(type.layout?.dimensions, "tensor.type.layout.dimensions", complaint);
  if (!engine.device) throw new UnsupportedError("fromLiteRt", "wasm", remedy);
  if (environment?.webGpuDevice !== engine.device) {
    throw complaint.range(`the engine computes on another device than LiteRT.js: use ${remedy}`);
  }
  return engine.wrap(toGpuBuffer.call(tensor), sizes, { dtype });
}

/**
 * A resident tensor as one of LiteRT.js, without a copy, in the environment given, or in the default one of LiteRT.js:
 * its device must be that of the tensor. Deleting it disposes of the resident tensor.
 *
 * @throws {TypeError} a 16-bit tensor, which LiteRT.js has no name for. @throws {RangeError} a tensor that does not
 * begin at the first byte of its buffer. @throws {UnsupportedError} a tensor that is not on a GPU.
 *
 * @example
 * ```ts
 * import type { Tensor } from "@flashtile/attention";
 * import { toLiteRt } from "@flashtile/attention/interop";
 *
 * // in earnest: import * as litert from "@litertjs/core"; then model.run(toLiteRt(litert, out))
 * class Named {
 *   constructor(readonly buffer: object, readonly shape: readonly number[]) {}
 * }
 * const feed = (out: Tensor) => toLiteRt({ Tensor: Named }, out).shape;
 * ```
 */
export function toLiteRt<T, E>(
  litert: LiteRtModule<T, E>,
  tensor: Tensor,
  environment?: E,
): T {
  const complaint = new Complaint("toLiteRt");
  const Made = litert?.Tensor;
  if (typeof Made !== "function") {
    throw complaint.type(`litert is ${show(litert)} but must be the module @litertjs/core`);
  }
  const { buffer, shape, type } = wholeBuffer(NAMES, tensor, "toLiteRt", complaint);
  return new Made(buffer, shape, type, environment, () => tensor.dispose());
}
