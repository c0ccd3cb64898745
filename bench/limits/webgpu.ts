/**
 * What the device is and what it can do at most. Every share in the report refers to these figures,
 * taken in the same run.
 * @module
 */

import type { RaceOptions } from "../measure/race.ts";
import { digits3, printTable } from "../measure/table.ts";
import { type Bandwidth, measureBandwidth } from "./webgpu_bandwidth.ts";
import { adapterName, type Gpu, LIMITS } from "../measure/gpu_device.ts";
import { type FmaPeak, measureFma } from "./webgpu_fma.ts";
import { type Latency, measureLatency } from "./webgpu_latency.ts";

export interface Facts extends Bandwidth, Latency {
  readonly peak: FmaPeak;
}

export async function measureFacts(gpu: Gpu, options: RaceOptions): Promise<Facts> {
  const peak = await measureFma(gpu, options);
  return {
    peak,
    ...await measureBandwidth(gpu, options),
    ...await measureLatency(gpu, options),
  };
}

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

export function printFacts(facts: Facts): void {
  const { peak } = facts;
  const mib = facts.bufferBytes / 2 ** 20;
  printTable("Limits measured", ["", "value", "unit", "how"], [
    ["multiply-add peak", digits3(peak.gflops), "GFLOP/s", `${peak.chains} vec4 chains`],
    ["copy", digits3(facts.copyGBs), "GB/s", `${mib} MiB, reads and writes counted`],
    ["read", digits3(facts.readGBs), "GB/s", `${mib} MiB`],
    ["workgroup memory, read", digits3(facts.workgroupGBs), "GB/s", "vec4, no bank conflicts"],
    ["empty dispatch", digits3(facts.emptyDispatchUs), "µs", "one after another in a pass"],
    ["encode and submit", digits3(facts.submitUs), "µs", "on the host"],
    ["submit to mapped", digits3(facts.mapMs), "ms", "16 bytes"],
    ["wall / timestamps", digits3(peak.wallOverTimestamps), "", "a long batch; 1 is right"],
  ]);
}
