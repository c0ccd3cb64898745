import { createEngine, type Engine, type EngineOptions } from "../../mod.ts";
import type { EngineChoice } from "./options.ts";

/** An engine, on a software GPU too where a GPU is asked for by name. */
export function openEngine({ backend, threads }: EngineChoice): Promise<Engine> {
  const options: EngineOptions = { backend, allowFallbackAdapter: backend === "webgpu" };
  return createEngine(threads === undefined ? options : { ...options, threads });
}
