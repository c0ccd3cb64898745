/**
 * `memoryBudget` as a promise: what is larger comes in parts, with results within the usual bounds; what cannot is refused
 * before any work, and the budget that the error names holds.
 */

import assert from "node:assert/strict";
import { createEngine, type Engine, type HostTensor } from "../mod.ts";
import { bothPasses as runBoth, hostSession, openGpu } from "./backends.ts";
import { type Case, caseName, defineCase } from "./case.ts";
import { onEachBackend } from "./engines.ts";
import { makeInputs, plainTensor } from "./inputs.ts";
import {
  type Budgeted,
  gpuWith,
  inLeastMemory,
  leastMemory,
  namedBudget,
  wasmWith,
} from "./least_memory.ts";
import { packedInputs } from "./packed.ts";
import { bothPasses, testGrid } from "./run_grid.ts";
import { everything, type Part, partTest } from "./selection.ts";
import { mapTuple } from "./tuples.ts";

/** Longer than a chunk of keys and taller than the least region of rows, on both axes. */
const file = "tests/memory_budget_test.ts";
const crossing = { batch: 2, queryHeads: 4, kvHeads: 2, lengthQ: 70, lengthK: 134, headDim: 12 };
const statistics = { stats: true, dEntropy: true, dLse: true };

const options: readonly Partial<Case>[] = [
  ...[{ causal: true }, { dtype: "f16" }, { dtype: "bf16", layout: "bhsd", causal: true }],
  ...[{ keyLengths: [20, 120] }, { bias: "1hqk", biasHoles: true }, { bias: "b1qk", dtype: "f16" }],
  ...[{ sink: true, causal: true }, { mask: { axes: "b1qk", pattern: "blocks" } }],
  ...[{ alibiSlopes: "bh" }, { dropout: 0.3 }, { rotary: { dims: 8, positions: "each" } }],
  ...[{ maskMod: "documents" }, { blockMask: { made: "lists", size: [16, 32] } }],
  ...[{ scoreMod: "learned", causal: true }, { ...statistics, sink: true }],
  { ...everything, ...statistics, sink: true, causal: true },
] as Partial<Case>[];

const cases = options.map((fields) => defineCase({ ...crossing, ...fields })).concat(
  defineCase({ lengthQ: 200, lengthK: 500, headDim: 64, causal: true }),
  defineCase({ queryHeads: 4, kvHeads: 1, lengthQ: 2, lengthK: 700, headDim: 20, dtype: "f16" }),
);

for (const threads of [1, 2]) {
  const taken = threads === 1 ? cases : cases.slice(-3);
  const configuration = leastMemory(
    `wasm, ${threads} threads,`,
    () => Promise.resolve(wasmWith(threads)),
  );
  const sections = [{ title: `${threads} threads`, cases: taken }];
  testGrid(bothPasses, sections, [configuration], "in the least memory", file);
}

/** Kernels that other tests of a GPU have too. */
const gpuCases = [
  defineCase({ queryHeads: 4, kvHeads: 2, lengthQ: 100, lengthK: 100, headDim: 32, causal: true }),
  defineCase({
    ...crossing,
    batch: 1,
    lengthK: 70,
    ...everything,
    causal: true,
    sink: true,
    layout: "bhsd",
  }),
];
const gpuSections = [{ title: "webgpu", cases: gpuCases }];
testGrid(bothPasses, gpuSections, [leastMemory("gpu", gpuWith)], "in the least memory", file);

/** Whether two results are the same within a rounding or two. */
function assertNear(got: object, want: object): void {
  for (const [name, { data }] of Object.entries(want) as [string, HostTensor][]) {
    const other = (got as Record<string, HostTensor>)[name]!.data;
    Array.from(data as Float32Array).forEach((value, n) => {
      const near = Math.abs(value - other[n]!) <= 2e-6 * (1 + Math.abs(value));
      assert.ok(near || Object.is(value, other[n]), `${name}[${n}]: ${other[n]} for ${value}`);
    });
  }
}

/** The same body on CPU engines, and on GPU engines where there is a GPU; `part`: that in which a GPU is one. */
function onBoth(name: string, body: (budgeted: Budgeted) => Promise<void>, part?: Part): void {
  onEachBackend(name, { wasm: () => wasmWith(1), webgpu: gpuWith }, body, part);
}

