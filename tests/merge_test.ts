/** mergeAttention(): partial results over disjoint keys become the result over all keys. */

import assert from "node:assert/strict";
import { attention, type AttentionResult, type Engine, mergeAttention } from "../mod.ts";
import { assertClose } from "./assert_close.ts";
import { hostTensor } from "./backends.ts";
import { type Case, caseName, defineCase } from "./case.ts";
import { onEngines } from "./engines.ts";
import { type Inputs, makeInputs } from "./inputs.ts";
import { expectForward } from "./oracle.ts";
import type { TestTensor } from "./reference/problem.ts";
import { canonical } from "./run_grid.ts";
import { mapTuple } from "./tuples.ts";

const shapes: readonly Case[] = [
  defineCase({ lengthQ: 5, lengthK: 200, headDim: 40 }),
  defineCase({ batch: 2, queryHeads: 4, kvHeads: 2, lengthQ: 9, lengthK: 77, valueDim: 21 }),
  defineCase({ queryHeads: 2, lengthQ: 1, lengthK: 33, headDim: 64 }),
  defineCase({ batch: 3, queryHeads: 3, kvHeads: 1, lengthQ: 3, lengthK: 40, layout: "bhsd" }),
];

for (const parts of [1, 2, 3, 5, 17, 32]) {
  Deno.test(`merging ${parts} parts of the keys gives attention over all keys`, async (t) => {
    for (const c of shapes) {
      await t.step(caseName(c), async () => {
        const inputs = makeInputs(c);
        const results = await attendInParts(c, inputs, parts);
        assertMerged(
          c,
          inputs,
          mergeAttention(results, { layout: c.layout }),
          expectForward(inputs),
        );
      });
    }
  });
}

Deno.test("a sink belongs to exactly one of the parts", async () => {
  const c = defineCase({ queryHeads: 2, lengthQ: 6, lengthK: 50, sink: true });
  const inputs = makeInputs(c), { sink: _, ...without } = inputs.options;
  const withSink = await attendInParts(c, inputs, 3);
  const others = await attendInParts(c, { ...inputs, options: without }, 3);
  const parts = [...withSink.slice(0, 1), ...others.slice(1)];
  assertMerged(c, inputs, mergeAttention(parts), expectForward(inputs));
});

Deno.test("merging leaves out the parts that saw nothing", async () => {
  const c = defineCase({ queryHeads: 2, lengthQ: 6, lengthK: 50 });
  const inputs = makeInputs(c);
  const [first, ...others] = await attendInParts(c, inputs, 3);
  const hidden = { ...inputs.options, mask: { data: new Uint8Array(1), shape: [1] } };
  const nothing = await attention(inputs.q, inputs.k, inputs.v, hidden);
  const withNothing = [nothing, first!, nothing, ...others, nothing];
  assertMerged(c, inputs, mergeAttention(withNothing), expectForward(inputs));
});

Deno.test("merging rows of which each part saw only some gives every row", async () => {
  const c = defineCase({ queryHeads: 2, lengthQ: 40, causal: "top-left" });
  const inputs = makeInputs(c);
  // Most rows see nothing of the later parts: their partial lse is −∞.
  assertMerged(
    c,
    inputs,
    mergeAttention(await attendInParts(c, inputs, 5)),
    expectForward(inputs),
  );
});

Deno.test("merging only parts that saw nothing gives 0 and −∞", async () => {
  const { q, k, v } = makeInputs(defineCase({ lengthQ: 4 }));
  const nothing = await attention(q, k, v, { mask: { data: new Uint8Array(1), shape: [1] } });
  const merged = mergeAttention([nothing, nothing]);
  assert.ok(hostTensor(merged.out).data.every((value) => value === 0));
  assert.ok(hostTensor(merged.lse).data.every((value) => value === -Infinity));
});

Deno.test("merging does not depend on the order of the parts, nor on how they are grouped", async () => {
  const c = defineCase({ batch: 2, queryHeads: 2, lengthQ: 7, lengthK: 90 });
  const inputs = makeInputs(c);
  const want = expectForward(inputs);
  const parts = await attendInParts(c, inputs, 4);
  const backwards = mergeAttention(parts.toReversed());
  const pairs = mergeAttention([
    mergeAttention(parts.slice(0, 2)),
    mergeAttention(parts.slice(2)),
  ]);
  assertMerged(c, inputs, backwards, want);
  assertMerged(c, inputs, pairs, want);
});

