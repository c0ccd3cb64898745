// Making engines, and the one that calls use when they name none.
import { Engine } from "./engine.ts";
import { checkEngineOptions, type EngineOptions } from "./engine_options.ts";
import { defaultRunner } from "./default_runner.ts";
import { GpuHost } from "./gpu_source.ts";

/**
 * Makes an engine. `"auto"` never rejects where WebAssembly SIMD exists; `engine.backend` and
 * `engine.reason` say what was chosen.
 *
 * @example
 * ```ts
 * import { createEngine } from "@flashtile/attention";
 *
 * const engine = await createEngine({ threads: 2 });
 * console.log(engine.backend, engine.reason);
 * engine.dispose();
 * ```
 */
export async function createEngine(options: EngineOptions = {}): Promise<Engine> {
  checkEngineOptions(options);
  if (options.backend === "wasm") return new Engine(options);
  const gpu = new GpuHost(options);
  await gpu.detect();
  if (options.backend === "webgpu") gpu.require();
  return new Engine(options, gpu);
}

/** The engine of calls that name none, on the runner that they share. */
export function defaultEngine(): Engine {
  const runner = defaultRunner();
  return (runner.engine as Engine | undefined) ?? new Engine({}, undefined, runner);
}
