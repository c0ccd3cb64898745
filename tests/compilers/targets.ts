// The machines that kernel texts are made for: what a plan looks at, and nothing else.
import type { WebGpuTarget } from "../../src/plan/target.ts";
import { DEFAULT_LIMITS } from "../webgpu/targets.ts";

type Machine = Omit<WebGpuTarget, "backend" | "adapter" | "dialect" | "timestamps">;

const software = { software: true, shaderF16: false } as const;
const hardware = { software: false, shaderF16: true } as const;

/** By name: software adapters as Deno and Chromium have them, a GPU, and the least that may be met. */
const MACHINES: Readonly<Record<string, Machine>> = {
  lavapipe: {
    ...{ ...software, shaderF16: true, subgroups: { min: 8, max: 8 } },
    limits: {
      ...DEFAULT_LIMITS,
      workgroupBytes: 32768,
      workgroupThreads: 1024,
      storageBuffers: 32,
    },
  },
  SwiftShader: {
    ...{ ...software, subgroups: { min: 4, max: 4 } },
    limits: { ...DEFAULT_LIMITS, workgroupBytes: 32768, storageBuffers: 10 },
  },
  "software with default limits": { ...software, subgroups: undefined, limits: DEFAULT_LIMITS },
  hardware: {
    ...{ ...hardware, subgroups: { min: 32, max: 32 } },
    limits: {
      ...DEFAULT_LIMITS,
      workgroupBytes: 49152,
      workgroupThreads: 1024,
      storageBuffers: 10,
    },
  },
  "hardware with default limits": { ...hardware, subgroups: undefined, limits: DEFAULT_LIMITS },
};

/** Every machine, for one compiler. */
export function targetsOf(dialect: WebGpuTarget["dialect"]): WebGpuTarget[] {
  return Object.entries(MACHINES).map(([adapter, machine]) => (
    { backend: "webgpu", adapter, dialect, timestamps: false, ...machine }
  ));
}

/** A machine that binds so little at once that calls need regions, for the kernels that join them. */
export function smallBindings(target: WebGpuTarget): WebGpuTarget {
  const limits = { ...target.limits, storageBinding: 8192 };
  return { ...target, adapter: `${target.adapter}, small bindings`, limits };
}
