// Which engine computes: flags that every command which computes has.
import { createEngine } from "../../engine/create_engine.ts";
import type { Engine } from "../../engine/engine.ts";
import type { BackendName, EngineOptions } from "../../engine/engine_options.ts";
import type { FlagsOf } from "../command.ts";
import { UsageError } from "../exit.ts";
import type { SimdOption } from "../../wasm/settings.ts";
import { choiceFlag, numberKind, switchFlag, valueFlag, wholeKind } from "../values.ts";

const megabytes = numberKind("a number of megabytes above 0", (n) => n > 0 && n < Infinity);

/** Values of these flags. */
export interface EngineValues {
  readonly backend: BackendName | undefined;
  readonly threads: number | undefined;
  readonly workers: number | undefined;
  readonly coexecute: boolean;
  readonly simd: SimdOption | undefined;
  /** In megabytes. */
  readonly memoryBudget: number | undefined;
  readonly software: boolean;
}

/** Flags of the engine. */
export const engineFlags: FlagsOf<EngineValues> = {
  backend: choiceFlag("--backend", ["auto", "wasm", "webgpu"], "Where to compute. Default: auto."),
  threads: valueFlag("--threads", wholeKind(1), "Threads on the CPU. Default: one for each core."),
  workers: valueFlag(
    "--workers",
    wholeKind(2),
    "Workers with memories of their own, for large calls. Default: none.",
  ),
  coexecute: switchFlag("--coexecute", "Share large calls between the GPU and the CPU."),
  simd: choiceFlag("--simd", ["relaxed", "plain", "wide"], "Build of the CPU kernels."),
  memoryBudget: valueFlag(
    "--memory-budget",
    { ...megabytes, metavar: "MB" },
    "Millions of bytes that the engine may take.",
  ),
  software: switchFlag("--software", "With --backend webgpu: take a GPU in software too."),
};

/** Them as options of `createEngine`. */
export function engineOptions(values: EngineValues): EngineOptions {
  const { backend, threads, workers, coexecute, simd, memoryBudget, software } = values;
  if (software && backend !== "webgpu") {
    throw new UsageError("Cannot use --software: it needs --backend webgpu");
  }
  return {
    ...{ backend, threads, workers, simd },
    ...(coexecute && { coexecute }),
    memoryBudget: memoryBudget === undefined ? undefined : Math.round(memoryBudget * 1e6),
    ...(software && { allowFallbackAdapter: true }),
  };
}

/** Makes the engine, and lets it go after use. */
export async function withEngine<T>(
  values: EngineValues,
  use: (engine: Engine) => Promise<T>,
): Promise<T> {
  const engine = await createEngine(engineOptions(values));
  try {
    return await use(engine);
  } finally {
    engine.dispose();
  }
}
