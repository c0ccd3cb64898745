// What runs calls that name no engine.
import { GpuHost } from "./gpu_source.ts";
import { Router } from "./router.ts";
import { Runner } from "./runner.ts";

let shared: Runner | undefined;

/** Made at the first of these calls. It looks for a GPU when a call is long enough to gain from one. */
export function defaultRunner(): Runner {
  if (!shared || shared.router.disposed) shared = new Runner(new Router({}, new GpuHost({})));
  return shared;
}
