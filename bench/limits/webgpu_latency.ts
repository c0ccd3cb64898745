/**
 * What a launch costs besides its work: an empty dispatch, a submission, the way back to the host.
 * @module
 */

import { type RaceOptions, summarize } from "../measure/race.ts";
import { GpuClock, raceOnGpu } from "../measure/gpu_clock.ts";
import { bind, type Gpu, pipeline, storage } from "../measure/gpu_device.ts";

export interface Latency {
  /** On the device, from one dispatch of nothing to the next. */
  readonly emptyDispatchUs: number;
  /** On the host: encoder, pass, dispatch, submit. */
  readonly submitUs: number;
  /** From submitting 16 bytes to having them mapped. */
  readonly mapMs: number;
}

const SUBMISSIONS = 200;
const SAMPLES = 9;

export async function measureLatency(gpu: Gpu, options: RaceOptions): Promise<Latency> {
  const { device } = gpu;
  const compute = await pipeline(
    device,
    `@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(1) fn main() { out[0] = 1u; }`,
  );
  const out = storage(device, 16);
  const group = bind(device, compute, [out]);
  const record = (pass: GPUComputePassEncoder) => {
    pass.setPipeline(compute);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(1);
  };
  const clock = new GpuClock(device, gpu.software);
  const [empty] = await raceOnGpu(clock, [{ name: "empty", record }], options);
  return {
    emptyDispatchUs: empty.medianMs * 1000,
    submitUs: await submission(device, record) * 1000,
    mapMs: await roundTrip(device, out),
  };
}

async function submission(
  device: GPUDevice,
  record: (pass: GPUComputePassEncoder) => void,
): Promise<number> {
  const times: number[] = [];
  for (let sample = 0; sample < SAMPLES; sample++) {
    const start = performance.now();
    for (let i = 0; i < SUBMISSIONS; i++) {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      record(pass);
      pass.end();
      device.queue.submit([encoder.finish()]);
    }
    times.push((performance.now() - start) / SUBMISSIONS);
    await device.queue.onSubmittedWorkDone();
  }
  return summarize("submit", times).medianMs;
}

async function roundTrip(device: GPUDevice, source: GPUBuffer): Promise<number> {
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const target = device.createBuffer({ size: 16, usage });
  const times: number[] = [];
  for (let sample = 0; sample < SAMPLES; sample++) {
    const start = performance.now();
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(source, 0, target, 0, 16);
    device.queue.submit([encoder.finish()]);
    await target.mapAsync(GPUMapMode.READ);
    times.push(performance.now() - start);
    target.unmap();
  }
  target.destroy();
  return summarize("map", times).medianMs;
}
