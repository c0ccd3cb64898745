// The kernel families, the same on both backends.

/** Kernels that a plan may be built on. */
export type KernelName = "forward" | "decode" | "backward" | "inside";
