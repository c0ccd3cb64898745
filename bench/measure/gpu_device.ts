/**
 * The GPU that the bench runs on: adapter, device, and the few calls every kernel here needs.
 * @module
 */

import type { Work } from "./race.ts";

/** A device with what is known about its adapter. */
export interface Gpu {
  readonly adapter: GPUAdapter;
  readonly device: GPUDevice;
  /** A software adapter: its figures are indications, its sizes are smaller. */
  readonly software: boolean;
  /** Of the features asked for, one by one, those that were granted. */
  readonly features: readonly GPUFeatureName[];
}

/** Asked for one by one: an adapter may grant a feature that it does not list. */
const FEATURES = ["timestamp-query", "shader-f16", "subgroups"] as GPUFeatureName[];

/** Defaults are low; these are raised to what the adapter offers. */
export const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupsPerDimension",
] as const;

export async function openGpu(): Promise<Gpu> {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) {
    throw new Error("no WebGPU adapter: a GPU driver with Vulkan (or Metal, or D3D12) is needed");
  }
  const features: GPUFeatureName[] = [];
  for (const name of FEATURES) if (await grants(adapter, name)) features.push(name);
  const requiredLimits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]]));
  const device = await adapter.requestDevice({ requiredFeatures: features, requiredLimits });
  reportErrors(device);
  return { adapter, device, software: isSoftware(adapter), features };
}

async function grants(adapter: GPUAdapter, name: GPUFeatureName): Promise<boolean> {
  try {
    (await adapter.requestDevice({ requiredFeatures: [name] })).destroy();
    return true;
  } catch {
    return false;
  }
}

function isSoftware({ info }: GPUAdapter): boolean {
  // The second: a driver that does not confess.
  return info.isFallbackAdapter || /llvmpipe|swiftshader|softpipe/i.test(info.description);
}

/** A kernel that fails takes no time at all, so nothing may go wrong quietly. */
export function reportErrors(device: GPUDevice): void {
  device.addEventListener("uncapturederror", (event) => {
    console.error("GPU error:", (event as GPUUncapturedErrorEvent).error.message);
    Deno.exitCode = 1;
  });
}

/** Name, type and versions of an adapter in one line. */
export function adapterName({ info }: GPUAdapter): string {
  return info.description || [info.vendor, info.architecture, info.device].join(" ").trim();
}

/** Runs an action and throws what the device complained about meanwhile. */
export async function checked<T>(device: GPUDevice, action: () => T | Promise<T>): Promise<T> {
  device.pushErrorScope("out-of-memory");
  device.pushErrorScope("validation");
  let result: T;
  let errors: (GPUError | null)[] = [];
  try {
    result = await action();
  } finally {
    errors = [await device.popErrorScope(), await device.popErrorScope()];
  }
  const error = errors.find((e) => e !== null);
  if (error) throw new Error(error.message);
  return result;
}

export async function pipeline(device: GPUDevice, code: string): Promise<GPUComputePipeline> {
  const compute = { module: device.createShaderModule({ code }), entryPoint: "main" };
  return await checked(device, () => device.createComputePipeline({ layout: "auto", compute }));
}

/** One dispatch over those buffers, in the order of their bindings, to be timed. */
export function dispatch(
  device: GPUDevice,
  pipeline: GPUComputePipeline,
  buffers: readonly GPUBuffer[],
  size: readonly [x: number, y?: number, z?: number],
  name: string = "dispatch",
): Work {
  const layout = pipeline.getBindGroupLayout(0);
  const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
  const group = device.createBindGroup({ layout, entries });
  const record = (pass: GPUComputePassEncoder) => {
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(...size);
  };
  return { name, record };
}

/** Submits what `record` puts into a pass. */
export function submit(device: GPUDevice, record: (pass: GPUComputePassEncoder) => void): void {
  const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass();
  record(pass);
  pass.end();
  device.queue.submit([encoder.finish()]);
}

/** An empty storage buffer that can be written, bound and read back. */
export function storage(device: GPUDevice, bytes: number): GPUBuffer {
  const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
  return device.createBuffer({ size: bytes, usage: STORAGE | COPY_SRC | COPY_DST });
}

export function upload(device: GPUDevice, data: Float32Array): GPUBuffer {
  const buffer = storage(device, data.byteLength);
  device.queue.writeBuffer(buffer, 0, data as Float32Array<ArrayBuffer>);
  return buffer;
}

export function uniform(device: GPUDevice, data: ArrayBuffer): GPUBuffer {
  const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
  const buffer = device.createBuffer({ size: Math.ceil(data.byteLength / 16) * 16, usage });
  device.queue.writeBuffer(buffer, 0, data);
  return buffer;
}

export async function readBack(device: GPUDevice, source: GPUBuffer): Promise<Float32Array> {
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const target = device.createBuffer({ size: source.size, usage });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(source, 0, target, 0, source.size);
  device.queue.submit([encoder.finish()]);
  await target.mapAsync(GPUMapMode.READ);
  const data = new Float32Array(target.getMappedRange().slice(0));
  target.destroy();
  return data;
}