partTest("core", "packed sequences in the least memory", async () => {
  const fields = { queryHeads: 2, kvHeads: 1, headDim: 16, causal: true } as const;
  const lengths = [[70, 70], [0, 5], [3, 210], [150, 150]] as const;
  const { inputs } = packedInputs(
    { lengths, fields, queries: true, keys: true, behind: 3 } as never,
  );
  using plenty = await createEngine({ backend: "wasm", threads: 1 });
  const want = await runBoth(hostSession(plenty), inputs);
  const run = (engine: Engine) => runBoth(hostSession(engine), inputs);
  assertNear((await inLeastMemory(wasmWith(1), run)).result, want);
});

onBoth("results go where the caller wants them, whatever is there", async (budgeted) => {
  const [q, dOut] = mapTuple([1, 4], (seed) => plainTensor(seed, [1, 100, 4, 32]));
  const [k, v] = mapTuple([2, 3], (seed) => plainTensor(seed, [1, 100, 2, 32]));
  using plenty = await budgeted.open(2 ** 28);
  const { out, lse } = await plenty.attention(q, k, v, { causal: true });
  const want = await plenty.attentionBackward(dOut, { q, k, v, out, lse }, { causal: true });
  const place = (heads: number) => ({
    data: new Float32Array(100 * heads * 40).fill(NaN),
    shape: [1, 100, heads, 32],
    strides: [100 * heads * 40, heads * 40, 40, 1],
  });
  const dense = ({ data }: HostTensor) =>
    Float32Array.from(
      { length: data.length / 40 * 32 },
      (_, n) => data[Math.floor(n / 32) * 40 + n % 32]!,
    );
  await inLeastMemory(budgeted, async (engine) => {
    const into = { dq: place(4), dk: place(2), dv: place(2) };
    await engine.attentionBackward(dOut, { q, k, v, out, lse }, { causal: true, into });
    const got = Object.entries(into).map(([name, tensor]) => [name, { data: dense(tensor) }]);
    assertNear(Object.fromEntries(got), want);
  });
});

onBoth(
  "what cannot come in parts is refused with the bytes, and runs with them",
  async (budgeted) => {
    const [q, k] = mapTuple([1, 2], (seed) => plainTensor(seed, [1, 300, 2, 16]));
    using plenty = await budgeted.open(2 ** 28);
    const { lse } = await plenty.attention(q, k, k);
    const documents = plainTensor(3, [900, 32]), queries = plainTensor(4, [2, 8, 32]);
    const about = { cuSeqlens: Int32Array.from([0, 100, 400, 900]) };
    const { keys } = await plenty.maxSim(queries, documents, about);
    const dScores = plainTensor(5, [2, 3]), saved = { queries, documents, keys };
    const calls: readonly ((engine: Engine) => Promise<object>)[] = [
      async (engine) => ({ sums: await engine.attentionColumnSums(q, k, lse) }),
      (engine) => engine.attentionTopKeys(q, k, lse, { count: 4 }),
      async (engine) => ({ scores: await engine.attentionScores(q, k, { stage: "masked" }) }),
      (engine) => engine.maxSim(queries, documents, about),
      (engine) => engine.maxSimBackward(dScores, saved),
    ];
    for (const call of calls) {
      const want = await call(plenty);
      const { result } = await inLeastMemory(budgeted, call);
      assertNear(result, want);
    }
  },
  "rest",
);

onBoth("explain() tells the most that a call takes", async (budgeted) => {
  // a region of a GPU takes tens of milliseconds, and a kernel that no other test has a second
  const onGpu = budgeted.step === 1, asked = onGpu ? gpuCases.slice(0, 1) : cases;
  for (const c of asked) {
    const inputs = makeInputs(c), { q, k, v, options } = inputs;
    for (const budget of onGpu ? [2 ** 28, 2 ** 17] : [2 ** 28, 2 ** 21, 2 ** 19, 2 ** 18]) {
      using engine = await budgeted.open(budget);
      const { peakBytes, memoryBudget, keyChunks, merges } = engine.explain(q, k, v, options);
      assert.ok(memoryBudget <= budget && keyChunks >= 1 && merges >= 0);
      const run = hostSession(engine).forward(inputs);
      if (peakBytes > memoryBudget) await assert.rejects(run, RangeError);
      else {
        await run;
        const { peak } = engine.memory;
        assert.ok(peak <= peakBytes, `${caseName(c)}: ${peak} of ${peakBytes}, budget ${budget}`);
      }
    }
  }
});

