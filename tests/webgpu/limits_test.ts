/** Devices that can do less, and targets that ask for more: the same results whatever the tiles and regions are. */

import assert from "node:assert/strict";
import type { Engine } from "../../mod.ts";
import { planWebGpu } from "../../src/plan/webgpu/plan.ts";
import { describeBackward, describeForward } from "../../src/problem/problem.ts";
import type { TileShape } from "../../shaders/abi.ts";
import type { TunedTarget } from "../../src/plan/webgpu/tiles.ts";
import type { WebGpuTarget } from "../../src/plan/target.ts";
import { hostSession } from "../backends.ts";
import { type Case, caseName, defineCase } from "../case.ts";
import { makeInputs } from "../inputs.ts";
import { bothPasses, checkCase } from "../run_grid.ts";
import { everything, fewRows, type Part, partTaken } from "../selection.ts";
import { type Forced, forcedEngine, gpuTest, type Watch } from "./support.ts";

const file = "tests/webgpu/limits_test.ts";

/** Variants of shaders are compiled once for each device, so cases differ in sizes and share their dims. */
const dims = { headDim: 32 };
const grouped = { queryHeads: 4, kvHeads: 2, ...dims };

const biased = (bias: string, n: number): Case =>
  defineCase({
    ...{ ...grouped, batch: 2, lengthQ: 66, lengthK: 71, bias },
    ...{ biasHoles: n % 2 === 0, layout: n % 2 ? "bhsd" : "bshd" },
  });

/** Regions of every axis at a binding of 12 KiB, and features across their borders. */
const cases: readonly Case[] = [
  defineCase({ ...dims, batch: 5, queryHeads: 1, lengthQ: 40, lengthK: 45 }),
  defineCase({ ...grouped, lengthQ: 60, lengthK: 130 }),
  defineCase({ ...grouped, batch: 2, lengthQ: 60, lengthK: 70, causal: true, dLse: true }),
  defineCase({ ...dims, queryHeads: 5, lengthQ: 64, lengthK: 80, layout: "bhsd", causal: true }),
  defineCase({ ...grouped, lengthQ: 30, lengthK: 61, layout: "bhsd", window: { left: 20 } }),
  defineCase({ ...dims, queryHeads: 6, kvHeads: 1, lengthQ: 41, lengthK: 50, layout: "bhsd" }),
  defineCase({ ...grouped, kvHeads: 1, lengthQ: 60, lengthK: 70, bias: "bhqk" }),
  defineCase({ ...grouped, batch: 3, lengthQ: 50, lengthK: 130, keyLengths: [0, 97, 130] }),
  defineCase({ ...fewRows, lengthK: 700, causal: true }),
  defineCase({ ...fewRows, batch: 2, lengthK: 300, layout: "bhsd", keyLengths: [9, 222] }),
  defineCase({ ...grouped, lengthQ: 45, lengthK: 50, dtype: "f16" }),
  defineCase({ ...grouped, lengthQ: 150, lengthK: 90, valueDim: 20, softcap: 5 }),
  // statistics are joined over keys, and what the sink takes of the entropy's gradient is given once
  defineCase({
    ...{ ...grouped, batch: 2, lengthQ: 60, lengthK: 230, causal: true },
    ...{ sink: true, stats: true, dEntropy: true },
  }),
  // bias and mask: cut by query rows and keys, whole for all heads, alone
  ...["bhqk", "1hqk", "b11k"].map(biased),
  defineCase({
    ...{ ...grouped, batch: 2, lengthQ: 130, lengthK: 140, causal: true },
    mask: { axes: "b1qk", pattern: "blocks" },
  }),
  defineCase({
    ...{ ...grouped, batch: 2, lengthQ: 40, lengthK: 44, sink: true, ...everything },
  }),
];

