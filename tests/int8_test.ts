/** `precision: "int8"`: within its bound of the oracle, the same bits however it is made, and refused where it is not there. */

import assert from "node:assert/strict";
import {
  type CallOptions,
  createEngine,
  type Engine,
  type HostTensor,
  UnsupportedError,
} from "../mod.ts";
import { describeForward } from "../src/problem/problem.ts";
import { WasmBackend } from "../src/wasm/backend.ts";
import { wasmSettings } from "../src/wasm/settings.ts";
import {
  type Configuration,
  hostSession,
  hostTensor,
  openGpu,
  wasmConfigurations,
} from "./backends.ts";
import { type Case, caseName, defineCase } from "./case.ts";
import { grid, smallCases } from "./grid.ts";
import { makeInputs, plainTensor } from "./inputs.ts";
import { differences, int8, k, largest, numbers, q, v } from "./int8.ts";
import { expectIntegers } from "./oracle.ts";
import { type Pass, testGrid } from "./run_grid.ts";
import { assertSameBits } from "./same_bits.ts";
import { everything } from "./selection.ts";

const pass: Pass = {
  name: "attention()",
  expect: expectIntegers,
  run: (session, inputs) => session.forward({ ...inputs, options: { ...inputs.options, ...int8 } }),
};

/** Whether a case has so few rows that they are refused. */
const isFew = ({ lengthQ, queryHeads, kvHeads }: Case) =>
  lengthQ > 0 && lengthQ <= 15 && lengthQ * queryHeads / kvHeads <= 64;

const sections = smallCases(grid).map(({ title, cases }) => ({
  title,
  cases: cases.filter((c) => !isFew(c)),
})).filter(({ cases }) => cases.length > 0);

/** Each has other tiles of integers. */
const builds: readonly Configuration[] = wasmConfigurations.slice(0, 2);

testGrid(pass, sections, builds, "in int8", "tests/int8_test.ts");

/** Dims with tails, groups of keys that begin anywhere, features, storage. */
const cases: readonly Case[] = [
  defineCase({ queryHeads: 2, lengthQ: 300, lengthK: 430, headDim: 64, causal: true }),
  defineCase({ queryHeads: 4, kvHeads: 2, lengthQ: 150, lengthK: 201, headDim: 21 }),
  defineCase({ lengthQ: 700, lengthK: 700, headDim: 8, window: { left: 70, right: 3 } }),
  defineCase({ queryHeads: 2, lengthQ: 70, lengthK: 300, headDim: 35, dtype: "bf16" }),
  defineCase({ batch: 2, queryHeads: 2, lengthQ: 67, lengthK: 130, headDim: 20, ...everything }),
  defineCase({ lengthQ: 200, lengthK: 200, headDim: 16, maskMod: "documents" }),
  defineCase({ lengthQ: 500, lengthK: 500, headDim: 64 }),
];

Deno.test("one instruction, three, and plain SIMD make the same bits of int8", () => {
  const settings = wasmSettings({ backend: "wasm", threads: 1 });
  const forms = [true, false].map((fours) => new WasmBackend({ ...settings, fours }));
  assert.deepEqual(forms.map(({ target }) => target.dots), [
    "one instruction",
    "three instructions",
  ]);
  // the tiles of plain SIMD in the relaxed build: what is not products is fused as it is there
  const plain = new WasmBackend({ ...settings, fours: false });
  Object.defineProperty(plain, "target", { value: { ...plain.target, dots: "plain SIMD" } });
  for (const c of cases) {
    const { q, k, v, options } = makeInputs(c);
    const { problem, views } = describeForward(q, k, v, { ...options as CallOptions, ...int8 });
    const [want, ...others] = [...forms, plain].map((backend) => {
      const [out, lse] = backend.runSync(problem, views)
        .map(({ tensor }) => hostTensor(tensor as HostTensor));
      return { out: out!, lse: lse! };
    });
    others.forEach((other) => assertSameBits(other, want!, caseName(c)));
  }
  [...forms, plain].forEach((backend) => backend.dispose());
});

Deno.test("int8 has the same bits on one thread, on two, on workers, and again", async () => {
  const engines = await Promise.all(
    ([{ threads: 1 }, { threads: 2 }, { threads: 1, workers: 2 }, {
      threads: 1,
      simd: "wide",
    }] as const)
      .map((options) => createEngine({ backend: "wasm", ...options })),
  );
  for (const c of cases) {
    const inputs = makeInputs(c), asked = { ...inputs, options: { ...inputs.options, ...int8 } };
    const [one, ...others] = await Promise.all(
      engines.map((engine) => hostSession(engine).forward(asked)),
    );
    for (const other of others) assertSameBits(other, one!, caseName(c));
    assertSameBits(await hostSession(engines[1]!).forward(asked), one!, `${caseName(c)}, again`);
  }
  // blocks of another height begin tiles elsewhere: sums are in another order, but of the same scores
  const c = defineCase({
    lengthQ: 900,
    lengthK: 900,
    headDim: 64,
    window: { left: 300, right: 10 },
  });
  const { q, k, v, options } = makeInputs(c), asked = { ...options as CallOptions, ...int8 };
  const [one, two] = await Promise.all(engines.map((engine) => engine.attention(q, k, v, asked)));
  assert.deepEqual(engines.slice(0, 2).map((e) => e.explain(q, k, v, asked).threads), [1, 2]);
  assert.ok(Math.max(...differences(one!.out as HostTensor, two!.out as HostTensor)) < 1e-6);
  engines.forEach((engine) => engine.dispose());
});

