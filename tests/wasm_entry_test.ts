/** The entry of the CPU alone: the same results, and not a line of GPU code. */

import assert from "node:assert/strict";
import * as whole from "../mod.ts";
import * as cpu from "../src/wasm.ts";
import { plainTensor } from "./inputs.ts";
import { mapTuple } from "./tuples.ts";

const [q, k, v, dOut] = mapTuple([1, 2, 3, 4], (seed) => plainTensor(seed, [1, 40, 2, 16]));

Deno.test("its calls give what those of the whole library give", async () => {
  const options = { causal: true }, want = whole.attentionSync(q, k, v, options);
  assert.deepEqual(cpu.attentionSync(q, k, v, options), want);
  assert.deepEqual(await cpu.attention(q, k, v, options), want);
  const saved = { q, k, v, ...want }, gradients = whole.attentionBackwardSync(dOut, saved, options);
  assert.deepEqual(cpu.attentionBackwardSync(dOut, saved, options), gradients);
  assert.deepEqual(await cpu.attentionBackward(dOut, saved, options), gradients);
  assert.deepEqual(cpu.mergeAttention([want, want]), whole.mergeAttention([want, want]));
  assert.deepEqual(cpu.applyRotary(q, { base: 9 }), whole.applyRotary(q, { base: 9 }));
});

Deno.test("its engines compute on the CPU and refuse a GPU by name", async () => {
  for (const backend of [undefined, "auto", "wasm"] as const) {
    const engine = await cpu.createEngine({ backend, threads: 1 });
    assert.equal(engine.backend, "wasm");
    const tensor = engine.tensor(q); // calls find their engine by its tensors here too
    assert.equal((await (await cpu.attention(tensor, k, v)).out.read()).length, q.data.length);
    engine.dispose();
  }
  const options = { backend: "webgpu" } as unknown as cpu.WasmEngineOptions;
  await assert.rejects(() => cpu.createEngine(options), {
    name: "UnsupportedError",
    message: /computing on a GPU .*import createEngine from @flashtile\/attention/,
  });
  await assert.rejects(() => cpu.createEngine({ thread: 1 } as object), /unknown name "thread"/);
});

Deno.test("it imports nothing of the GPU backend, not even when it runs", () => {
  const seen = new Set<string>(),
    reach = (url: URL) => {
      if (seen.has(url.href)) return;
      seen.add(url.href);
      const text = Deno.readTextFileSync(url).replaceAll(/\/\*[\s\S]*?\*\//g, "");
      for (
        const [, clause, path] of text.matchAll(/(?:import|export)\s+([^;]*?)from\s+"(\.[^"]+)"/g)
      ) {
        if (!/^type\b/.test(clause!)) reach(new URL(path!, url));
      }
      for (const [, path] of text.matchAll(/import\(\s*"([^"]+)"/g)) reach(new URL(path!, url));
    };
  reach(new URL("../src/wasm.ts", import.meta.url));
  const gpu = [...seen].filter((file) => /\/(webgpu|shaders)\//.test(file));
  assert.deepEqual(gpu, []);
  assert.ok(seen.size > 30, "nothing was read");
});
