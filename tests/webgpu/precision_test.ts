/** `precision: "f16"`: within its bound of the oracle, refused where it is not there, and never taken unasked. */

import assert from "node:assert/strict";
import {
  attentionSync,
  createEngine,
  type Engine,
  type HostTensor,
  UnsupportedError,
} from "../../mod.ts";
import { tileClass } from "../../src/plan/webgpu/tiles.ts";
import { hostSession } from "../backends.ts";
import { type Case, caseName, defineCase } from "../case.ts";
import { plainTensor } from "../inputs.ts";
import { expectBothHalves } from "../oracle.ts";
import { bothPasses, checkCase, type Pass } from "../run_grid.ts";
import { everything } from "../selection.ts";
import { absent, forcedEngine, gpuEngine, gpuTest } from "./support.ts";

const halves = { precision: "f16" } as const;

/** One engine for all tests: each text is compiled once. */
const engine = absent ? undefined : await gpuEngine();
addEventListener("unload", () => engine?.dispose());

/** Why this machine cannot run the mode: SwiftShader has no f16. */
const lacks = absent ??
  (engine!.precisions.includes("f16") ? undefined : "the device has no shader-f16");

const gpu = (): Engine => engine!;

const pass: Pass = {
  name: "both passes",
  expect: expectBothHalves,
  run: (session, inputs) => {
    return bothPasses.run(session, { ...inputs, options: { ...inputs.options, ...halves } });
  },
};

/** Tails, masks, large scores: cases that share few kernels. */
const cases: readonly Case[] = [
  defineCase({ queryHeads: 2, lengthQ: 100, lengthK: 130, headDim: 32 }),
  defineCase({ queryHeads: 2, lengthQ: 100, lengthK: 130, headDim: 32, amplitude: 5 }),
  defineCase({ queryHeads: 2, lengthQ: 70, lengthK: 70, headDim: 32, causal: true }),
  defineCase({ lengthQ: 90, lengthK: 300, headDim: 32, window: { left: 40 }, causal: true }),
];

/** Several chunks, statistics, all features: more kernels. */
const more: readonly Case[] = [
  defineCase({ queryHeads: 4, kvHeads: 2, lengthQ: 40, lengthK: 75, headDim: 20, dtype: "f16" }),
  defineCase({ lengthQ: 64, lengthK: 97, headDim: 128, causal: true }),
  defineCase({
    ...{ queryHeads: 2, lengthQ: 60, lengthK: 70, headDim: 32 },
    ...{ stats: true, dEntropy: true, sink: true, dLse: true },
  }),
  defineCase({
    ...{ queryHeads: 4, kvHeads: 2, lengthQ: 50, lengthK: 65, headDim: 35, valueDim: 33 },
    ...everything,
  }),
];

async function checkCases(t: Deno.TestContext, cases: readonly Case[]): Promise<void> {
  const session = hostSession(gpu());
  for (const c of cases) {
    await t.step(caseName(c), async () => {
      await checkCase(pass, c, new Map([["webgpu, f16", session]]), "webgpu/precision_test.ts");
    });
  }
}

const agree = "both passes in f16 agree with the oracle within their bounds";
gpuTest(agree, (t) => checkCases(t, cases), { lacks });
gpuTest(`${agree}: more kernels`, (t) => checkCases(t, more), { lacks, part: "rest" });

const q = plainTensor(1, [1, 60, 2, 32]), k = plainTensor(2, [1, 70, 2, 32]);
const v = plainTensor(3, [1, 70, 2, 32]);

const numbers = ({ data }: HostTensor) => data as Float32Array;
const copy = ({ data, shape }: HostTensor): HostTensor => {
  return { data: Float32Array.from(data as Float32Array), shape };
};

/** Largest difference of the rows of `out`, by row of q. */
function differences(a: HostTensor, b: HostTensor): number[] {
  const columns = a.shape.at(-1)!, rows: number[] = new Array(numbers(a).length / columns).fill(0);
  numbers(a).forEach((x, n) => {
    const row = Math.floor(n / columns);
    rows[row] = Math.max(rows[row]!, Math.abs(x - numbers(b)[n]!));
  });
  return rows;
}

gpuTest("f16 is computed where it is asked for, and explain says so", async () => {
  const engine = gpu();
  const plain = attentionSync(q, k, v), f16 = await engine.attention(q, k, v, halves);
  assert.deepEqual(attentionSync(q, k, v, { precision: "f32" }), plain);
  const off = Math.max(...differences(f16.out, plain.out));
  assert.ok(off > 1e-5 && off < 1e-2, `${off}`);
  assert.equal(engine.explain(q, k, v).precision, "f32");
  const facts = engine.explain(q, k, v, halves);
  assert.equal(facts.precision, "f16");
  assert.ok(facts.scratchBytes < engine.explain(q, k, v).scratchBytes);
  assert.deepEqual(await engine.attention(q, k, v, halves), f16, "the same bits again");
}, { lacks });

