/** Tests of what engines have in common beside their calls: the same body on each engine that this machine has. */

import { createEngine, type Engine } from "../mod.ts";
import { openGpu } from "./backends.ts";
import { elsewhere, type Part, runTakes, testUnless } from "./selection.ts";

/** What a test runs on: the CPU's, and the GPU's where there is a GPU. */
interface Subjects<T> {
  wasm(): T | Promise<T>;
  webgpu(): Promise<T | { readonly absent: string }>;
}

/** A test on what each backend has; `part`: that in which the GPU's is. Disposes of what can be disposed of. */
export function onEachBackend<T extends object>(
  name: string,
  { wasm, webgpu }: Subjects<T>,
  fn: (subject: T) => Promise<void>,
  part: Part = "core",
): void {
  const left = runTakes("core") || runTakes(part) ? undefined : elsewhere("core");
  Deno.test({
    ...testUnless(left, name),
    async fn(t) {
      const run = (backend: string, subject: T) =>
        t.step(backend, () => fn(subject))
          .finally(() => (subject as Partial<Disposable>)[Symbol.dispose]?.());
      if (runTakes("core")) await run("wasm", await wasm());
      if (!runTakes(part)) return;
      const gpu = await webgpu();
      if ("absent" in gpu) return console.log(`not run on webgpu: ${gpu.absent}`);
      await run("webgpu", gpu);
    },
  });
}

/** A test on each engine; `part`: that in which a GPU is one. */
export function onEngines(
  name: string,
  fn: (engine: Engine) => Promise<void>,
  part?: Part,
): void {
  const wasm = () => createEngine({ backend: "wasm", threads: 2 });
  onEachBackend(name, { wasm, webgpu: () => openGpu() }, fn, part);
}

/** Both builds of the CPU engine, and a GPU where there is one. */
export async function openEngines(): Promise<
  Disposable & { readonly engines: ReadonlyMap<string, Engine> }
> {
  const engines = new Map([
    ["wasm, plain SIMD", await createEngine({ backend: "wasm", threads: 1, simd: "plain" })],
    ["wasm, 2 threads", await createEngine({ backend: "wasm", threads: 2 })],
  ]);
  const gpu = await openGpu();
  if ("absent" in gpu) console.log(`not run on webgpu: ${gpu.absent}`);
  else engines.set("webgpu", gpu);
  return { engines, [Symbol.dispose]: () => engines.forEach((engine) => engine.dispose()) };
}
