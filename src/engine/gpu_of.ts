// The GPU behind an engine, for adapters that submit calls to it without waiting.
import type { WebGpuBackend } from "../webgpu/backend.ts";

const GPUS = new WeakMap<object, () => WebGpuBackend | undefined>();

/** Notes how the backend of an engine is found, which is another one after a loss. */
export function noteGpu(engine: object, find: () => WebGpuBackend | undefined): void {
  GPUS.set(engine, find);
}

/** The backend of an engine on a GPU; undefined on the CPU, and of an engine that another copy of this module made. */
export const gpuOf = (engine: object): WebGpuBackend | undefined => GPUS.get(engine)?.();
