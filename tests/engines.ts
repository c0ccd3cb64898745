/** Tests of what engines have in common beside their calls: the same body on each engine that this machine has. */

import { createEngine, type Engine } from "../mod.ts";
import { openGpu } from "./backends.ts";

/** A test on each engine. */
export function onEngines(name: string, fn: (engine: Engine) => Promise<void>): void {
  Deno.test({
    name,
    sanitizeOps: false,
    sanitizeResources: false,
    async fn(t) {
      await t.step("wasm", async () => {
        using engine = await createEngine({ backend: "wasm", threads: 2 });
        await fn(engine);
      });
      const gpu = await openGpu();
      if ("absent" in gpu) return console.log(`not run on webgpu: ${gpu.absent}`);
      await t.step("webgpu", () => fn(gpu)).finally(() => gpu.dispose());
    },
  });
}
