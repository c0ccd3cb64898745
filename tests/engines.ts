/** Tests of what engines have in common beside their calls: the same body on each engine that this machine has. */

import { createEngine, type Engine } from "../mod.ts";
import { openGpu } from "./backends.ts";
import { elsewhere, type Part, runTakes, testUnless } from "./selection.ts";

/** A test on each engine; `part`: that in which a GPU is one. */
export function onEngines(
  name: string,
  fn: (engine: Engine) => Promise<void>,
  part: Part = "core",
): void {
  const left = runTakes("core") || runTakes(part) ? undefined : elsewhere("core");
  Deno.test({
    ...testUnless(left, name),
    async fn(t) {
      if (runTakes("core")) {
        await t.step("wasm", async () => {
          using engine = await createEngine({ backend: "wasm", threads: 2 });
          await fn(engine);
        });
      }
      if (!runTakes(part)) return;
      const gpu = await openGpu();
      if ("absent" in gpu) return console.log(`not run on webgpu: ${gpu.absent}`);
      await t.step("webgpu", () => fn(gpu)).finally(() => gpu.dispose());
    },
  });
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
