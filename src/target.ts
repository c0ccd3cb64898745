// What the machine can do: a snapshot that makes planning a pure function.

/** Capabilities that a plan may use. */
export interface Target {
  /** Which backend computes. */
  readonly backend: "wasm";
  /** Threads that share the work, the calling one included. */
  readonly threads: number;
  /** Whether products and sums are fused (relaxed SIMD). */
  readonly relaxedSimd: boolean;
  /** Whether the memory can be shared with workers. */
  readonly shared: boolean;
}
