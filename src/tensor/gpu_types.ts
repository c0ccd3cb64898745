// What programs see of a GPU: the types of their own library where it has them (a browser's, Deno's, @webgpu/types),
// so that nothing has to be cast, and structural ones elsewhere.

/**
 * `GPUAdapter` where the type library has it, else never. By way of `navigator.gpu`: classes that a library declares are
 * no properties of `globalThis`.
 */
export type HostGpuAdapter = typeof globalThis extends {
  readonly navigator: {
    readonly gpu: { requestAdapter(...options: never[]): Promise<infer A> };
  };
} ? NonNullable<A>
  : never;

/** `GPUDevice` where the type library has it, else `Otherwise`. */
export type HostGpuDevice<Otherwise = object> = [HostGpuAdapter] extends [
  { requestDevice(...options: never[]): Promise<infer Device> },
] ? [HostGpuAdapter] extends [never] ? Otherwise : Device
  : Otherwise;

/** `GPUBuffer` where the type library has it. */
export type HostGpuBuffer = HostGpuDevice extends
  { createBuffer(...options: never[]): infer Buffer } ? Buffer : object;

/** A `GPUBuffer`, by what is asked of it: also one of Dawn (`npm:webgpu`), whatever the type library. */
export interface GpuBufferLike {
  /** Bytes. */
  readonly size: number;
  /** Bits of `GPUBufferUsage`. */
  readonly usage: number;
  /** Waits until the host may read. */
  mapAsync(mode: number): Promise<unknown>;
}

/** A `GPUComputePassEncoder` likewise. */
export interface GpuComputePassLike {
  /** Runs a kernel. */
  dispatchWorkgroups(x: number, y?: number, z?: number): void;
}
