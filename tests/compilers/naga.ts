// Every kernel text through naga: the compiler of Deno (and Firefox), on whatever adapter Deno finds.
import type { Gpu } from "../../src/webgpu/device/api.ts";
import { checkAll, compile, type Report } from "./compile.ts";

async function report(): Promise<Report> {
  const nothing = { texts: 0, counted: 0, failures: [] };
  const gpu = (navigator as { gpu?: unknown }).gpu as Gpu | undefined;
  const adapter = await gpu?.requestAdapter();
  if (!adapter) return { ...nothing, absent: "Deno finds no GPU adapter" };
  const { limits } = adapter;
  const device = await adapter.requestDevice({
    requiredFeatures: ["shader-f16"].filter((name) => adapter.features.has(name)),
    requiredLimits: {
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
    },
  });
  return await checkAll("naga", async (text) => ({ error: await compile(device, text) }));
}

console.log(JSON.stringify(await report()));
// the device would keep the process
Deno.exit(0);
