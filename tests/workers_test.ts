/**
 * Workers with memories of their own: the bits of one thread whatever they are sent, and what happens when they are
 * refused, die, are interrupted or let go.
 */

import assert from "node:assert/strict";
import process from "node:process";
import type { Worker as NodeWorker } from "node:worker_threads";
import { type AttentionOptions, createEngine, type Engine, type EngineOptions } from "../mod.ts";
import type { WasmTarget } from "../src/plan/target.ts";
import { planAttention } from "../src/plan/wasm/plan.ts";
import { workersFor } from "../src/plan/workers.ts";
import type { CallOptions } from "../src/problem/call_options.ts";
import { describeBackward } from "../src/problem/problem.ts";
import { bothPasses, hostSession } from "./backends.ts";
import { type Case, caseName, defineCase } from "./case.ts";
import { makeInputs, plainTensor } from "./inputs.ts";
import { packedInputs } from "./packed.ts";
import { readPacked, type TestTensor } from "./reference/problem.ts";
import { assertSameBits } from "./same_bits.ts";

function test(name: string, fn: (t: Deno.TestContext) => Promise<void>): void {
  Deno.test({ name, sanitizeOps: false, sanitizeResources: false, fn });
}

/** `simd` is given: an engine that measures its processor sends a fast one's calls to workers later. */
const open = (options: EngineOptions = {}) =>
  createEngine({ backend: "wasm", threads: 1, workers: 2, simd: "relaxed", ...options });

const sized = { queryHeads: 8, kvHeads: 4, lengthQ: 640, headDim: 64 } as const;

/** Each feature once, large enough that workers gain. */
const cases: readonly Case[] = [
  defineCase({ ...sized, batch: 3, lengthQ: 420, lengthK: 433, layout: "bhsd", softcap: 5 }),
  defineCase({ ...sized, dtype: "f16", window: { left: 700, right: 90 } }),
  defineCase({ ...sized, dtype: "bf16", arrangement: "transposed", dropout: 0.2, stats: true }),
  defineCase({ ...sized, lengthQ: 800, alibiSlopes: "h", sink: true, dLse: true, causal: true }),
  defineCase({
    ...sized,
    ...{ batch: 2, lengthQ: 560, bias: "11qk", mask: { axes: "b1qk", pattern: "documents" } },
  }),
  defineCase({ ...sized, lengthQ: 600, bias: "bhqk", keyLengths: [550] }),
  defineCase({
    ...{ ...sized, lengthQ: 800 },
    ...{ rotary: { base: 10000 }, causal: "bottom-right", arrangement: "padded rows" },
  }),
  defineCase({ ...sized, scoreMod: "learned", maskMod: "heads" }),
  defineCase({ ...sized, blockMask: { made: "blocks", mask: "documents", size: [64, 96] } }),
  // gradients of keys that are added up over several regions of rows
  defineCase({ queryHeads: 16, kvHeads: 2, lengthQ: 520, headDim: 128, alibiSlopes: "bh" }),
  // few heads: forward by rows
  defineCase({ ...sized, queryHeads: 2, kvHeads: 2, lengthQ: 1800, lengthK: 1700, causal: true }),
];

test("results of two workers have the bits of one thread, with every feature", async (t) => {
  using one = await createEngine({ backend: "wasm", threads: 1 });
  using sent = await open();
  for (const c of cases) {
    await t.step(caseName(c), async () => {
      const inputs = makeInputs(c), { q, k, v, options } = inputs;
      assert.equal(sent.explain(q, k, v, options as CallOptions).workers, 2);
      const got = await bothPasses(hostSession(sent), inputs);
      assertSameBits(got, await bothPasses(hostSession(one), inputs), inputs.name);
    });
  }
});

test("packed sequences, each of its own length, have the bits of one thread", async () => {
  using one = await createEngine({ backend: "wasm", threads: 1 });
  using sent = await open();
  const { inputs } = packedInputs({
    name: "packed",
    lengths: [[900, 900], [0, 40], [1200, 1000], [31, 60]],
    ...{ queries: true, keys: true, behind: 3 },
    fields: { queryHeads: 4, kvHeads: 4, headDim: 64, causal: true },
  });
  assert.equal(
    sent.explain(inputs.q, inputs.k, inputs.v, inputs.options as CallOptions).workers,
    2,
  );
  const got = await bothPasses(hostSession(sent), inputs);
  assertSameBits(got, await bothPasses(hostSession(one), inputs), "packed");
});