/** The same with kernels that no other test has. */
const others: readonly Case[] = [
  defineCase({ ...grouped, lengthQ: 45, lengthK: 50, dtype: "f16", arrangement: "padded rows" }),
  defineCase({ ...dims, batch: 5, queryHeads: 1, lengthQ: 40, lengthK: 45, dropout: 0.2 }),
  defineCase({
    ...{ ...dims, queryHeads: 6, kvHeads: 1, lengthQ: 41, lengthK: 50, layout: "bhsd" },
    dropout: 0.2,
  }),
  defineCase({ ...grouped, lengthQ: 60, lengthK: 131, dropout: 0.2, dtype: "f16" }),
  defineCase({ ...fewRows, lengthK: 700, causal: true, dropout: 0.2 }),
  defineCase({ ...fewRows, lengthK: 700, sink: true, stats: true, dEntropy: true }),
  defineCase({
    ...{ ...grouped, batch: 2, lengthQ: 40, lengthK: 90, sink: true, ...everything },
    ...{ stats: true, dEntropy: true },
  }),
  defineCase({ ...dims, queryHeads: 3, lengthQ: 150, lengthK: 90, valueDim: 20, softcap: 5 }),
  // what captured arrays learn is added up over regions
  defineCase({
    ...{ ...grouped, batch: 2, lengthQ: 60, lengthK: 130, causal: true },
    ...{ scoreMod: "bent", maskMod: "prefix" },
  }),
  // with axes of 1 and axes that are missing
  ...["b1qk", "11qk", "qk", "1h1k", "bhq1", "k"].map(biased),
  defineCase({ ...dims, batch: 2, queryHeads: 3, lengthQ: 66, lengthK: 71, bias: "bhqk" }),
  defineCase({
    ...{ ...grouped, batch: 2, lengthQ: 40, lengthK: 44, bias: "11qk" },
    mask: { axes: "1hqk", pattern: "random" },
  }),
];

/** Runs cases forward and backward against the oracle. */
async function checkCases(
  t: Deno.TestContext,
  cases: readonly Case[],
  forced: Forced,
  after: (engine: Engine, watch: Watch) => void = () => {},
): Promise<void> {
  const { engine, watch } = await forcedEngine(forced);
  const sessions = new Map([["webgpu, forced", hostSession(engine)]]);
  for (const c of cases) {
    await t.step(caseName(c), () => checkCase(bothPasses, c, sessions, file));
  }
  await t.step("nothing is left behind", () => assert.equal(engine.memory.used, 0));
  await t.step("what was asked of the device", () => after(engine, watch));
  engine.dispose();
}

gpuTest("the limits that every device has are enough", async (t) => {
  const scheduled = cases.filter(({ bias, mask }) => bias || mask);
  await checkCases(t, scheduled, { defaultLimits: true }, ({ target }, watch) => {
    const { workgroupBytes, storageBuffers, workgroupThreads } = (target as WebGpuTarget).limits;
    assert.deepEqual([workgroupBytes, storageBuffers, workgroupThreads], [16384, 8, 256]);
    assert.equal(watch.mostBindings, 8, "backward with bias takes all there are");
  });
}, { part: "rest" });

gpuTest("bindings of 12 KiB: regions of every axis agree with the oracle", async (t) => {
  const limits = { storageBinding: 12288 };
  await checkCases(t, cases, { defaultLimits: true, limits }, (engine) => {
    const seen = new Set<string>();
    for (const c of cases) {
      const { q, k, v, dOut, options } = makeInputs(c), saved = { q, k, v, out: dOut };
      const lse = { data: new Float32Array(c.batch * c.queryHeads * c.lengthQ) };
      const rows = { ...lse, shape: [c.batch, c.queryHeads, c.lengthQ] };
      for (
        const { problem } of [
          describeForward(q, k, v, options),
          describeBackward(dOut, { ...saved, lse: rows }, options),
        ]
      ) {
        const { kernel, regions } = planWebGpu(problem, engine.target as WebGpuTarget);
        for (const w of regions) {
          if (w.batchBegin > 0) seen.add(`${kernel} by batch`);
          if (w.kvHeadBegin > 0) seen.add(`${kernel} by head`);
          if (w.groupBegin > 0) seen.add(`${kernel} by group`);
          if (w.rowBegin > 0) seen.add(`${kernel} by rows`);
          if (w.keyBegin > 0) seen.add(`${kernel} by keys`);
        }
      }
    }
    const wanted = ["forward", "backward"].flatMap((kernel) =>
      ["batch", "head", "group", "rows", "keys"].map((axis) => `${kernel} by ${axis}`)
    );
    for (const path of [...wanted, "decode by keys"]) assert.ok(seen.has(path), `none ${path}`);
  });
}, { part: "rest" });

