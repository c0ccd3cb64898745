// The GPU adapters that this host lists, each once. WebGPU has no list: it is asked in every way that it knows.
import type { Gpu, GpuAdapter, GpuAdapterInfo } from "../../webgpu/device/api.ts";

/** An adapter. */
export interface Adapter {
  readonly name: string;
  /** Whether it computes on the CPU. */
  readonly software: boolean;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
}

/** An adapter that a device can be opened on. */
export interface FoundAdapter extends Adapter {
  readonly adapter: GpuAdapter;
}

const WAYS = [
  { powerPreference: "high-performance" },
  { powerPreference: "low-power" },
  { forceFallbackAdapter: true },
];
/** Limits that decide what fits. */
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
];

function keyOf(info: GpuAdapterInfo | undefined): string {
  const { vendor, architecture, device, description } = info ?? {};
  return JSON.stringify([vendor, architecture, device, description]);
}

/** Looks for adapters; none where the host has no WebGPU. */
export async function findAdapters(): Promise<FoundAdapter[]> {
  const { gpu } = (globalThis as { navigator?: { gpu?: Gpu } }).navigator ?? {};
  if (!gpu) return [];
  const { adapterName, isSoftware } = await import("../../webgpu/device/device.ts");
  const found = new Map<string, FoundAdapter>();
  for (const way of WAYS) {
    const adapter = await gpu.requestAdapter(way).catch(() => null);
    const key = keyOf(adapter?.info);
    if (!adapter || found.has(key)) continue;
    found.set(key, {
      ...{ adapter, name: adapterName(adapter.info) },
      software: isSoftware(adapter.info, adapter.isFallbackAdapter),
      features: ["shader-f16", "subgroups", "timestamp-query"]
        .filter((name) => adapter.features.has(name)),
      limits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name] ?? NaN])),
    });
  }
  return [...found.values()];
}
