/**
 * Makes the pipelines of all kernels one after the other, under a Vulkan layer that writes what the driver gets:
 * `dump.ts DIR` writes DIR/names.json, which names them by the number of their file.
 * @module
 */

import type { Gpu } from "../../src/webgpu/device/api.ts";
import { Pipelines } from "../../src/webgpu/device/pipelines.ts";
import { staticKernels } from "./kernels.ts";

const [dir] = Deno.args, { gpu } = navigator as unknown as { gpu: Gpu };
const adapter = (await gpu.requestAdapter())!, { limits } = adapter;
const device = await adapter.requestDevice({
  requiredFeatures: ["shader-f16"],
  requiredLimits: {
    maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
    maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
  },
});
/** Modules written so far: wgpu makes a few of its own. */
const written = () =>
  [...Deno.readDirSync(dir!)].filter(({ name }) => name.endsWith(".spv")).length;
const names: Record<string, unknown> = {};
for (const { code, tile, ...kernel } of staticKernels()) {
  const number = String(written()).padStart(5, "0");
  device.pushErrorScope("validation");
  new Pipelines(device).get({ key: kernel.key, code: () => code });
  const error = await device.popErrorScope();
  if (error) throw new Error(`${kernel.key}: ${error.message}`);
  names[number] = { ...kernel, calls: [kernel.call], plan: tile };
}
Deno.writeTextFileSync(`${dir}/names.json`, JSON.stringify(names, null, 1));
Deno.exit(0);