/** One kv head, whose keys are cut: every option that has a gradient, and what hides pairs, once. */
const single = { queryHeads: 2, kvHeads: 1, lengthQ: 700, lengthK: 1300, headDim: 64 } as const;
const cutKeys: readonly Case[] = [
  defineCase({ ...single, layout: "bhsd", causal: true, softcap: 5, dLse: true }),
  defineCase({ ...single, dtype: "f16", arrangement: "transposed", window: { left: 900 } }),
  defineCase({ ...single, sink: true, alibiSlopes: "h", bias: "11qk", causal: true }),
  defineCase({ ...single, bias: "bhqk", mask: { axes: "b1qk", pattern: "documents" } }),
  defineCase({ ...single, dropout: 0.2, keyLengths: [1111], rotary: { base: 10000 } }),
  defineCase({ ...single, scoreMod: "learned", maskMod: "heads" }),
  defineCase({ ...single, blockMask: { made: "blocks", mask: "documents", size: [64, 96] } }),
];

test("gradients of one kv head, whose keys are cut, are those of one thread but for the order of a sum", async (t) => {
  using one = await createEngine({ backend: "wasm", threads: 1 });
  using sent = await open();
  for (const c of cutKeys) {
    await t.step(caseName(c), async () => {
      const inputs = makeInputs(c),
        { q, k, v, dOut } = inputs,
        options = inputs.options as CallOptions;
      const { out, lse } = await one.attention(q, k, v, options);
      const { problem } = describeBackward(dOut, { q, k, v, out, lse }, options);
      const { workers } = workersFor(problem, { threads: 1, workers: 2 });
      const { regions } = planAttention(problem, { ...sent.target as WasmTarget, workers });
      assert.ok(regions.some(({ keyBegin }) => keyBegin > 0), `${workers} workers`);
      const got = await bothPasses(hostSession(sent), inputs);
      assertSameBits(await bothPasses(hostSession(sent), inputs), got, "again");
      const want = await bothPasses(hostSession(one), inputs);
      const [x, y] = [got, want].map((all) => Object.entries<TestTensor>({ ...all }));
      y!.forEach(([name, tensor], n) => {
        const [a, b] = [readPacked(x![n]![1]), readPacked(tensor)];
        const most = b.reduce((m, value) => Math.max(m, Math.abs(value)), 0);
        const off = b.reduce((m, value, i) => Math.max(m, Math.abs(value - a[i]!)), 0) / most;
        assert.ok(
          off < (c.dtype === "f16" ? 2e-3 : 4e-6),
          `${name} is off by ${off} of its largest`,
        );
      });
    });
  }
});

const x = plainTensor(1, [1, 700, 8, 64]), long = plainTensor(2, [1, 3000, 8, 64]);

const inputsOf = (options: AttentionOptions = {}) => ({
  q: x,
  k: x,
  v: x,
  options: options as object,
});

async function right(engine: Engine): Promise<void> {
  using one = await createEngine({ backend: "wasm", threads: 1 });
  const got = await hostSession(engine).forward(inputsOf());
  assertSameBits(got, await hostSession(one).forward(inputsOf()), "one thread");
}

test("into, verify, progress and synchronous calls are as on one engine", async () => {
  using sent = await open();
  const out = { data: new Float32Array(x.data.length), shape: x.shape };
  const shares: number[] = [];
  const signal = { throwIfAborted() {}, progress: (share: number) => shares.push(share) };
  const running = sent.attention(x, x, x, { into: { out }, signal });
  const small = { data: new Float32Array(64).fill(1), shape: [1, 1, 1, 64] };
  assert.equal(sent.attentionSync(small, small, small).out.data[0], 1);
  const result = await running;
  assert.equal(result.out.data, out.data);
  const { out: want } = await sent.attention(x, x, x);
  assert.deepEqual(out.data, want.data);
  assert.ok(shares.every((share, n) => share >= (shares[n - 1] ?? 0) && share <= 1));
  assert.ok(shares.at(-1)! > 0.5);
  const { verified } = await sent.attention(x, x, x, { verify: { rows: 8, seed: 1 } });
  assert.ok(verified);
});

test("what one engine runs, and why, is said", async () => {
  using sent = await open();
  assert.match(sent.reason, /1 thread, 2 workers with a memory of their own/);
  const few = plainTensor(3, [1, 40, 8, 64]), row = plainTensor(4, [1, 1, 8, 64]);
  assert.match(sent.explain(few, few, few).reason, /one engine runs it: 2 workers would take/);
  assert.match(sent.explain(row, long, long).reason, /one engine runs it: 2 workers would take/);
  const k = sent.tensor(x.data, x.shape), { reason, workers } = sent.explain(x, k, k);
  assert.equal(workers, undefined);
  assert.match(reason, /of host tensors only/);
  const { out } = await sent.attention(k, k, k);
  assert.ok("read" in out);
  using tight = await open({ memoryBudget: 6 * 2 ** 20 });
  assert.match(tight.explain(x, x, x).reason, /memoryBudget has no room/);
  await right(tight);
  const { total } = tight.memory;
  assert.ok(total <= 6 * 2 ** 20, `${total} bytes`);
});

