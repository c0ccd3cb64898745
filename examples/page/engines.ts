// The engines of the page, each made once.
import { createEngine, type Engine } from "@flashtile/attention";

/**
 * "?gpu=software" in the address takes a GPU in software, which "auto" leaves alone: for tests, and to see what the page looks
 * like with two engines.
 */
export const ACCEPTS_SOFTWARE: boolean =
  new URLSearchParams(location.search).get("gpu") === "software";

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
export const engine: () => Promise<Engine> = once(() => createEngine());

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

/** One engine of each backend: the CPU's, and that of a GPU where there is one. */
export const engines: () => Promise<readonly Engine[]> = once(async () => {
  const auto = await engine();
  const cpu = auto.backend === "wasm" ? auto : await createEngine({ backend: "wasm" });
  const gpu = await gpuEngine();
  return gpu ? [cpu, gpu] : [cpu];
});
