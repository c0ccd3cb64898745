/**
 * What the device is and what it can do at most.
 * @module
 */

import type { Limits } from "../context.ts";
import { adapterName, type Gpu, LIMITS } from "../measure/gpu_device.ts";
import type { RaceOptions } from "../measure/race.ts";
import { nullForNaN } from "../measure/statistics.ts";
import type { Results } from "../measure/store.ts";
import { digits3, printTable } from "../measure/table.ts";
import { measureBandwidth } from "./webgpu_bandwidth.ts";
import { measureFma } from "./webgpu_fma.ts";
import { measureLatency } from "./webgpu_latency.ts";

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