Deno.test("int8 is computed where it is asked for, and explain says so", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  assert.deepEqual(engine.precisions, ["f32", "int8"]);
  const plain = await engine.attention(q, k, v), asked = await engine.attention(q, k, v, int8);
  const off = Math.max(...differences(asked.out, plain.out));
  assert.ok(off > 1e-4 && off < 0.05 * largest(numbers(plain.out)), `${off}`);
  const facts = engine.explain(q, k, v, int8);
  assert.equal(facts.precision, "int8");
  assert.match(facts.dots!, /^(one instruction|three instructions|plain SIMD)$/);
  assert.equal(engine.explain(q, k, v).dots, undefined);
  using none = await createEngine({ backend: "wasm", threads: 1, simd: "plain" });
  assert.equal(none.explain(q, k, v, int8).dots, "plain SIMD");
});

Deno.test("int8 keeps a memory budget, and reads the pages of a cache", async () => {
  const long = [11, 12, 13].map((seed) => plainTensor(seed, [1, 2000, 1, 32])) as HostTensor[];
  using plenty = await createEngine({ backend: "wasm", threads: 1 });
  const want = await plenty.attention(long[0]!, long[1]!, long[2]!, int8);
  const { peakBytes } = plenty.explain(long[0]!, long[1]!, long[2]!, int8);
  using short = await createEngine({ backend: "wasm", threads: 1, memoryBudget: 2 ** 19 });
  const facts = short.explain(long[0]!, long[1]!, long[2]!, int8);
  assert.ok(facts.keyChunks > 1 && facts.peakBytes < peakBytes && facts.peakBytes <= 2 ** 19);
  const got = await short.attention(long[0]!, long[1]!, long[2]!, int8);
  // groups of keys are the same in chunks of keys: other bits come from merging alone
  assert.ok(Math.max(...differences(got.out, want.out)) < 1e-5 * largest(numbers(want.out)));
  const cache = plenty.kvCache({ sequences: 1, kvHeads: 2, headDim: 32, pageSize: 16, pages: 20 });
  cache.append(k, v);
  const paged = await plenty.attention(q, cache.keys, cache.values, int8);
  const whole = await plenty.attention(q, k, v, int8);
  assertSameBits({
    out: hostTensor(paged.out as HostTensor),
    lse: hostTensor(paged.lse as HostTensor),
  }, {
    out: hostTensor(whole.out as HostTensor),
    lse: hostTensor(whole.lse as HostTensor),
  }, "pages");
  cache.dispose();
});

Deno.test("a verified call in int8 is measured by int8", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const { verified } = await engine.attention(q, k, v, { ...int8, verify: { rows: Infinity } });
  assert.ok(verified!.error > 0.1 && verified!.error < 8, `${verified!.error}`);
});

Deno.test("what int8 is not made for is refused by name, before any work", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const refused = (what: RegExp, call: (e: Engine) => unknown) =>
    assert.rejects(async () => await call(engine), (error: Error) => {
      assert.ok(error instanceof UnsupportedError, `${error}`);
      assert.match(error.message, what);
      return true;
    });
  const one = plainTensor(4, [1, 1, 2, 32]);
  const few =
    /^precision "int8" of attention with 1 rows for each head of k is not supported by the wasm backend: .*"i8"/;
  await refused(few, (e) => e.attention(one, k, v, int8));
  await refused(few, (e) => e.explain(one, k, v, int8));
  await refused(few, (e) => e.attentionSync(one, k, v, int8));
  const saved = { q, k, v, ...await engine.attention(q, k, v) }, used = engine.memory.used;
  await refused(
    /^precision "int8" of attentionBackward/,
    (e) => e.attentionBackward(q, saved, int8),
  );
  assert.equal(engine.memory.used, used);
  await assert.rejects(
    engine.attention(q, k, v, { precision: "int4" as "int8" }),
    /^TypeError: Cannot run attention: precision is "int4" but must be "f32", "f16" or "int8"/,
  );
  const gpu = await openGpu();
  if ("absent" in gpu) return console.log(`no GPU refuses it: ${gpu.absent}`);
  assert.ok(!gpu.precisions.includes("int8"));
  await assert.rejects(
    gpu.attention(q, k, v, int8),
    /^UnsupportedError: precision "int8" of attention is not supported by the webgpu backend: leave precision out/,
  );
  gpu.dispose();
  using auto = await createEngine({ backend: "auto", allowFallbackAdapter: true, threads: 1 });
  await auto.attention(q, k, v, { precision: "f16" }).catch(() =>
    "no f16, but its GPU was looked for"
  );
  assert.ok(auto.precisions.includes("int8"));
  const { backend, reason } = auto.explain(q, k, v, int8);
  assert.equal(backend, "wasm");
  if (auto.backend === "webgpu") assert.match(reason, /precision "int8" is what the CPU has/);
});
