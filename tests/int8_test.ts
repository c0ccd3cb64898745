/**
 * `precision: "int8"` and `"int8-pv"`: within their bounds of the oracle, the same bits however they are made, and refused where
 * they are not there.
 */

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
import { gridOfSets, smallCases } from "./grid.ts";
import { encode } from "./half.ts";
import { makeInputs, plainTensor } from "./inputs.ts";
import { both, differences, int8, int8pv, k, largest, numbers, q, v } from "./int8.ts";
import { expectIntegers } from "./oracle.ts";
import { type Pass, testGrid } from "./run_grid.ts";
import { assertSameBits } from "./same_bits.ts";
import { everything } from "./selection.ts";

/** A call of the grid in a precision, of which such products are those of integers. */
const passOf = (
  asked: typeof both[number],
  integers: Parameters<typeof expectIntegers>[1],
): Pass => ({
  name: "attention()",
  expect: (inputs) => expectIntegers(inputs, integers),
  run: (session, inputs) =>
    session.forward({ ...inputs, options: { ...inputs.options, ...asked } }),
});

/** Whether a case has so few rows that they are refused. */
const isFew = ({ lengthQ, queryHeads, kvHeads }: Case) =>
  lengthQ > 0 && lengthQ <= 15 && lengthQ * queryHeads / kvHeads <= 64;

const sections = smallCases(gridOfSets).map(({ title, cases }) => ({
  title,
  cases: cases.filter((c) => !isFew(c)),
})).filter(({ cases }) => cases.length > 0);

/** Each has other tiles of integers. */
const builds: readonly Configuration[] = wasmConfigurations.slice(1, 3);

testGrid(passOf(int8, "scores"), sections, builds, "in int8", "tests/int8_test.ts");
testGrid(
  passOf(int8pv, "scores and outputs"),
  sections,
  builds,
  "in int8-pv",
  "tests/int8_test.ts",
);

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

Deno.test("one instruction, three, and plain SIMD make the same bits", () => {
  const settings = wasmSettings({ backend: "wasm", threads: 1 });
  const forms = [true, false].map((fours) => new WasmBackend({ ...settings, fours }));
  assert.deepEqual(forms.map(({ target }) => target.dots), [
    "one instruction",
    "three instructions",
  ]);
  // the tiles of plain SIMD in the relaxed build: what is not products is fused as it is there
  const plain = new WasmBackend({ ...settings, fours: false });
  Object.defineProperty(plain, "target", { value: { ...plain.target, dots: "plain SIMD" } });
  for (const [c, asked] of cases.flatMap((c) => both.map((asked) => [c, asked] as const))) {
    const { q, k, v, options } = makeInputs(c);
    const { problem, views } = describeForward(q, k, v, { ...options as CallOptions, ...asked });
    const [want, ...others] = [...forms, plain].map((backend) => {
      const [out, lse] = backend.runSync(problem, views)
        .map(({ tensor }) => hostTensor(tensor as HostTensor));
      return { out: out!, lse: lse! };
    });
    const about = `${caseName(c)} ${asked.precision}`;
    others.forEach((other) => assertSameBits(other, want!, about));
  }
  [...forms, plain].forEach((backend) => backend.dispose());
});

/** Blocks of another height on two threads begin tiles elsewhere: sums are in another order, but of the same scores. */
const windowed = defineCase({
  lengthQ: 900,
  lengthK: 900,
  headDim: 64,
  window: { left: 300, right: 10 },
});

for (const precision of both) {
  const { precision: name } = precision;
  Deno.test(`${name} has the same bits on one thread, on two, on workers, and again`, async () => {
    const ways = [{ threads: 1 }, { threads: 2 }, { threads: 1, workers: 2 }, {
      threads: 1,
      simd: "wide",
    }] as const;
    const engines = await Promise.all(
      ways.map((options) => createEngine({ backend: "wasm", ...options })),
    );
    for (const c of cases) {
      const inputs = makeInputs(c);
      const asked = { ...inputs, options: { ...inputs.options, ...precision } };
      const [one, ...others] = await Promise.all(
        engines.map((engine) => hostSession(engine).forward(asked)),
      );
      for (const other of others) assertSameBits(other, one!, caseName(c));
      assertSameBits(await hostSession(engines[1]!).forward(asked), one!, `${caseName(c)}, again`);
    }
    const { q, k, v, options } = makeInputs(windowed);
    const asked = { ...options as CallOptions, ...precision };
    const [one, two] = await Promise.all(engines.map((engine) => engine.attention(q, k, v, asked)));
    assert.deepEqual(engines.slice(0, 2).map((e) => e.explain(q, k, v, asked).threads), [1, 2]);
    const off = Math.max(...differences(one!.out as HostTensor, two!.out as HostTensor));
    // the last bit of a score may take a weight that lies between two integers to the other one
    assert.ok(off < (name === "int8" ? 1e-6 : 2e-3), `${off}`);
    engines.forEach((engine) => engine.dispose());
  });
}

