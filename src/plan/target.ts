// What the machine can do: a snapshot that makes planning a pure function.

/**
 * How four products of bytes are added up on the CPU: by one instruction, where the processor has it and the JavaScript engine
 * uses it (VNNI, SDOT), as far as is known by now; by three of relaxed SIMD; or in plain SIMD. The results are the same.
 */
export type DotForm = "one instruction" | "three instructions" | "plain SIMD";

/** Capabilities of the CPU that a plan may use. */
export interface WasmTarget {
  /** Which backend computes. */
  readonly backend: "wasm";
  /** Threads that share the work, the calling one included. */
  readonly threads: number;
  /** Workers with a memory of their own, which are sent their share of large calls; missing where none were asked for. */
  readonly workers?: number | undefined;
  /** Whether products and sums are fused (relaxed SIMD). */
  readonly relaxedSimd: boolean;
  /**
   * Bits of a vector operation: 256 where the JavaScript engine makes one of two neighbours (V8's re-vectorisation), as far as
   * is known by now.
   */
  readonly vectorBits: 128 | 256;
  /** How products of bytes are made, with precision `"int8"` or `"int8-pv"`. */
  readonly dots: DotForm;
  /** Whether the memory can be shared with workers. */
  readonly shared: boolean;
  /**
   * Floating-point operations a second of multiply-adds of 128 bits on one thread, measured beside the first calls; undefined
   * before, and where nobody looks (plain SIMD, or `simd` is given).
   */
  readonly flops?: number | undefined;
}

/** Capabilities of a GPU that a plan may use. */
export interface WebGpuTarget {
  /** Which backend computes. */
  readonly backend: "webgpu";
  /** Name of the adapter. */
  readonly adapter: string;
  /** A software adapter: correct, not fast. */
  readonly software: boolean;
  /** Which WGSL compiler: names what may be written. */
  readonly dialect: "naga" | "tint";
  /** Least and most invocations of a subgroup; undefined where shaders have no subgroups. */
  readonly subgroups: { readonly min: number; readonly max: number } | undefined;
  /** Whether shaders may use f16. */
  readonly shaderF16: boolean;
  /** Whether passes can be timed. */
  readonly timestamps: boolean;
  /**
   * Floating-point operations a second of multiply-adds, measured when the device was opened; undefined where they decide
   * nothing (backend `"webgpu"`, a software adapter) or passes cannot be timed.
   */
  readonly flops?: number | undefined;
  /** What a device may be asked for. */
  readonly limits: {
    /** Bytes of a buffer that a shader sees in one binding. */
    readonly storageBinding: number;
    /** Bytes of a buffer. */
    readonly buffer: number;
    /** Bytes that the invocations of a workgroup share. */
    readonly workgroupBytes: number;
    /** Invocations of a workgroup. */
    readonly workgroupThreads: number;
    /** Storage buffers that a shader may bind. */
    readonly storageBuffers: number;
    /** Workgroups along one axis of a dispatch. */
    readonly workgroups: number;
    /** Bytes of which the offset of a storage binding is a multiple. */
    readonly offsetAlignment: number;
  };
}

/** Capabilities that a plan may use. */
export type Target = WasmTarget | WebGpuTarget;
