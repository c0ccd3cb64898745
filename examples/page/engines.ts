// The engines of the page, each made once.
import {
  createEngine,
  type Engine,
  type EngineOptions,
  type WasmTarget,
} from "@flashtile/attention";

/**
 * "?gpu=software" in the address takes a GPU in software, which "auto" leaves alone: for tests, and to see what the page looks
 * like with two engines.
 */
export const ACCEPTS_SOFTWARE: boolean =
  new URLSearchParams(location.search).get("gpu") === "software";

const CORES = Math.min(64, navigator.hardwareConcurrency ?? 1);

/** A page that is not isolated may not share memory with threads: workers with memories of their own take their place. */
const CREW: EngineOptions = crossOriginIsolated || CORES < 2 ? {} : { workers: CORES };

/** The promise of `make`, made once; again after it has failed. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () =>
    made ??= make().catch((error) => {
      made = undefined;
      throw error;
    });
}

/** The engine that "auto" chooses. */
export const engine: () => Promise<Engine> = once(() => createEngine(CREW));

async function gpuEngine(): Promise<Engine | undefined> {
  const { backend } = await engine();
  if (backend !== "webgpu" && !ACCEPTS_SOFTWARE) return undefined; // "auto" has looked for one
  try {
    return await createEngine({
      backend: "webgpu",
      allowFallbackAdapter: ACCEPTS_SOFTWARE,
    });
  } catch (error) {
    console.warn(error); // there is none after all; the reason of "auto" is shown
    return undefined;
  }
}

/** How many compute a large call on the CPU: threads, or the workers that stand in for them. */
export function hands({ threads, workers }: WasmTarget): number {
  return workers || threads;
}

/** One engine of each backend: the CPU's, and that of a GPU where there is one. */
export const engines: () => Promise<readonly Engine[]> = once(async () => {
  const auto = await engine();
  const cpu = auto.backend === "wasm" ? auto : await createEngine({ ...CREW, backend: "wasm" });
  const gpu = await gpuEngine();
  return gpu ? [cpu, gpu] : [cpu];
});
