/** One call on the GPU and on the CPU at a time: right, with what went where, and one backend where that is better. */

import assert from "node:assert/strict";
import { createEngine, maskMod } from "../mod.ts";
import type { CallOptions } from "../src/problem/call_options.ts";
import { bothPasses, hostSession, openGpu } from "./backends.ts";
import { type Case, caseName, defineCase } from "./case.ts";
import { makeInputs, plainTensor } from "./inputs.ts";
import { readPacked, type TestTensor } from "./reference/problem.ts";
import { partTest } from "./selection.ts";

const open = () => openGpu({ coexecute: true });

/** Large enough that a GPU in software, whose read-back a busy machine delays, still gains by giving some away. */
const sized = { queryHeads: 4, kvHeads: 2, lengthQ: 1000, lengthK: 1020, headDim: 32 } as const;

/** By sequences, with kernels that many tests have. */
const few: readonly Case[] = [
  defineCase({ ...sized, batch: 2, queryHeads: 2, kvHeads: 1, keyLengths: [1020, 930] }),
];

const more: readonly Case[] = [
  defineCase({
    ...sized,
    ...{ layout: "bhsd", alibiSlopes: "h", sink: true, dLse: true, softcap: 4 },
  }),
  defineCase({
    ...sized,
    bias: "1hqk",
    arrangement: "padded rows",
    mask: { axes: "hqk", pattern: "random" },
  }),
];

/** The largest difference of two results, as a share of the largest value. */
function difference(a: TestTensor, b: TestTensor): number {
  const [x, y] = [readPacked(a), readPacked(b)],
    top = y.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
  assert.equal(x.length, y.length);
  return x.reduce((most, value, n) => Math.max(most, Math.abs(value - y[n]!)), 0) / top;
}

partTest("core", "a precision that only a GPU has is not shared", async () => {
  const engine = await open();
  if ("absent" in engine) return console.log(`not run: ${engine.absent}`);
  using _ = engine;
  const { q, k, v, options } = makeInputs(few[0]!), precision = "f16";
  const { shares, reason } = engine.explain(q, k, v, { ...options as CallOptions, precision });
  assert.equal(shares, undefined);
  assert.match(reason, /not shared: precision "f16" is what GPUs have/);
});

/** Shares each case, and compares with one thread and with the formula. */
async function compare(t: Deno.TestContext, cases: readonly Case[]): Promise<void> {
  using one = await createEngine({ backend: "wasm", threads: 1 });
  for (const c of cases) {
    const engine = await open(); // a new one: what backends take is measured at its first call
    if ("absent" in engine) return console.log(`not run: ${engine.absent}`);
    const inputs = makeInputs(c), { q, k, v } = inputs, options = inputs.options as CallOptions;
    await t.step(caseName(c), async () => {
      const { shares } = engine.explain(q, k, v, options);
      assert.deepEqual(shares!.map(({ backend }) => backend), ["webgpu", "wasm"]);
      const [gpu, cpu] = shares!;
      assert.deepEqual([gpu!.from, gpu!.to, cpu!.to], [0, cpu!.from, 2]);
      const { verified } = await engine.attention(q, k, v, { ...options, verify: { rows: 40 } });
      assert.ok(verified);
      const want = await bothPasses(hostSession(one), inputs);
      const got = await bothPasses(hostSession(engine), inputs);
      for (const [name, tensor] of Object.entries<TestTensor>({ ...got })) {
        const other = { ...want }[name as "out"]!;
        assert.deepEqual(tensor.shape, other.shape);
        const off = difference(tensor, other);
        assert.ok(off < 2e-5, `${name} is off by ${off} of its largest value`);
      }
    });
    engine.dispose();
  }
}

const shared = "a call shared between the GPU and the CPU gives what one of them gives";
partTest("core", `${shared}, also to the formula`, (t) => compare(t, few));
partTest("rest", `${shared}: more options`, (t) => compare(t, more));

partTest("core", "what one backend runs, and why, is said", async () => {
  const engine = await open();
  if ("absent" in engine) return console.log(`not run: ${engine.absent}`);
  using _ = engine;
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
  const { out } = await engine.attention(one, one, one);
  assert.equal(out.data.length, one.data.length);
});

partTest(
  "core",
  "an aborted call rejects, into is filled, and the engine stays usable",
  async () => {
    const engine = await open();
    if ("absent" in engine) return console.log(`not run: ${engine.absent}`);
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
  },
);