gpuTest("rows with numbers that f16 does not have are computed in f32", async () => {
  const engine = gpu();
  const check = async (
    name: "q" | "k" | "v",
    at: number,
    value: number,
    rows: number[] | "all",
  ) => {
    const t = { q: copy(q), k: copy(k), v: copy(v) };
    numbers(t[name])[at] = value;
    const want = attentionSync(t.q, t.k, t.v);
    const got = await engine.attention(t.q, t.k, t.v, halves);
    const off = differences(got.out, want.out);
    const most = numbers(want.out).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    off.forEach((x, row) => {
      const heads = 2, mine = rows === "all" ? row % heads === 0 : rows.includes(row);
      assert.ok(x <= (mine ? 1e-5 : 1e-2) * most, `${name} ${value}: row ${row} is off by ${x}`);
    });
  };
  // element 5 is of head 0: of one query, or of a key and value that every query of it sees
  await check("q", 5, 1e7, [0]);
  await check("k", 5, 1e6, "all");
  await check("k", 5, -1e6, "all");
  await check("v", 5, -7e4, "all");
  const huge = copy(v);
  numbers(huge).fill(6e4); // each is a number of f16, their sums are none
  const { out } = await engine.attention(q, k, huge, halves);
  assert.ok(numbers(out).every((x) => Math.abs(x - 6e4) < 100));
}, { lacks });

gpuTest("a verified call in f16 is measured by f16", async () => {
  const engine = gpu();
  const { verified } = await engine.attention(q, k, v, { ...halves, verify: { rows: Infinity } });
  assert.ok(verified!.error > 0.1 && verified!.error < 8, `${verified!.error}`);
}, { lacks });

/** What docs/webgpu.md says of errors, in units of 1e-4: of out, relative to the largest, and of lse. */
const DOCUMENTED = [
  { data: "normal", q: 1, outliers: 1, out: 20, lse: 5 },
  { data: "spread scores", q: 5, outliers: 1, out: 50, lse: 200 },
  { data: "outlier channels", q: 1, outliers: 8, out: 130, lse: 900 },
] as const;

gpuTest("errors are those of the table in the docs", async () => {
  const engine = gpu(), shape = [1, 256, 1, 128];
  for (const row of DOCUMENTED) {
    const [q, k, v] = [5, 6, 7].map((seed) => plainTensor(seed, shape));
    numbers(q!).forEach((_, n) => numbers(q!)[n]! *= row.q);
    for (const x of [q!, k!]) {
      // two of the columns, as the keys of language models have them
      numbers(x).forEach((_, n) => [9, 70].includes(n % 128) && (numbers(x)[n]! *= row.outliers));
    }
    const want = attentionSync(q!, k!, v!), got = await engine.attention(q!, k!, v!, halves);
    const most = numbers(want.out).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    const off = Math.max(...differences(got.out, want.out)) / most;
    const lse = Math.max(...differences(
      { ...got.lse, shape: [256, 1] } as HostTensor,
      { ...want.lse, shape: [256, 1] } as HostTensor,
    ));
    const about = `${row.data}: out ${off}, lse ${lse}`;
    assert.ok(off <= row.out * 1e-4 && lse <= row.lse * 1e-4, about);
    assert.ok(off > row.out * 1e-5, about);
  }
}, { lacks, part: "rest" });

gpuTest("few rows are refused in f16, before any work", async () => {
  const engine = gpu();
  const one = plainTensor(4, [1, 1, 2, 32]), before = engine.memory.used;
  const refusal = {
    name: "UnsupportedError",
    message: /^precision "f16" of attention with 1 rows for each head of k is not supported/,
  };
  await assert.rejects(engine.attention(one, k, v, halves), refusal);
  assert.throws(() => engine.explain(one, k, v, halves), refusal);
  assert.equal(engine.memory.used, before);
}, { lacks });

gpuTest("a device without shader-f16 refuses", async () => {
  const { engine } = await forcedEngine({ target: { shaderF16: false } });
  assert.deepEqual(engine.precisions, ["f32"]);
  await assert.rejects(
    engine.attention(q, k, v, halves),
    /^UnsupportedError: precision "f16" of attention .* lacks the feature shader-f16; leave precision out/,
  );
  assert.equal(engine.explain(q, k, v).precision, "f32");
  engine.dispose();
});

Deno.test("the CPU refuses f16, by every way to it", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  assert.deepEqual(engine.precisions, ["f32", "int8", "int8-pv"]);
  const refused = (call: (e: Engine) => unknown) =>
    assert.rejects(async () => await call(engine), (error: Error) => {
      assert.ok(error instanceof UnsupportedError);
      assert.match(error.message, /precision "f16" of attention.* is not supported by .*: leave/);
      return true;
    });
  await refused((e) => e.attention(q, k, v, halves));
  await refused((e) => e.attentionSync(q, k, v, halves));
  await refused((e) => e.explain(q, k, v, halves));
  await refused(() => attentionSync(q, k, v, halves));
  const saved = { q, k, v, ...await engine.attention(q, k, v) };
  await refused((e) => e.attentionBackward(q, saved, halves));
  await engine.attentionBackward(q, saved, { precision: "f32" });
  await assert.rejects(
    engine.attention(q, k, v, { precision: "half" as "f16" }),
    /^TypeError: Cannot run attention: precision is "half" but must be "f32", "f16", "int8" or "int8-pv"/,
  );
});

Deno.test("tiles in f16 are tuned by themselves", () => {
  const sizes = { headDim: 64, valueDim: 64 };
  assert.equal(tileClass("forward", { ...sizes, ...halves }), "forward 64 64 f16");
  assert.equal(tileClass("forward", { ...sizes, precision: "f32" }), "forward 64 64");
});
