// `info`: what computes here, and why.
import { createEngine } from "../../engine/create_engine.ts";
import type { Target } from "../../plan/target.ts";
import { type Command, defineCommand, type Report } from "../command.ts";
import { engineFlags, engineOptions, type EngineValues } from "../flags/engine.ts";
import { type Adapter, findAdapters } from "../machine/adapters.ts";
import { runtimeOf } from "../machine/runtime.ts";
import { bytesText, list } from "../text.ts";
import { detectSimd } from "../../wasm/module/module.ts";
import { VERSION } from "../version.ts";

function targetText(target: Target): string {
  if (target.backend === "wasm") {
    const { relaxedSimd, vectorBits, threads, workers, shared } = target;
    return `${relaxedSimd ? "relaxed" : "plain"} SIMD, ${vectorBits} bits, ` +
      `${threads} thread${threads === 1 ? "" : "s"}${shared ? "" : ", memory is not shared"}` +
      (workers === undefined ? "" : `, ${workers} workers`);
  }
  const { adapter, dialect, subgroups, shaderF16, limits } = target;
  const lanes = subgroups ? `subgroups of ${subgroups.min} to ${subgroups.max}` : "no subgroups";
  return `${adapter}, compiler ${dialect}, ${lanes}, ${shaderF16 ? "f16" : "no f16"} in shaders, ` +
    `${bytesText(limits.storageBinding)} a binding, ${
      bytesText(limits.workgroupBytes)
    } a workgroup`;
}

function adapterText({ name, software, features, limits }: Adapter): string {
  const { maxBufferSize, maxStorageBufferBindingSize } = limits;
  return `${name}${software ? " (software: only with --software)" : ""}: buffers up to ` +
    `${bytesText(maxBufferSize!)}, bindings up to ${bytesText(maxStorageBufferBindingSize!)}, ` +
    (features.join(", ") || "no optional features");
}

function noAdapter(): string {
  const { gpu } = (globalThis as { navigator?: { gpu?: object } }).navigator ?? {};
  return gpu ? "none" : "none: this host has no WebGPU";
}

async function report(values: EngineValues): Promise<Report> {
  const options = engineOptions(values), runtime = runtimeOf();
  const found = await findAdapters();
  const adapters = found.map(({ adapter: _, ...adapter }) => adapter);
  const engine = await createEngine(options);
  const ofGpu = { allowFallbackAdapter: undefined, coexecute: undefined };
  const cpu = await createEngine({ ...options, ...ofGpu, backend: "wasm" });
  try {
    const chosen = { backend: engine.backend, reason: engine.reason, target: engine.target };
    const builds = detectSimd() === "relaxed" ? ["relaxed", "plain"] : ["plain"];
    const wasm = { reason: cpu.reason, target: cpu.target, builds };
    const { name, version, engine: javascript, os, architecture, cores, processor } = runtime;
    return {
      data: { version: VERSION, runtime, chosen, wasm, adapters },
      text: list([
        ["flashtile", VERSION],
        ["runtime", `${name} ${version}${javascript ? ` (${javascript})` : ""}`],
        ["machine", `${os} ${architecture}, ${cores} cores${processor ? `, ${processor}` : ""}`],
        ["chosen", chosen.reason],
        ["cpu", `${targetText(cpu.target)}; builds: ${builds.join(", ")}`],
        ...(engine.backend === "webgpu" ? [["gpu", targetText(engine.target)] as const] : []),
        ...(adapters.length > 0 ? adapters.map(adapterText) : [noAdapter()])
          .map((text) => ["adapter", text] as const),
      ]),
    };
  } finally {
    engine.dispose();
    cpu.dispose();
  }
}

/** `info`. */
export const info: Command = defineCommand({
  name: "info",
  summary: "Says what computes here, and why.",
  details:
    "Runtime, processor, builds of the CPU kernels, GPU adapters with their limits, and the " +
    "backend that an engine with these flags chooses. In Deno the processor's name needs " +
    "--allow-sys=cpus; nothing else needs a permission.",
  examples: [
    { what: "what an engine without options would be", args: "info" },
    { what: "the same as data", args: "info --json" },
    {
      what: "a GPU in software, as on a machine without one",
      args: "info --backend webgpu --software",
    },
  ],
  flags: engineFlags,
  run: (values) => report(values),
});
