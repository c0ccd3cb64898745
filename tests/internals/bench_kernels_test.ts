/** The kernels of benches are compiled when a bench starts: here, so that none goes stale unseen. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { asmModule } from "../../bench/subjects/asm.ts";

const folder = new URL("../../bench/asm/", import.meta.url);

for (const file of readdirSync(folder).filter((name) => name.endsWith(".ts"))) {
  const name = file.replace(".ts", "");
  Deno.test(`bench/asm/${name} compiles`, async () => {
    assert.ok(WebAssembly.Module.exports(await asmModule(name)).length > 0);
  });
}
