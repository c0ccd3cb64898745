/**
 * What the device is and what it can do at most.
 * @module
 */

import type { Limits } from "../context.ts";
import type { GpuClock } from "../measure/gpu_clock.ts";
import {
  dispatch,
  pipeline,
  staging,
  storage,
  submit,
  submitCommands,
} from "../measure/gpu_device.ts";
import { race, type RaceOptions } from "../measure/race.ts";
import { nullForNaN, summarize } from "../measure/statistics.ts";
import type { Results } from "../measure/store.ts";
import { digits3, printTable } from "../measure/table.ts";
import { measureBandwidth, measureFma } from "./webgpu_peaks.ts";

/** Those that kernels and operands of the benches may meet. */
const LIMITS = [
  ...["maxBufferSize", "maxStorageBufferBindingSize", "maxStorageBuffersPerShaderStage"] as const,
  ...["maxComputeWorkgroupStorageSize", "maxComputeInvocationsPerWorkgroup"] as const,
  "maxComputeWorkgroupsPerDimension",
] as const;

export function printDevice({ device, software }: GpuClock): void {
  const { adapterInfo: info, features, limits } = device;
  const kind = software ? "software: figures are indications, sizes are small" : "hardware";
  const lanes = `${info.subgroupMinSize ?? "?"} to ${info.subgroupMaxSize ?? "?"} lanes`;
  console.log(`adapter: ${adapterName(info)} (vendor ${info.vendor || "?"}), ${kind}`);
  console.log(`granted: ${featuresOf(features)}; subgroups of ${lanes}`);
  console.log(`limits: ${LIMITS.map((name) => `${name} ${limits[name]}`).join(", ")}`);
}

/** Name, type and versions of an adapter in one line. */
export function adapterName(info: GPUAdapterInfo): string {
  return info.description || [info.vendor, info.architecture, info.device].join(" ").trim();
}

/** Those that the library asks for. */
function featuresOf(granted: GPUSupportedFeatures): string {
  return ["timestamp-query", "shader-f16", "subgroups"]
    .filter((name) => granted.has(name as GPUFeatureName)).join(" ");
}

/** Measures, prints and keeps the limits of the device. */
export async function measureDevice(
  clock: GpuClock,
  usual: RaceOptions,
  results: Results,
): Promise<Limits> {
  // nine of 5 ms, see samplesFor: every process begins with this
  const options = clock.software ? usual : { ...usual, samples: 3 };
  const { gflops, chains, wallOverTimestamps } = await measureFma(clock, options);
  const memory = await measureBandwidth(clock, options);
  const latency = await measureLatency(clock, options);
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
    features: featuresOf(clock.device.features),
  });
  return { gflops, ...memory };
}

const SUBMISSIONS = 200;
const SAMPLES = 9;
const SHADER = `@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(1) fn main() { out[0] = 1u; }`;

/** What a launch costs besides its work. */
async function measureLatency(clock: GpuClock, options: RaceOptions) {
  const { device } = clock, out = storage(device, 16), target = staging(device, 16);
  const work = dispatch(device, await pipeline(device, SHADER), [out], [1]);
  const [empty] = await race(clock, [work], options);
  const submissions: number[] = [], roundTrips: number[] = [];
  for (let sample = 0; sample < SAMPLES; sample++) {
    const start = performance.now();
    for (let i = 0; i < SUBMISSIONS; i++) submit(device, (pass) => work.record!(pass));
    submissions.push((performance.now() - start) / SUBMISSIONS);
    await device.queue.onSubmittedWorkDone();
    const sent = performance.now();
    submitCommands(device, (encoder) => encoder.copyBufferToBuffer(out, 0, target, 0, 16));
    await target.mapAsync(GPUMapMode.READ);
    roundTrips.push(performance.now() - sent);
    target.unmap();
  }
  return {
    /** On the device, from one dispatch of nothing to the next. */
    emptyDispatchUs: empty.medianMs * 1000,
    /** On the host: encoder, pass, dispatch, submit. */
    submitUs: summarize("submit", submissions).medianMs * 1000,
    /** From submitting 16 bytes to having them mapped. */
    mapMs: summarize("map", roundTrips).medianMs,
  };
}
