/**
 * What the tests of the GPU engine share: tests that are left out visibly where there is no GPU, devices of their own,
 * engines with forced limits, and a device that writes down what it is asked.
 */

import { Engine, type EngineOptions } from "../../mod.ts";
import type { GpuSource } from "../../src/engine/gpu_source.ts";
import type { WebGpuTarget } from "../../src/plan/target.ts";
import type { GpuAdapter, GpuBuffer, GpuDevice } from "../../src/webgpu/device/api.ts";
import { WebGpuBackend } from "../../src/webgpu/backend.ts";
import { detect, type DetectOptions, OpenDevice } from "../../src/webgpu/device/device.ts";
import { openGpu } from "../backends.ts";
import { elsewhere, type Part, testUnless } from "../selection.ts";

/** What there is here. Fails where there is nothing and FLASHTILE_GPU is "required". */
const found = await (async () => {
  const engine = await openGpu();
  if ("absent" in engine) return engine;
  const { software } = engine.target as WebGpuTarget;
  engine.dispose();
  return { software };
})();

/** Why this machine has no GPU; undefined where it has one. */
export const absent: string | undefined = "absent" in found ? found.absent : undefined;
/** Whether the only GPU computes on the CPU, as in CI. */
export const software: boolean = "software" in found && found.software;

/**
 * A test that needs a GPU, and perhaps more: `lacks` says what is not there. In the core of the tests or in the rest,
 * which has what takes long on a GPU in software.
 */
export function gpuTest(
  name: string,
  fn: (t: Deno.TestContext) => Promise<void> | void,
  { lacks = absent, part = "core" }: { lacks?: string | undefined; part?: Part } = {},
): void {
  Deno.test({ ...testUnless(lacks ?? elsewhere(part), name), fn });
}

/** An engine of `openGpu` where there must be one. */
export async function gpuEngine(options: Parameters<typeof openGpu>[0] = {}): Promise<Engine> {
  const engine = await openGpu(options);
  if ("absent" in engine) throw new Error(engine.absent);
  return engine;
}

/** A device as a page would have it: default limits unless `limits` asks for more. */
export async function callersDevice(limits: Record<string, number> = {}): Promise<GpuDevice> {
  const { gpu } = navigator as unknown as {
    gpu: { requestAdapter(): Promise<GpuAdapter> };
  };
  return await (await gpu.requestAdapter()).requestDevice({ requiredLimits: limits });
}

/** The device of an engine. */
export function deviceOf(engine: Engine): GpuDevice {
  if (!engine.device) throw new Error("the engine has no device");
  return engine.device as unknown as GpuDevice;
}

/** What to force: limits of the device, limits of the plan below those, and other facts of the target. */
export interface Forced extends Partial<DetectOptions> {
  readonly target?: Partial<WebGpuTarget>;
  readonly memoryBudget?: number;
}

/** An engine on a device of its own whose target is not what the device says. */
export async function forcedEngine(
  { target, memoryBudget = 2 ** 30, ...options }: Forced,
  engineOptions: EngineOptions = { backend: "webgpu" },
): Promise<{ engine: Engine; watch: Watch }> {
  const found = await detect({ allowFallbackAdapter: true, ...options });
  if ("absent" in found) throw new Error(found.absent);
  const { device, readBackMs } = found.open, watch = watchDevice(device);
  const open = new OpenDevice(device, { ...found.open.target, ...target }, readBackMs);
  const source: GpuSource = {
    backend: new WebGpuBackend(open, { memoryBudget, debug: true }),
    reason: "forced",
    detected: true,
    detect: () => Promise.resolve(),
    renew: () => Promise.resolve(),
    dispose: () => device.destroy(),
  };
  return { engine: new Engine({ threads: 1, ...engineOptions }, source), watch };
}

/** What a device was asked for. */
export interface Watch {
  /** Buffers that were made and not destroyed. */
  readonly live: Set<GpuBuffer>;
  /** Bind groups that were made: whether the device computed. */
  groups: number;
  /** Bytes of the largest storage binding, and storage bindings of the fullest group. */
  largestBinding: number;
  mostBindings: number;
  /** Workgroups of the longest axis of a dispatch. */
  mostWorkgroups: number;
}

/** Writes down what a device is asked from now on. */
export function watchDevice(device: GpuDevice): Watch {
  const watch: Watch = {
    live: new Set(),
    ...{ groups: 0, largestBinding: 0, mostBindings: 0, mostWorkgroups: 0 },
  };
  const createBuffer = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    const buffer = createBuffer(descriptor), destroy = buffer.destroy.bind(buffer);
    watch.live.add(buffer);
    buffer.destroy = () => {
      watch.live.delete(buffer);
      destroy();
    };
    return buffer;
  };
  const createBindGroup = device.createBindGroup.bind(device);
  device.createBindGroup = (descriptor) => {
    const { entries } = descriptor as {
      entries: { binding: number; resource: { size?: number; buffer: GpuBuffer } }[];
    };
    const storage = entries.filter(({ binding }) => binding > 0); // 0 is the uniform block
    watch.groups++;
    watch.mostBindings = Math.max(watch.mostBindings, storage.length);
    for (const { resource: { size, buffer } } of storage) {
      watch.largestBinding = Math.max(watch.largestBinding, size ?? buffer.size);
    }
    return createBindGroup(descriptor);
  };
  const createCommandEncoder = device.createCommandEncoder.bind(device);
  device.createCommandEncoder = () => {
    const encoder = createCommandEncoder(), begin = encoder.beginComputePass.bind(encoder);
    encoder.beginComputePass = (descriptor) => {
      const pass = begin(descriptor), dispatch = pass.dispatchWorkgroups.bind(pass);
      pass.dispatchWorkgroups = (x, y = 1, z = 1) => {
        watch.mostWorkgroups = Math.max(watch.mostWorkgroups, x, y, z);
        dispatch(x, y, z);
      };
      return pass;
    };
    return encoder;
  };
  return watch;
}

export const sleep = (ms: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, ms));
