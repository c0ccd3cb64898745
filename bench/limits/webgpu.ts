/**
 * What the device is and what it can do at most.
 * @module
 */

import type { Limits } from "../context.ts";
import { GpuClock } from "../measure/gpu_clock.ts";
import {
  adapterName,
  dispatch,
  type Gpu,
  LIMITS,
  pipeline,
  storage,
  submit,
} from "../measure/gpu_device.ts";
import { race, type RaceOptions, type Work } from "../measure/race.ts";
import { nullForNaN, summarize } from "../measure/statistics.ts";
import type { Results } from "../measure/store.ts";
import { digits3, printTable } from "../measure/table.ts";
import { measureBandwidth } from "./webgpu_bandwidth.ts";
import { measureFma } from "./webgpu_fma.ts";

export function printDevice({ adapter, device, software, features }: Gpu): void {
  const { info } = adapter;
  const kind = software ? "software: figures are indications, sizes are small" : "hardware";
  const lanes = `${info.subgroupMinSize ?? "?"} to ${info.subgroupMaxSize ?? "?"} lanes`;
  const lines = {
    adapter: `${adapterName(adapter)} (vendor ${info.vendor || "?"}), ${kind}`,
    granted: `${features.join(", ") || "no feature asked for"}; subgroups of ${lanes}`,
    listed: [...adapter.features].join(", "),
    limits: LIMITS.map((name) => `${name} ${device.limits[name]}`).join(", "),
  };
  for (const [name, line] of Object.entries(lines)) console.log(`${name}: ${line}`);
}

/** Measures, prints and keeps the limits of the device. */
export async function measureDevice(
  gpu: Gpu,
  options: RaceOptions,
  results: Results,
): Promise<Limits> {
  const { gflops, chains, wallOverTimestamps } = await measureFma(gpu, options);
  const memory = await measureBandwidth(gpu, options);
  const latency = await measureLatency(gpu, options);
  const mib = memory.bufferBytes / 2 ** 20;
  printTable("Limits measured", ["", "value", "unit", "how"], [
    ["multiply-add peak", digits3(gflops), "GFLOP/s", `${chains} vec4 chains`],
    ["copy", digits3(memory.copyGBs), "GB/s", `${mib} MiB, reads and writes counted`],
    ["read", digits3(memory.readGBs), "GB/s", `${mib} MiB`],
    ["workgroup memory, read", digits3(memory.workgroupGBs), "GB/s", "vec4, no bank conflicts"],
    ["empty dispatch", digits3(latency.emptyDispatchUs), "µs", "one after another in a pass"],
    ["encode and submit", digits3(latency.submitUs), "µs", "on the host"],
    ["submit to mapped", digits3(latency.mapMs), "ms", "16 bytes"],
    ["wall / timestamps", digits3(wallOverTimestamps), "", "a long batch; 1 is right"],
  ]);
  results.add("gpu-facts", {
    ...memory,
    ...latency,
    fmaGflops: gflops,
    chains,
    wallOverTimestamps: nullForNaN(wallOverTimestamps),
    features: gpu.features.join(" "),
  });
  return { gflops, ...memory };
}

/** What a launch costs besides its work: an empty dispatch, a submission, the way back to the host. */
interface Latency {
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

async function measureLatency(gpu: Gpu, options: RaceOptions): Promise<Latency> {
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
