// jax-js: its arrays on a GPU wrapped, to be read and, where they are fresh, to be written. Nothing is copied.
import type { Engine } from "../engine/engine.ts";
import { Complaint, show, UnsupportedError } from "../tensor/errors.ts";
import type { GpuBufferLike } from "../tensor/gpu_types.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkDims, checkEngine, dtypeFrom, type TypeNames } from "./resident.ts";

/** An array of `@jax-js/jax`, by what is asked of it. */
export interface JaxArray {
  /** The device that it is committed to: `"webgpu"` is wanted. */
  readonly device: string;
  /** `"float32"` or `"float16"`. */
  readonly dtype: string;
  /** Size of each axis. */
  readonly shape: readonly number[];
  /** The same array, to be used up once more. */
  readonly ref: JaxArray;
  /** Computes it and gives its buffer; uses the array up. */
  gpuBuffer(): Promise<GpuBufferLike>;
}

/** The module `@jax-js/jax`, by what is asked of it. */
export interface JaxModule {
  /** The device that it computes on. */
  getWebGPUDevice(): object;
}

const NAMES: TypeNames<"float32" | "float16"> = { f32: "float32", f16: "float16" };

/**
 * An array of jax-js as a resident tensor of an engine on the same device, without a copy. The array is not used up: it
 * stays the caller's, and must not be disposed of, or given to a function that does so, before the calls that use the
 * tensor have ended. An array that is lazy is computed first.
 *
 * jax-js cannot take a buffer in. For a result make an array of its shape, `jax.numpy.zeros(shape)`, which nothing else
 * has seen yet, and name it in `into`: the call writes its buffer in place.
 *
 * @throws {TypeError} an array that is elsewhere, or of another type. @throws {RangeError} an engine on another device.
 * @throws {UnsupportedError} an engine without a GPU.
 *
 * @example
 * ```ts
 * import { attention, createEngine } from "@flashtile/attention";
 * import { fromJax, type JaxArray, type JaxModule } from "@flashtile/attention/interop";
 *
 * // in earnest: import * as jax from "@jax-js/jax"; await jax.init("webgpu");
 * type Jax = JaxModule & { numpy: { zeros(shape: readonly number[]): JaxArray } };
 * async function selfAttention(jax: Jax, x: JaxArray): Promise<JaxArray> {
 *   using engine = await createEngine({ device: jax.getWebGPUDevice() as GPUDevice });
 *   const q = await fromJax(engine, jax, x), out = jax.numpy.zeros(x.shape);
 *   const { lse } = await attention(q, q, q, { into: { out: await fromJax(engine, jax, out) } });
 *   lse.dispose();
 *   return out;
 * }
 * ```
 */
export async function fromJax(engine: Engine, jax: JaxModule, array: JaxArray): Promise<Tensor> {
  const complaint = new Complaint("fromJax");
  checkEngine(engine, complaint);
  const deviceOf = jax?.getWebGPUDevice;
  if (typeof deviceOf !== "function") {
    throw complaint.type(`jax is ${show(jax)} but must be the module @jax-js/jax`);
  }
  const fresh = array?.ref, bufferOf = fresh?.gpuBuffer;
  if (typeof bufferOf !== "function") {
    throw complaint.type(`array is ${show(array)} but must be an array of jax-js`);
  }
  const { device, dtype: type, shape } = array,
    remedy = "createEngine({ device }) with that of " +
      "jax.getWebGPUDevice()";
  if (device !== "webgpu") {
    throw complaint.type(`array is on the device ${show(device)} but must be on "webgpu"`);
  }
  const dtype = dtypeFrom(NAMES, type, "array.dtype", complaint);
  const sizes = checkDims(shape, "array.shape", complaint);
  if (!engine.device) throw new UnsupportedError("fromJax", "wasm", remedy);
  if (deviceOf.call(jax) !== engine.device) {
    throw complaint.range(`the engine computes on another device than jax-js: use ${remedy}`);
  }
  return engine.wrap(await bufferOf.call(fresh), sizes, { dtype });
}