onBoth("a budget gives the same bits from run to run", async (budgeted) => {
  const fields = { queryHeads: 4, kvHeads: 2, headDim: 32, causal: true } as const;
  const inputs = makeInputs(defineCase({ ...fields, lengthQ: 200, lengthK: 300 }));
  const run = (engine: Engine) => runBoth(hostSession(engine), inputs);
  using plenty = await budgeted.open(2 ** 28);
  const { q, k, v, options } = inputs, { peakBytes } = plenty.explain(q, k, v, options);
  // the least memory of a GPU means a hundred regions
  const onGpu = budgeted.step === 1;
  const budget = onGpu ? Math.ceil(peakBytes * 0.6) : await namedBudget(budgeted, run);
  using first = await budgeted.open(budget);
  const want = await run(first);
  assert.deepEqual(await run(first), want);
  using second = await budgeted.open(budget);
  assert.deepEqual(await run(second), want);
  assertNear(want, await run(plenty));
}, "rest");

partTest(
  "core",
  "resident tensors and a cache leave the rest to calls, which come in parts",
  async () => {
    using engine = await createEngine({ backend: "wasm", threads: 1, memoryBudget: 2 ** 20 });
    using held = engine.tensor(new Float32Array(2 ** 17), [2 ** 17]); // half of it
    using cache = engine.kvCache({
      sequences: 1,
      kvHeads: 1,
      headDim: 32,
      pageSize: 16,
      pages: 20,
    });
    const rows = plainTensor(1, [1, 300, 1, 32]);
    cache.append(rows, rows, { sequences: [0] });
    const x = plainTensor(2, [1, 2000, 1, 32]), one = plainTensor(3, [1, 1, 1, 32]);
    using plenty = await createEngine({ backend: "wasm", threads: 1 });
    assertNear(await engine.attention(x, x, x), await plenty.attention(x, x, x));
    assert.ok(engine.memory.total <= 2 ** 20 && engine.explain(x, x, x).keyChunks > 1);
    const step = await engine.attention(one, cache.keys, cache.values, { sequences: [0] });
    assertNear(step, await plenty.attention(one, rows, rows));
    assert.equal(held.disposed, false);
  },
);

partTest(
  "core",
  "three times the memory of a GPU: live buffers stay within the budget",
  async () => {
    const first = await openGpu();
    if ("absent" in first) return console.log(`not run on webgpu: ${first.absent}`);
    using _first = first;
    const [q, dOut] = mapTuple([1, 4], (seed) => plainTensor(seed, [1, 300, 4, 32]));
    const [k, v] = mapTuple([2, 3], (seed) => plainTensor(seed, [1, 300, 2, 32]));
    const { out, lse } = await first.attention(q, k, v, { causal: true });
    const want = await first.attentionBackward(dOut, { q, k, v, out, lse }, { causal: true });
    const bytes = 4 * (q.data.byteLength + k.data.byteLength); // q, k, v, out, dOut, dq, dk, dv
    const memoryBudget = Math.floor(bytes / 3);
    const device = first.device!, live = new Map<object, number>();
    let most = 0;
    const createBuffer = device.createBuffer.bind(device);
    device.createBuffer = ((descriptor: { size: number }) => {
      const buffer = createBuffer(descriptor as never), destroy = buffer.destroy.bind(buffer);
      live.set(buffer, descriptor.size);
      most = Math.max(most, [...live.values()].reduce((sum, size) => sum + size, 0));
      buffer.destroy = () => {
        live.delete(buffer);
        destroy();
      };
      return buffer;
    }) as never;
    const engine = await openGpu({ device, memoryBudget });
    assert.ok(!("absent" in engine));
    most = 0;
    live.clear();
    assertNear(await engine.attention(q, k, v, { causal: true }), { out, lse });
    const saved = { q, k, v, out, lse };
    assertNear(await engine.attentionBackward(dOut, saved, { causal: true }), want);
    assert.ok(most > 0 && most <= memoryBudget, `${most} bytes of ${memoryBudget}`);
    assert.ok(engine.memory.peak <= memoryBudget && engine.memory.used === 0);
    engine.dispose();
  },
);
