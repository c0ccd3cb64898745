// A device of Dawn (npm:webgpu, on SwiftShader) as a caller's own: the engine takes it, finds out that its compiler is Tint
// and that it has the default limits only, and agrees with the oracle. Started with VK_ICD_FILENAMES; prints a report in JSON.
import { create } from "webgpu";
import { createEngine } from "../../mod.ts";
import type { WebGpuTarget } from "../../src/plan/target.ts";
import type { Gpu } from "../../src/webgpu/device/api.ts";
import { hostSession } from "../backends.ts";
import { type Case, caseName, defineCase } from "../case.ts";
import { bothPasses, checkCase } from "../run_grid.ts";
import type { Report } from "./compile.ts";

const shape = {
  batch: 2,
  queryHeads: 4,
  kvHeads: 2,
  lengthQ: 45,
  lengthK: 70,
  headDim: 40,
} as const;
const cases: readonly Case[] = [
  defineCase({ ...shape, causal: true }),
  defineCase({ ...shape, bias: "1hqk", dLse: true }),
  defineCase({ ...shape, lengthQ: 1, lengthK: 300, dtype: "f16" }),
];

const gpu = create(["backend=vulkan"]) as unknown as Gpu;
const adapter = await gpu.requestAdapter();
const failures: string[] = [];
if (adapter) {
  const device = await adapter.requestDevice({});
  const engine = await createEngine({ backend: "webgpu", device, debug: true });
  const { dialect, limits } = engine.target as WebGpuTarget;
  if (dialect !== "tint") failures.push(`the dialect of Dawn is ${dialect}`);
  if (limits.storageBuffers !== 8) failures.push(`${limits.storageBuffers} storage buffers`);
  const sessions = new Map([["Dawn", hostSession(engine)]]);
  for (const c of cases) {
    try {
      await checkCase(bothPasses, c, sessions, "", "deno task test:compilers dawn");
    } catch (error) {
      failures.push(`"${caseName(c)}"\n${(error as Error).message}`);
    }
  }
  engine.dispose();
  device.destroy();
}
const absent = adapter ? undefined : "Dawn has no adapter";
const report: Report = { texts: cases.length, counted: 0, failures, absent };
console.log(JSON.stringify(report));
Deno.exit(0); // Dawn's threads would stay