Deno.test("merging writes to none of its parts and aliases none", async () => {
  const c = defineCase({ lengthQ: 3, lengthK: 20 });
  const { q, k, v, options } = makeInputs(c), part = await attention(q, k, v, options);
  const before = hostTensor(part.out).data.slice();
  const merged = mergeAttention([part]);
  hostTensor(merged.out).data.fill(7);
  assert.deepEqual(hostTensor(part.out).data, before);
});

/** Attention over each of `parts` runs of keys. A causal option keeps its alignment to the whole sequence. */
function attendInParts(c: Case, inputs: Inputs, parts: number): Promise<AttentionResult[]> {
  const borders = Array.from({ length: parts + 1 }, (_, n) => Math.round(n * c.lengthK / parts));
  return Promise.all(
    borders.slice(1).map((to, n) => {
      const from = borders[n]!;
      const causal = c.causal === "top-left" ? { causal: { offset: -from } } : {};
      const [k, v] = mapTuple([inputs.k, inputs.v], (tensor) => keys(tensor, c, from, to));
      return attention(inputs.q, k, v, { ...inputs.options, ...causal });
    }),
  );
}

/** Keys `from` to `to` of a packed k or v, as a strided view of the whole. */
function keys({ data, shape }: TestTensor, { layout }: Case, from: number, to: number): TestTensor {
  const rowAxis = layout === "bshd" ? 1 : 2;
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  return {
    data: data.subarray(from * strides[rowAxis]!),
    shape: shape.with(rowAxis, to - from),
    strides,
  };
}

function assertMerged(
  c: Case,
  inputs: Inputs,
  merged: Pick<AttentionResult, "out" | "lse">,
  expected: ReturnType<typeof expectForward>,
): void {
  for (const result of ["out", "lse"] as const) {
    const tensor = hostTensor(merged[result]);
    const subject = { result, configuration: "mergeAttention()", caseName: inputs.name };
    const rerun = "deno task test tests/merge_test.ts";
    const values = canonical(tensor, result, c.layout);
    // Merging rounds once more than one pass does, so the floor of one pass is counted twice.
    const want = { ...expected[result], bound: 2 * expected[result].bound };
    assertClose({ ...subject, seed: inputs.seed, rerun }, values, want, tensor.shape);
  }
}

Deno.test("bad merges are refused with the argument, its value and what was wanted", () => {
  const out = { data: new Float32Array(4), shape: [1, 1, 1, 4] };
  const part = { out, lse: { data: new Float32Array(1), shape: [1, 1, 1] } };
  const bytes = { ...part, out: { data: new Int8Array(4), shape: [1, 1, 1, 4] } };
  const cases: readonly [parts: unknown, options: unknown, want: RegExp][] = [
    [[part], null, /^Cannot run mergeAttention: options is null but must be an object/],
    [[part], { scale: 2 }, /^Cannot run mergeAttention: options has the unknown name "scale"/],
    [[part, bytes], {}, /parts\[1\]\.out of dtype "i8" is not supported/],
    [[part, { ...part, lse: out }], {}, /lse has rank 4/],
    [
      [part, { ...part, lse: { data: new Float32Array(1), shape: [1, 1, 0] } }],
      {},
      /parts\[1\]\.lse has shape \[1, 1, 0\] but \[1, 1, 1\] was wanted/,
    ],
    [
      [part, { ...part, out: { ...out, shape: [1, 1, 2, 2] } }],
      {},
      /parts\[1\]\.out has shape \[1, 1, 2, 2\] but parts\[0\]\.out has \[1, 1, 1, 4\]/,
    ],
    [[], {}, /parts has 0 entries/],
    [
      [{
        out: { data: new Float32Array(8), shape: [2 ** 31, 1, 1, 8], strides: [0, 0, 0, 1] },
        lse: { data: new Float32Array(8), shape: [2 ** 31, 1, 1], strides: [0, 0, 0] },
      }],
      {},
      /the largest tensor would have 17179869184 elements, 68719476736 bytes/,
    ],
    [part, {}, /parts is an object with out, lse but must be an array/],
  ];
  for (const [parts, options, want] of cases) {
    assert.throws(() => mergeAttention(parts as [], options as object), { message: want });
  }
});

