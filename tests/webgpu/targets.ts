/** GPU targets as planning sees them, for tests that need no device. */

import type { WebGpuTarget } from "../../src/plan/target.ts";

/** Limits that every device of WebGPU has. */
export const DEFAULT_LIMITS: WebGpuTarget["limits"] = {
  storageBinding: 2 ** 27,
  buffer: 2 ** 28,
  workgroupBytes: 16384,
  workgroupThreads: 256,
  storageBuffers: 8,
  workgroups: 65535,
  offsetAlignment: 256,
};

/** A software target with the limits that every device has, but for what is given. */
export function gpuTarget(
  limits: Partial<WebGpuTarget["limits"]> = {},
  rest: Partial<WebGpuTarget> = {},
): WebGpuTarget {
  return {
    backend: "webgpu",
    adapter: "a test",
    software: true,
    dialect: "naga",
    subgroups: undefined,
    shaderF16: false,
    timestamps: false,
    ...rest,
    limits: { ...DEFAULT_LIMITS, ...limits },
  };
}
