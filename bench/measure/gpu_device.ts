/**
 * The few calls that every kernel of the benches needs, on the device of the library's engine.
 * @module
 */

import type { Work } from "./race.ts";

/** A kernel that fails takes no time at all, so nothing may go wrong quietly. */
export function reportErrors(device: GPUDevice): void {
  device.addEventListener("uncapturederror", (event) => {
    console.error("GPU error:", (event as GPUUncapturedErrorEvent).error.message);
    Deno.exitCode = 1;
  });
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
): Work {
  const layout = pipeline.getBindGroupLayout(0);
  const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
  const group = device.createBindGroup({ layout, entries });
  const record = (pass: GPUComputePassEncoder) => {
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(...size);
  };
  return { name: "dispatch", record };
}

/** Submits what `record` puts into a command buffer. */
export function submitCommands(
  device: GPUDevice,
  record: (encoder: GPUCommandEncoder) => void,
): void {
  const encoder = device.createCommandEncoder();
  record(encoder);
  device.queue.submit([encoder.finish()]);
}

/** Submits what `record` puts into a pass. */
export function submit(device: GPUDevice, record: (pass: GPUComputePassEncoder) => void): void {
  submitCommands(device, (encoder) => {
    const pass = encoder.beginComputePass();
    record(pass);
    pass.end();
  });
}

/** A buffer of the host's that a device can copy into. */
export function staging(device: GPUDevice, size: number): GPUBuffer {
  return device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
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

/** What a buffer holds once `record` and the work before it are done. */
export async function readBack(
  device: GPUDevice,
  source: GPUBuffer,
  record: (encoder: GPUCommandEncoder) => void = () => {},
): Promise<ArrayBuffer> {
  const target = staging(device, source.size);
  submitCommands(device, (encoder) => {
    record(encoder);
    encoder.copyBufferToBuffer(source, 0, target, 0, source.size);
  });
  await target.mapAsync(GPUMapMode.READ);
  const data = target.getMappedRange().slice(0);
  target.destroy();
  return data;
}