/** A part of one row, resident. */
function rowPart(engine: Engine, out: readonly number[], lse: number) {
  return {
    out: engine.tensor(Float32Array.from(out), [1, 1, 1, out.length]),
    lse: engine.tensor(Float32Array.of(lse), [1, 1, 1]),
  };
}

/** The definition, in float64. */
function mergeRow(parts: readonly (readonly [out: readonly number[], lse: number])[]) {
  const live = parts.filter(([, lse]) => lse !== -Infinity),
    m = Math.max(...live.map(([, lse]) => lse));
  const lost = live.some(([, lse]) => Number.isNaN(lse)) ||
    live.filter(([, lse]) => lse === Infinity).length > 1;
  const weights = live.map(([, lse]) => lost ? NaN : lse === m ? 1 : Math.exp(lse - m));
  const l = weights.reduce((sum, w) => sum + w, 0);
  const out = parts[0]![0].map((_, c) =>
    live.reduce((sum, [x], p) => weights[p] === 0 ? sum : sum + weights[p]! * x[c]!, 0) /
    (l === 0 ? 1 : l)
  );
  return { out, lse: l === 0 ? -Infinity : lost ? NaN : m + Math.log(l) };
}

onEngines(
  "every lse but minus infinity is a number, at the ends of float32 too",
  async (engine) => {
    const [a, b] = [[1, 2, 3, 4, 5], [3, 4, 5, 6, 7]],
      poison = [NaN, Infinity, NaN, -Infinity, NaN];
    const f = Math.fround, lowest = -3.4028234663852886e38;
    const cases: [number[], number][][] = [
      [[poison, -Infinity], [a, 2]],
      [[a, 2], [poison, -Infinity]],
      [[poison, -Infinity], [poison, -Infinity]],
      [[a, Infinity], [b, 2]],
      [[a, 2], [b, Infinity], [a, lowest]],
      [[a, Infinity], [b, Infinity]],
      [[a, Infinity], [b, 1], [a, Infinity]],
      [[a, NaN], [b, 1]],
      [[a, 1], [b, NaN]],
      [[a, f(-1e30)], [b, f(-1e30)]],
      [[a, lowest], [b, lowest], [a, lowest]],
      [[a, lowest], [b, -1e5], [poison, -Infinity]],
      [[a, f(3e38)], [b, f(-3e38)]],
      [[a, f(3e38)], [b, f(3e38)]],
      [[a, 1e-40], [b, 0]],
    ];
    for (const columns of [4, 5]) { // in vectors and one by one
      for (const parts of cases) {
        const cut = parts.map(([out, lse]) => [out.slice(0, columns), lse] as const);
        const resident = cut.map(([out, lse]) => rowPart(engine, out, lse));
        const got = mergeAttention(resident), want = mergeRow(cut), about = Deno.inspect(cut);
        const row = [...await got.out.read("f32"), ...await got.lse.read("f32")];
        [...want.out, want.lse].forEach((x, n) => {
          const close = Object.is(row[n], x) || row[n] === x ||
            Math.abs(row[n]! - x) <= 1e-6 * Math.abs(x);
          assert.ok(close, `${about}: ${row} but want ${want.out},${want.lse}`);
        });
      }
    }
  },
);

onEngines(
  "more sequences than a GPU dispatches along an axis, and parts of all types",
  async (engine) => {
    const n = 70_000, ones = new Float32Array(n * 4).fill(1);
    const part = () => ({
      out: engine.tensor(ones, [n, 1, 1, 4]),
      lse: engine.tensor(new Float32Array(n), [n, 1, 1]),
    });
    const { out, lse } = mergeAttention([part(), part()]);
    assert.ok((await out.read()).every((x) => Math.abs(x - 1) < 1e-6));
    assert.ok((await lse.read()).every((x) => Math.abs(x - Math.LN2) < 1e-6));
    const small = (dtype: "f32" | "f16" | "bf16") => ({
      out: engine.tensor({ data: Float32Array.of(1, 2, 3, 4), shape: [1, 1, 1, 4] }, dtype),
      lse: engine.tensor(new Float32Array(1), [1, 1, 1]),
    });
    const mixed = mergeAttention([small("f32"), small("f16"), small("bf16"), small("f32")]);
    assert.deepEqual([...await mixed.out.read()], [1, 2, 3, 4]);
  },
);