gpuTest("bindings of 12 KiB: regions agree with the oracle in every form of a bias", async (t) => {
  await checkCases(t, others, { defaultLimits: true, limits: { storageBinding: 12288 } });
}, { part: "rest" });

gpuTest("no binding is larger than the device allows", async (t) => {
  const limits = { storageBinding: 16384 };
  const { engine, watch } = await forcedEngine({ defaultLimits: true, limits });
  const session = hostSession(engine);
  for (
    const c of [
      defineCase({ ...grouped, lengthQ: 60, lengthK: 130 }),
      defineCase({ ...grouped, lengthQ: 66, lengthK: 71, bias: "1hqk" }),
      defineCase({ ...grouped, lengthQ: 120, lengthK: 50, dtype: "f16" }), // narrowed at the end
      defineCase({
        ...grouped,
        lengthQ: 60,
        lengthK: 240,
        mask: { axes: "qk", pattern: "random" },
      }),
      defineCase({ ...fewRows, lengthK: 1000 }), // slots of partial results
    ]
  ) {
    await t.step(caseName(c), async () => {
      watch.largestBinding = 0;
      const inputs = makeInputs(c), forward = await session.forward(inputs);
      assert.ok(watch.largestBinding <= 16384, `forward binds ${watch.largestBinding} bytes`);
      await session.backward(inputs, forward);
      assert.ok(watch.largestBinding <= 16384, `backward binds ${watch.largestBinding} bytes`);
    });
  }
  engine.dispose();
});

gpuTest("no dispatch is wider than the device allows", async (t) => {
  // 16 workgroups an axis; heads and sequences are cut into regions, tiles and rows into dispatches
  const limits = { workgroups: 16 }, short = { lengthQ: 20, lengthK: 24, ...dims };
  await checkCases(
    t,
    [
      defineCase({ ...dims, queryHeads: 2, kvHeads: 1, lengthQ: 600, lengthK: 50, causal: true }),
      defineCase({ ...short, queryHeads: 18 }),
      defineCase({ ...short, queryHeads: 24, kvHeads: 12 }),
      defineCase({ ...short, batch: 17, queryHeads: 1 }),
      defineCase({ ...fewRows, lengthK: 1000 }),
      defineCase({ ...grouped, lengthQ: 90, lengthK: 40, dtype: "f16" }),
    ],
    { limits },
    (_, watch) => {
      assert.ok(watch.mostWorkgroups <= 16, `${watch.mostWorkgroups} workgroups`);
    },
  );
});

gpuTest("a buffer nearly as large as the device allows can be had", async () => {
  // 983040 bytes of out and 30720 of lse: rounded up for the pool they would be more than the limit
  const { engine } = await forcedEngine({ limits: { buffer: 1_020_000 } });
  await checkOnes(engine, 7680, 32);
  engine.dispose();
});

gpuTest("results that fit one by one are read back whatever they are together", async () => {
  const { engine } = await forcedEngine({ limits: { buffer: 1_000_000 } });
  await checkOnes(engine, 7680, 32); // 983040 bytes of out, 30720 of lse
  engine.dispose();
});

/** Attention to one key gives its value, on so many rows. */
async function checkOnes(engine: Engine, length: number, valueDim: number): Promise<void> {
  const ones = (length: number, dim: number, value: number) => ({
    data: new Float32Array(length * dim).fill(value),
    shape: [1, length, 1, dim],
  });
  const { out, lse } = await engine.attention(
    ones(length, 4, 1),
    ones(1, 4, 2),
    ones(1, valueDim, 3),
  );
  assert.equal(out.data.length, length * valueDim);
  assert.ok((out.data as Float32Array).every((value) => value === 3));
  assert.ok((lse.data as Float32Array).every((value) => Math.abs(value - 4) < 1e-5));
}

