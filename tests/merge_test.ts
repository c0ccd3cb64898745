/** mergeAttention(): partial results over disjoint keys become the result over all keys. */

import assert from "node:assert/strict";
import { attention, type AttentionResult, mergeAttention } from "../mod.ts";
import { assertClose } from "./assert_close.ts";
import { hostTensor } from "./backends.ts";
import { type Case, caseName, defineCase } from "./case.ts";
import { type Inputs, makeInputs } from "./inputs.ts";
import { type ExpectedResults, expectForward } from "./oracle.ts";
import type { TestTensor } from "./reference/problem.ts";
import { canonical } from "./run_grid.ts";

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
  const [first] = await attendInParts(c, inputs, 3);
  const [, ...others] = await attendInParts(c, { ...inputs, options: without }, 3);
  assertMerged(c, inputs, mergeAttention([first, ...others]), expectForward(inputs));
});

Deno.test("merging leaves out the parts that saw nothing", async () => {
  const c = defineCase({ queryHeads: 2, lengthQ: 6, lengthK: 50 });
  const inputs = makeInputs(c);
  const results = await attendInParts(c, inputs, 3);
  const hidden = { ...inputs.options, mask: { data: new Uint8Array(1), shape: [1] } };
  const nothing = await attention(inputs.q, inputs.k, inputs.v, hidden);
  const withNothing = [nothing, results[0], nothing, results[1], results[2], nothing];
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
  const [first, second, third, fourth] = await attendInParts(c, inputs, 4);
  const backwards = mergeAttention([fourth, third, second, first]);
  const pairs = mergeAttention([
    mergeAttention([first, second]),
    mergeAttention([third, fourth]),
  ]);
  assertMerged(c, inputs, backwards, want);
  assertMerged(c, inputs, pairs, want);
});

Deno.test("merging writes to none of its parts and aliases none", async () => {
  const c = defineCase({ lengthQ: 3, lengthK: 20 });
  const [part] = await attendInParts(c, makeInputs(c), 1);
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
      const from = borders[n];
      const causal = c.causal === "top-left" ? { causal: { offset: -from } } : {};
      const [k, v] = [inputs.k, inputs.v].map((tensor) => keys(tensor, c, from, to));
      return attention(inputs.q, k, v, { ...inputs.options, ...causal });
    }),
  );
}

/** Keys `from` to `to` of a packed k or v, as a strided view of the whole. */
function keys({ data, shape }: TestTensor, { layout }: Case, from: number, to: number): TestTensor {
  const rowAxis = layout === "bshd" ? 1 : 2;
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  return {
    data: data.subarray(from * strides[rowAxis]),
    shape: shape.with(rowAxis, to - from),
    strides,
  };
}

function assertMerged(
  c: Case,
  inputs: Inputs,
  merged: Pick<AttentionResult, "out" | "lse">,
  expected: ExpectedResults,
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
    [[], {}, /parts has 0 entries/],
    [part, {}, /parts is an object with out, lse but must be an array/],
  ];
  for (const [parts, options, want] of cases) {
    assert.throws(() => mergeAttention(parts as [], options as object), { message: want });
  }
});