Deno.test("integers are computed with where they are asked for, and explain says so", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  assert.deepEqual(engine.precisions, ["f32", "int8", "int8-pv"]);
  const plain = await engine.attention(q, k, v);
  const [scores, outputs] = await Promise.all(both.map(async (asked) => {
    const result = await engine.attention(q, k, v, asked);
    const off = Math.max(...differences(result.out, plain.out));
    assert.ok(off > 1e-4 && off < 0.05 * largest(numbers(plain.out)), `${off}`);
    const facts = engine.explain(q, k, v, asked);
    assert.equal(facts.precision, asked.precision);
    assert.match(facts.dots!, /^(one instruction|three instructions|plain SIMD)$/);
    return result;
  }));
  // sums of weights are those of float32 in both: lse has the same bits, out has not
  assert.deepEqual(numbers(outputs!.lse), numbers(scores!.lse));
  assert.notDeepEqual(numbers(outputs!.out), numbers(scores!.out));
  assert.equal(engine.explain(q, k, v).dots, undefined);
  using none = await createEngine({ backend: "wasm", threads: 1, simd: "plain" });
  assert.equal(none.explain(q, k, v, int8).dots, "plain SIMD");
});

Deno.test("a memory budget is kept with integers, and pages of a cache are read", async () => {
  const [a, b, c] = [11, 12, 13].map((seed) => plainTensor(seed, [1, 2000, 1, 32])) as [
    HostTensor,
    HostTensor,
    HostTensor,
  ];
  using plenty = await createEngine({ backend: "wasm", threads: 1 });
  using short = await createEngine({ backend: "wasm", threads: 1, memoryBudget: 2 ** 19 });
  for (const asked of both) {
    const want = await plenty.attention(a, b, c, asked);
    const { peakBytes } = plenty.explain(a, b, c, asked), facts = short.explain(a, b, c, asked);
    assert.ok(facts.keyChunks > 1 && facts.peakBytes < peakBytes && facts.peakBytes <= 2 ** 19);
    const got = await short.attention(a, b, c, asked);
    // groups of keys are the same in chunks of keys: other bits come from merging, which may take a weight to the next integer
    const most = asked === int8 ? 1e-5 : 3e-3;
    assert.ok(Math.max(...differences(got.out, want.out)) < most * largest(numbers(want.out)));
  }
  for (const dtype of ["f32", "bf16"] as const) {
    const heads = { kvHeads: 2, headDim: 32 };
    const cache = plenty.kvCache({ sequences: 1, ...heads, pageSize: 16, pages: 20, dtype });
    cache.append(k, v);
    for (const asked of both) {
      const paged = await plenty.attention(q, cache.keys, cache.values, asked);
      const [keys, values] = [k, v].map(({ data, shape }) => {
        return { data: encode(Float64Array.from(data), dtype), shape, dtype };
      });
      const whole = await plenty.attention(q, keys!, values!, asked);
      const results = (x: typeof whole) => {
        return { out: hostTensor(x.out as HostTensor), lse: hostTensor(x.lse as HostTensor) };
      };
      assertSameBits(results(paged), results(whole), `pages of ${dtype}, ${asked.precision}`);
    }
    cache.dispose();
  }
});

Deno.test("a verified call is measured by its precision", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  for (const asked of both) {
    const { verified } = await engine.attention(q, k, v, { ...asked, verify: { rows: Infinity } });
    assert.ok(verified!.error > 0.1 && verified!.error < 8, `${verified!.error}`);
  }
});

Deno.test("what integers are not made for is refused by name, before any work", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const refused = (what: RegExp, call: (e: Engine) => unknown) =>
    assert.rejects(async () => await call(engine), (error: Error) => {
      assert.ok(error instanceof UnsupportedError, `${error}`);
      assert.match(error.message, what);
      return true;
    });
  const one = plainTensor(4, [1, 1, 2, 32]);
  const saved = { q, k, v, ...await engine.attention(q, k, v) }, used = engine.memory.used;
  for (const asked of both) {
    const named = `^precision "${asked.precision}" of attention`;
    const few = new RegExp(
      `${named} with 1 rows for each head of k is not supported by the wasm backend: .*"i8"`,
    );
    await refused(few, (e) => e.attention(one, k, v, asked));
    await refused(few, (e) => e.explain(one, k, v, asked));
    await refused(few, (e) => e.attentionSync(one, k, v, asked));
    await refused(new RegExp(`${named}Backward`), (e) => e.attentionBackward(q, saved, asked));
  }
  assert.equal(engine.memory.used, used);
  await assert.rejects(
    engine.attention(q, k, v, { precision: "int4" as "int8" }),
    /^TypeError: Cannot run attention: precision is "int4" but must be "f32", "f16", "int8" or "int8-pv"/,
  );
  const gpu = await openGpu();
  if ("absent" in gpu) return console.log(`no GPU refuses it: ${gpu.absent}`);
  for (const asked of both) {
    const { precision } = asked;
    assert.ok(!gpu.precisions.includes(precision));
    await assert.rejects(
      gpu.attention(q, k, v, asked),
      new RegExp(
        `^UnsupportedError: precision "${precision}" of attention is not supported by the webgpu backend: leave precision out`,
      ),
    );
  }
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
