// WebGPU as this library uses it: structural types, so that no user needs a type package, and a device may
// come from the runtime, from Dawn (npm:webgpu) or from a browser. The value constants are not in every host.

/** Bits of `GPUBufferUsage`. */
export const USAGE = {
  mapRead: 0x1,
  copySource: 0x4,
  copyTarget: 0x8,
  uniform: 0x40,
  storage: 0x80,
  queryResolve: 0x200,
} as const;

/** `GPUMapMode.READ`. */
export const MAP_READ = 1;
/** `GPUShaderStage.COMPUTE`. */
export const COMPUTE_STAGE = 4;

/** A `GPUBuffer`. */
export interface GpuBuffer {
  /** Bytes. */
  readonly size: number;
  /** Bits of what it may be used for. */
  readonly usage: number;
  /** Gives its memory back. */
  destroy(): void;
  /** Waits until the host may read. */
  mapAsync(mode: number): Promise<unknown>;
  /** The bytes of a mapped buffer. */
  getMappedRange(): ArrayBuffer;
  /** Ends reading. */
  unmap(): void;
}

/** A `GPUQuerySet`. */
export interface GpuQuerySet {
  /** Gives its memory back. */
  destroy(): void;
}

/** A `GPUComputePassEncoder`. */
export interface GpuComputePass {
  /** Chooses a kernel. */
  setPipeline(pipeline: object): void;
  /** Chooses its buffers. */
  setBindGroup(index: number, group: object, offsets?: number[]): void;
  /** Runs it. */
  dispatchWorkgroups(x: number, y?: number, z?: number): void;
  /** Ends the pass. */
  end(): void;
}

/** A `GPUCommandEncoder`. */
export interface GpuCommandEncoder {
  /** Begins a pass, perhaps one that is timed. */
  beginComputePass(descriptor?: { timestampWrites?: object }): GpuComputePass;
  /** Writes clocks into a buffer. */
  resolveQuerySet(
    querySet: GpuQuerySet,
    first: number,
    count: number,
    to: GpuBuffer,
    at: number,
  ): void;
  /** Copies bytes. */
  copyBufferToBuffer(
    from: GpuBuffer,
    at: number,
    to: GpuBuffer,
    toAt: number,
    bytes: number,
  ): void;
  /** Fills with zeros. */
  clearBuffer(buffer: GpuBuffer): void;
  /** Ends recording. */
  finish(): object;
}

/** A `GPUError`. */
export interface GpuError {
  /** What is wrong. */
  readonly message: string;
}

/** Why a device went away. */
export interface GpuLost {
  /** `"destroyed"` or `"unknown"`. */
  readonly reason: string | undefined;
  /** In words. */
  readonly message: string;
}

/** A `GPUDevice`: what `createEngine({ device })` takes. */
export interface GpuDeviceLike {
  /** What it may do. */
  readonly limits: object;
  /** What it can do beyond the core. */
  readonly features: { has(name: string): boolean };
  /** Where it comes from; newer implementations only. */
  readonly adapterInfo?: object;
  /** Resolves when the device goes away. */
  readonly lost: Promise<object>;
  /** Where work goes. */
  readonly queue: object;
  /** Gives everything back. */
  destroy(): void;
}

/** A device with the methods that are called. */
export interface GpuDevice extends GpuDeviceLike {
  readonly limits: Readonly<Record<string, number>>;
  readonly lost: Promise<GpuLost>;
  readonly queue: {
    writeBuffer(
      buffer: GpuBuffer,
      at: number,
      data: ArrayBufferView | ArrayBufferLike,
      dataAt?: number,
      size?: number,
    ): void;
    submit(commands: object[]): void;
    onSubmittedWorkDone(): Promise<unknown>;
  };
  createBuffer(descriptor: { size: number; usage: number; label?: string }): GpuBuffer;
  createShaderModule(descriptor: { code: string; label?: string }): {
    getCompilationInfo?(): Promise<
      { messages: readonly { type: string; message: string; lineNum: number }[] }
    >;
  };
  createBindGroupLayout(descriptor: object): object;
  createPipelineLayout(descriptor: object): object;
  createBindGroup(descriptor: object): object;
  createComputePipeline(descriptor: object): object;
  createComputePipelineAsync(descriptor: object): Promise<object>;
  createCommandEncoder(): GpuCommandEncoder;
  createQuerySet(descriptor: { type: "timestamp"; count: number }): GpuQuerySet;
  pushErrorScope(filter: "validation" | "out-of-memory" | "internal"): void;
  popErrorScope(): Promise<GpuError | null>;
}

/** Facts about an adapter. */
export interface GpuAdapterInfo {
  readonly vendor?: string;
  readonly architecture?: string;
  readonly device?: string;
  readonly description?: string;
  readonly isFallbackAdapter?: boolean;
  readonly subgroupMinSize?: number;
  readonly subgroupMaxSize?: number;
}

/** A `GPUAdapter`. */
export interface GpuAdapter {
  readonly info?: GpuAdapterInfo;
  readonly isFallbackAdapter?: boolean;
  readonly features: { has(name: string): boolean };
  readonly limits: Readonly<Record<string, number>>;
  requestDevice(descriptor: object): Promise<GpuDevice>;
}

/** `navigator.gpu`. */
export interface Gpu {
  requestAdapter(options?: object): Promise<GpuAdapter | null>;
}
