// Vercel's runtime for edge functions, on Node: no compiling at run time, no threads, another realm.
import { ok } from "node:assert/strict";
import type { Mistake, TourReport } from "../apps/messages.ts";
import { checkTour } from "../check.ts";
import { here } from "../install.ts";
import { run } from "../process.ts";
import type { Consumer } from "./consumer.ts";
import { buildKernels, checkRemedy } from "./workerd.ts";

const ESBUILD = "node_modules/esbuild/bin/esbuild", VM = "node_modules/@edge-runtime/vm";
const WASM = "node_modules/@flashtile/attention/flashtile.wasm";

async function inVm(cwd: string): Promise<string> {
  const flags = ["--bundle", "--format=iife", "--outfile=edge_runtime.js"];
  await run("node", [here(ESBUILD), "dist/edge_runtime.js", ...flags], { cwd });
  // V8 has relaxed SIMD from Node 22 on
  const node = await run("node", ["-p", "process.versions.node.split('.')[0] >= 22"], { cwd });
  const wasm = node.stdout.trim() === "true" ? WASM : "kernel_plain.wasm";
  await buildKernels(cwd);
  const { stdout } = await run("node", ["edge_vm.mjs", here(VM), "edge_runtime.js", wasm], { cwd });
  const { forgotten, report } = JSON.parse(stdout) as { forgotten: Mistake; report: TourReport };
  ok(report !== undefined, stdout);
  checkRemedy("createEngine", forgotten);
  return `${checkTour(report, { threads: 1 })} (${wasm})`;
}

/** The consumer that it runs. */
export function edgeRuntimeConsumers(cwd: string): Consumer[] {
  return [{ name: "@edge-runtime/vm 5 with wasmModule, packed", run: () => inVm(cwd) }];
}