type Make = new (source: string, options: { eval: true }) => NodeWorker;
const RealWorker = process.getBuiltinModule("node:worker_threads").Worker as unknown as Make;

/** Runs with another class of workers; `run` is given those that were made. */
async function withWorkers<T>(
  Worker: unknown,
  run: (made: NodeWorker[]) => Promise<T>,
): Promise<T> {
  const before = process.getBuiltinModule, made: NodeWorker[] = [];
  class Counted extends (Worker as Make) {
    constructor(source: string, options: { eval: true }) {
      super(source, options);
      made.push(this as unknown as NodeWorker);
    }
  }
  const replaced = () => ({ Worker: Counted });
  process.getBuiltinModule = replaced as unknown as typeof before;
  try {
    return await run(made);
  } finally {
    process.getBuiltinModule = before;
  }
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test("workers that may not start: one engine, right, and the reason says why", async () => {
  class Denied {
    constructor() {
      throw Object.assign(new Error("restricted"), { code: "ERR_ACCESS_DENIED" });
    }
  }
  await withWorkers(Denied, async () => {
    using sent = await open();
    await right(sent);
    assert.match(sent.reason, /0 workers .*no more workers: .*--allow-worker/);
    await right(sent);
    assert.equal(sent.explain(x, x, x).workers, undefined);
  });
});

test("a worker that is killed in the middle of a call: it rejects, and the engine is whole again", async () => {
  await withWorkers(RealWorker, async (made) => {
    using sent = await open();
    await right(sent);
    const running = sent.attention(long, long, long);
    await sleep(30);
    made[0]!.terminate();
    await assert.rejects(running, /Cannot run attention: a worker failed \(it ended\)/);
    await right(sent);
    assert.equal(made.filter((worker) => worker.threadId >= 0).length >= 2, true);
    assert.match(sent.reason, /2 workers/);
  });
});

test("an error inside of a worker rejects the call with what it said", async () => {
  class Trapping extends (RealWorker as unknown as { new (...all: unknown[]): NodeWorker }) {
    constructor(source: string, options: { eval: true }) {
      assert.ok(source.includes("done++"));
      super(source.replace("done++", `throw new Error("unreachable")`), options);
    }
  }
  await withWorkers(Trapping, async () => {
    using sent = await open();
    await assert.rejects(
      () => sent.attention(x, x, x),
      /Cannot run attention: a worker failed \(Error: unreachable\)/,
    );
    sent.attentionSync(x, x, x);
  });
});

test("an aborted call rejects at once, and the next one is right", async () => {
  using sent = await open();
  await right(sent);
  const controller = new AbortController(), reason = new Error("enough");
  const running = sent.attention(long, long, long, { signal: controller.signal });
  await sleep(40);
  controller.abort(reason);
  await assert.rejects(running, (error) => error === reason);
  const { used } = sent.memory;
  await right(sent);
  assert.equal(sent.memory.used, used);
});

test("dispose in the middle of a call rejects it and ends all workers", async () => {
  await withWorkers(RealWorker, async (made) => {
    const sent = await open();
    await right(sent);
    let ended = 0;
    for (const worker of made) worker.on("exit", () => ended++);
    const running = sent.attention(long, long, long);
    await sleep(20);
    sent.dispose();
    await assert.rejects(running, /engine was disposed/);
    for (let n = 0; n < 100 && ended < made.length; n++) await sleep(20);
    assert.equal(ended, made.length);
  });
});

test("a page that shares no memory has workers all the same", async () => {
  const before = Object.getOwnPropertyDescriptor(globalThis, "crossOriginIsolated");
  Object.defineProperty(globalThis, "crossOriginIsolated", { value: false, configurable: true });
  try {
    using sent = await createEngine({ backend: "wasm", workers: 2 });
    assert.match(
      sent.reason,
      /1 thread, 2 workers .*no more threads: memory can be shared only in/,
    );
    await right(sent);
    assert.equal(sent.explain(x, x, x).workers, 2);
  } finally {
    if (before) Object.defineProperty(globalThis, "crossOriginIsolated", before);
    else delete (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated;
  }
});

test("bad values of workers are refused", async () => {
  for (const workers of [1, 0, 65, 2.5, NaN]) {
    await assert.rejects(() => createEngine({ workers }), /Cannot run createEngine: workers is/);
  }
  await assert.rejects(() => createEngine({ workers: "2" as unknown as number }), TypeError);
});