/** Tiles for hardware, on whatever adapter there is: 48 KiB are more than lavapipe says, and it does not check. */
const hardware: Forced = { target: { software: false }, limits: { workgroupBytes: 49152 } };

/** Narrow dims on every tile of a software test's length, wide ones beside them. */
const sizes = [[100, 150, true], [70, 67, undefined]] as const;
const wide = [32, 64, 128].flatMap((headDim) =>
  sizes.flatMap(([lengthQ, lengthK, causal]) => [
    defineCase({ queryHeads: 2, lengthQ, lengthK, headDim, causal }),
    defineCase({ queryHeads: 6, kvHeads: 2, lengthQ, lengthK, headDim, causal }),
  ])
);

/** Which tiles some cases have. */
function tilesOf(cases: readonly Case[], target: WebGpuTarget): Set<string> {
  return new Set(cases.flatMap((c) => {
    const { q, k, v, dOut } = makeInputs(c), { problem } = describeForward(q, k, v, {});
    const rows = { data: new Float32Array(c.queryHeads * c.lengthQ) };
    const lse = { ...rows, shape: [1, c.queryHeads, c.lengthQ] };
    const backward = describeBackward(dOut, { q, k, v, out: dOut, lse }, {});
    const { dq, dkv } = planWebGpu(backward.problem, target);
    return [planWebGpu(problem, target).forward, dq, dkv].map((one) => JSON.stringify(one!.tile));
  }));
}

/** Tiles that no table has, with a dim: products without a loop, several pieces of each, wide columns, Q that stays. */
const unusual: readonly (readonly [TileShape, headDim: number, part?: Part])[] = [
  [{ nx: 8, ny: 8, tm: 4, tn: 4, chunk: 32, depth: 32, unroll: 32 }, 20],
  [{ nx: 4, ny: 8, tm: 4, tn: 8, chunk: 16, depth: 8, unroll: 8 }, 32, "all"],
  [{ nx: 8, ny: 4, tm: 8, tn: 4, chunk: 64, depth: 16, unroll: 2 }, 64, "all"],
  [{ nx: 4, ny: 8, tm: 8, tn: 8, chunk: 32, depth: 16, unroll: 4, resident: true }, 40],
];

gpuTest("tiles of any depth, with loops and without, agree with the oracle", async (t) => {
  const shape = { queryHeads: 4, kvHeads: 2, lengthQ: 45, lengthK: 75, sink: true };
  for (const [tile, headDim, part = "rest"] of unusual) {
    if (!partTaken(part)) continue;
    const { resident: _, ...other } = tile, tiles = { forward: tile, dq: other, dkv: other };
    const target: Partial<TunedTarget> = { tiles }, limits = { workgroupBytes: 49152 };
    await t.step(JSON.stringify(tile), async (t) => {
      await checkCases(t, [defineCase({ ...shape, causal: true, headDim })], { target, limits });
    });
  }
}, { part: "rest" });

gpuTest("the tiles for hardware agree with the oracle, on all dims", async (t) => {
  await checkCases(t, wide, hardware, (engine) => {
    const tiles = tilesOf(wide, engine.target as WebGpuTarget);
    assert.ok(tiles.size >= 3, `only ${[...tiles].join(" ")}`);
  });
}, { part: "rest" });

gpuTest("the tiles for hardware agree with the oracle, with features", async (t) => {
  const plain = { queryHeads: 2, lengthQ: 70, lengthK: 90, headDim: 64 };
  await checkCases(t, [
    defineCase({ ...plain, bias: "1hqk", biasHoles: true }),
    defineCase({ ...plain, mask: { axes: "11qk", pattern: "random" }, softcap: 4 }),
    defineCase({ ...plain, headDim: 40, valueDim: 24, keyLengths: [61], window: { left: 9 } }),
    defineCase({ ...plain, headDim: 192, valueDim: 128, dtype: "f16" }),
    defineCase({ queryHeads: 8, kvHeads: 1, lengthQ: 1, lengthK: 2000, headDim: 64 }),
    defineCase({ queryHeads: 1, lengthQ: 60, lengthK: 1600, headDim: 32, causal: true }),
  ], hardware);
}, { part: "rest" });
