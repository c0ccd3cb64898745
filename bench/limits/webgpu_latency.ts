/**
 * What a launch costs besides its work: an empty dispatch, a submission, the way back to the host.
 * @module
 */

import { GpuClock } from "../measure/gpu_clock.ts";
import { dispatch, type Gpu, pipeline, storage, submit } from "../measure/gpu_device.ts";
import { race, type RaceOptions, type Work } from "../measure/race.ts";
import { summarize } from "../measure/statistics.ts";

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
const SHADER = `@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(1) fn main() { out[0] = 1u; }`;

export async function measureLatency(gpu: Gpu, options: RaceOptions): Promise<Latency> {
  const { device } = gpu, out = storage(device, 16);
  const work = dispatch(device, await pipeline(device, SHADER), [out], [1]);
  const [empty] = await race(new GpuClock(device, gpu.software), [work], options);
  return {
    emptyDispatchUs: empty.medianMs * 1000,
    submitUs: await submission(device, work) * 1000,
    mapMs: await roundTrip(device, out),
  };
}

async function submission(device: GPUDevice, work: Work): Promise<number> {
  const times: number[] = [];
  for (let sample = 0; sample < SAMPLES; sample++) {
    const start = performance.now();
    for (let i = 0; i < SUBMISSIONS; i++) submit(device, (pass) => work.record!(pass));
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
