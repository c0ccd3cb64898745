// The engines of this machine: builds and threads of the CPU, and each GPU.
import { createEngine } from "../../engine/create_engine.ts";
import type { Engine } from "../../engine/engine.ts";
import type { EngineOptions } from "../../engine/engine_options.ts";
import type { GpuDeviceLike } from "../../webgpu/device/api.ts";
import { detectSimd } from "../../wasm/module/module.ts";
import { findAdapters, type FoundAdapter } from "./adapters.ts";

/** An engine to be made. */
export interface EngineChoice {
  readonly name: string;
  readonly backend: "wasm" | "webgpu";
  /** Whether it is a GPU in software. */
  readonly software: boolean;
  readonly make: () => Promise<Engine>;
}

/** Builds that this host runs, on one thread and on all. */
export async function wasmChoices(threads: number | undefined): Promise<EngineChoice[]> {
  const standard = await createEngine({ backend: "wasm", threads }), { target } = standard;
  standard.dispose();
  if (target.backend !== "wasm") throw new Error("the engine of the CPU is none");
  const builds = detectSimd() === "relaxed" ? ["relaxed", "plain"] as const : ["plain"] as const;
  const counts = [...new Set([1, target.threads])];
  const choice = (simd: EngineOptions["simd"], threads: number): EngineChoice => ({
    name: `wasm ${simd}, ${threads} thread${threads === 1 ? "" : "s"}`,
    ...{ backend: "wasm", software: false },
    make: () => createEngine({ backend: "wasm", simd, threads }),
  });
  return [
    ...builds.flatMap((simd) => counts.map((threads) => choice(simd, threads))),
    // the same kernels in other pieces
    ...(builds[0] === "relaxed" ? [choice("wide", 1)] : []),
  ];
}

async function openOn({ adapter, name }: FoundAdapter): Promise<Engine> {
  const { requestDevice } = await import("../../webgpu/device/device.ts");
  const device = await requestDevice(adapter, { allowFallbackAdapter: true });
  try {
    return await createEngine({ backend: "webgpu", device: device as GpuDeviceLike });
  } catch (error) {
    device.destroy();
    throw new Error(`${name}: ${(error as Error).message}`, { cause: error });
  }
}

/** GPUs, those in software only where they are wanted; and why there are not more. */
export async function gpuChoices(
  software: boolean,
): Promise<{ readonly choices: EngineChoice[]; readonly leftOut: string[] }> {
  const adapters = await findAdapters();
  const wanted = adapters.filter((one) => software || !one.software);
  const choices = wanted.map((found): EngineChoice => ({
    name: `webgpu ${found.name}`,
    ...{ backend: "webgpu", software: found.software },
    make: () => openOn(found),
  }));
  const leftOut = adapters.length === 0
    ? ["webgpu: this host has no adapter"]
    : adapters.filter((one) => !wanted.includes(one))
      .map(({ name }) => `webgpu ${name}: in software, pass --software to check it`);
  return { choices, leftOut };
}
