// How far a call has come: what calls tell, and what is drawn of it.
import assert from "node:assert/strict";
import { createEngine, type HostTensor } from "../../mod.ts";
import { ProgressBar } from "../../src/cli/progress.ts";
import { tensor } from "./session.ts";

for (const threads of [1, 2]) {
  Deno.test(`a call tells how far it has come, ${threads} threads`, async () => {
    const engine = await createEngine({ backend: "wasm", threads });
    const x = tensor([1, 2048, 4, 32], 1), shares: number[] = [];
    const signal = { throwIfAborted() {}, progress: (share: number) => void shares.push(share) };
    for (const pass of ["forward", "backward"]) {
      const { out, lse } = await engine.attention(x, x, x, pass === "forward" ? { signal } : {});
      if (pass === "backward") {
        const saved = { q: x, k: x, v: x, out: out as HostTensor, lse };
        await engine.attentionBackward(x, saved, { signal });
      }
      assert.deepEqual(shares, shares.toSorted((a, b) => a - b), pass);
      assert.equal(shares[0], 0, pass);
      assert.ok(shares.at(-1)! <= 1, pass);
      // workers may have done much before the calling thread looks again
      if (threads === 1) {
        assert.ok(new Set(shares).size > 3, `${pass}: ${shares}`);
        assert.equal(shares.at(-1), 1, pass);
      }
      shares.length = 0;
    }
    engine.dispose();
  });
}

Deno.test("a bar is drawn after a while, not too often, and cleared", () => {
  const drawn: string[] = [];
  let now = 0;
  const session = { columns: 60, stderr: (text: string) => void drawn.push(text) };
  const bar = new ProgressBar(session, "forward", () => now);
  const at = (time: number, share: number) => {
    now = time;
    bar.report(share);
  };
  at(400, 0.1);
  assert.equal(drawn.length, 0);
  at(1000, 0.25);
  at(1050, 0.26);
  at(1100, 0.5);
  assert.deepEqual(drawn.map((line) => line.trim()), [
    "forward [########......................] 25 %, 3 s left",
    "forward [###############...............] 50 %, 1.1 s left",
  ]);
  assert.ok(drawn.every((line) => line.startsWith("\r") && line.length === 60));
  drawn.length = 0;
  bar.end();
  bar.end();
  assert.deepEqual(drawn, [`\r${" ".repeat(59)}\r`]);
});

Deno.test("without a terminal nothing is drawn", () => {
  let now = 0;
  const session = { columns: undefined, stderr: () => assert.fail("drawn") };
  const bar = new ProgressBar(session, "forward", () => now);
  now = 5000;
  bar.report(0.5);
  bar.end();
});
