/** One call on the GPU and on the CPU at a time: right, with what went where, and one backend where that is better. */

import assert from "node:assert/strict";
import { maskMod } from "../mod.ts";
import type { CallOptions } from "../src/problem/call_options.ts";
import { hostSession, openGpu } from "./backends.ts";
import { type Case, caseName, defineCase } from "./case.ts";
import { makeInputs, plainTensor } from "./inputs.ts";
import { backwardPass, checkCase, forwardPass } from "./run_grid.ts";

function test(name: string, fn: (t: Deno.TestContext) => Promise<void>): void {
  Deno.test({ name, sanitizeOps: false, sanitizeResources: false, fn });
}

const open = () => openGpu({ coexecute: true });

const sized = { queryHeads: 8, kvHeads: 4, lengthQ: 140, lengthK: 150, headDim: 32 } as const;

const cases: readonly Case[] = [
  defineCase({
    ...sized,
    ...{ causal: true, layout: "bhsd", alibiSlopes: "h", sink: true, dLse: true, softcap: 4 },
  }),
  defineCase({
    ...sized,
    ...{ batch: 2, arrangement: "padded rows", keyLengths: [150, 99], stats: true },
    rotary: { base: 10000 },
  }),
  defineCase({ ...sized, bias: "1hqk", mask: { axes: "hqk", pattern: "random" } }),
  // by sequences
  defineCase({ ...sized, batch: 4, queryHeads: 2, kvHeads: 1, lengthQ: 260, lengthK: 280 }),
];

test("a call shared between the GPU and the CPU agrees with the oracle", async (t) => {
  for (const c of cases) {
    const engine = await open(); // a new one: what backends take is measured at its first call
    if ("absent" in engine) return console.log(`not run: ${engine.absent}`);
    const { q, k, v, options } = makeInputs(c);
    await t.step(caseName(c), async () => {
      const { shares } = engine.explain(q, k, v, options as CallOptions);
      assert.deepEqual(shares!.map(({ backend }) => backend), ["webgpu", "wasm"]);
      const [gpu, cpu] = shares!;
      assert.deepEqual([gpu!.from, gpu!.to, cpu!.to], [0, cpu!.from, 4]);
      const sessions = new Map([["coexecute", hostSession(engine)]]);
      await checkCase(forwardPass, c, sessions, "tests/coexecute_test.ts");
      await checkCase(backwardPass, c, sessions, "tests/coexecute_test.ts");
    });
    engine.dispose();
  }
});

test("what one backend runs, and why, is said", async () => {
  using engine = await open() as Exclude<Awaited<ReturnType<typeof open>>, { absent: string }>;
  if ("absent" in engine) return;
  const x = plainTensor(1, [1, 140, 4, 32]), one = plainTensor(2, [1, 140, 1, 32]);
  const reasonOf = (q: typeof x, options: CallOptions = {}) => {
    const { reason, shares } = engine.explain(q, q, q, options);
    assert.equal(shares, undefined);
    return reason;
  };
  const mask = maskMod(({ head }) => head.lt(2));
  assert.match(reasonOf(x, { maskMod: mask }), /not shared: maskMod asks for the numbers of heads/);
  assert.match(reasonOf(x, { dropout: { probability: 0.1, seed: 1 } }), /not shared: dropout/);
  assert.match(reasonOf(one), /not shared: it has one kv head/);
  const resident = engine.tensor(x.data, x.shape);
  const { reason } = engine.explain(resident, resident, resident);
  assert.match(reason, /not shared: its tensors live in one backend/);
  const { out } = await engine.attention(x, x, x, { maskMod: mask });
  assert.equal(out.data.length, x.data.length);
});

test("an aborted call rejects, into is filled, and the engine stays usable", async () => {
  const engine = await open();
  if ("absent" in engine) return;
  const x = plainTensor(1, [1, 300, 4, 32]),
    out = { data: new Float32Array(300 * 128), shape: x.shape };
  const reason = new Error("enough"), signal = AbortSignal.abort(reason);
  await assert.rejects(() => engine.attention(x, x, x, { signal }), (error) => error === reason);
  const controller = new AbortController();
  const running = engine.attention(x, x, x, { signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(running, (error) => error === reason);
  const first = await engine.attention(x, x, x, { into: { out } });
  assert.equal(first.out.data, out.data);
  const second = await engine.attention(x, x, x); // rates are known by now, and stay
  assert.deepEqual((await engine.attention(x, x, x)).out.data, second.out.data);
  engine.dispose();
});
