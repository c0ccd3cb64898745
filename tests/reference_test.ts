/** The oracle itself, on examples small enough to compute by hand. */

import assert from "node:assert/strict";
import { defineCase } from "./case.ts";
import { bf16ToNumber, decode, encode, numberToBf16 } from "./half.ts";
import { makeInputs } from "./inputs.ts";
import { problemOf } from "./oracle.ts";
import { attentionF32 } from "./reference/attention_f32.ts";
import { attentionBackwardF64, attentionF64, type ForwardF64 } from "./reference/attention_f64.ts";
import { keptPairs, philox4x32 } from "./reference/dropout.ts";
import { describeProblem, type ReferenceOptions, type TestTensor } from "./reference/problem.ts";
import { maxError } from "./tolerance.ts";

function tensor(shape: readonly number[], values: readonly number[]): TestTensor {
  return { data: Float32Array.from(values), shape };
}

/** One head of one-dimensional queries and keys, with scores q·k and values 1, 10, 100, … */
function oneDimensional(
  queries: readonly number[],
  keys: readonly number[],
  options: ReferenceOptions = {},
): ForwardF64 {
  const q = tensor([1, queries.length, 1, 1], queries);
  const k = tensor([1, keys.length, 1, 1], keys);
  const v = tensor([1, keys.length, 1, 1], keys.map((_, j) => 10 ** j));
  return attentionF64(describeProblem(q, k, v, options));
}

/** The keys each query sees, as text: "110" sees the first two of three. */
function visibility(lengthQ: number, lengthK: number, options: ReferenceOptions): string[] {
  const { visible } = oneDimensional(Array(lengthQ).fill(0), Array(lengthK).fill(0), options);
  return Array.from(
    { length: lengthQ },
    (_, i) => visible.subarray(i * lengthK, (i + 1) * lengthK).join(""),
  );
}

function near(got: number, want: number): void {
  assert.ok(Math.abs(got - want) < 1e-12 * (1 + Math.abs(want)), `${got} is not ${want}`);
}

Deno.test("the oracle computes a softmax of two scores", () => {
  const { out, lse } = oneDimensional([1], [Math.fround(0.5), 0]);
  const e = Math.exp(0.5);
  near(out[0]!, (e + 10) / (e + 1));
  near(lse[0]!, Math.log(e + 1));
});

Deno.test("the oracle applies scale, then softcap, then bias", () => {
  const bias = tensor([2], [0.25, 0]);
  const { scores } = oneDimensional([3], [2, 1], { softmaxScale: 0.5, softcap: 2, bias });
  near(scores[0]!, 2 * Math.tanh(1.5) + 0.25);
  near(scores[1]!, 2 * Math.tanh(0.75));
});

Deno.test("the oracle aligns causal masks and windows as the contract says", () => {
  assert.deepEqual(visibility(2, 4, { causal: true }), ["1110", "1111"]);
  assert.deepEqual(visibility(2, 4, { causal: "bottom-right" }), ["1110", "1111"]);
  assert.deepEqual(visibility(2, 4, { causal: "top-left" }), ["1000", "1100"]);
  assert.deepEqual(visibility(2, 4, { causal: { offset: -1 } }), ["0000", "1000"]);
  assert.deepEqual(visibility(3, 1, { causal: true }), ["0", "0", "1"]);
  assert.deepEqual(visibility(2, 4, { window: { left: 1, right: 0 } }), ["0110", "0011"]);
  assert.deepEqual(visibility(2, 4, { window: { left: 0 }, causal: "top-left" }), ["1000", "0100"]);
  assert.deepEqual(visibility(2, 4, { window: { left: 0 } }), ["0011", "0001"]);
  const keyLengths = Int32Array.of(3);
  assert.deepEqual(visibility(2, 4, { keyLengths }), ["1110", "1110"]);
  assert.deepEqual(visibility(2, 4, { keyLengths, causal: true }), ["1100", "1110"]);
  assert.deepEqual(visibility(2, 4, { keyLengths, causal: { offset: Int32Array.of(2) } }), [
    "1110",
    "1110",
  ]);
});

Deno.test("the oracle gives 0 and −∞ where nothing is visible", () => {
  const mask = { data: new Uint8Array(2), shape: [2] };
  const { out, lse } = oneDimensional([1], [NaN, Infinity], { mask });
  assert.deepEqual([out[0], lse[0]], [0, -Infinity]);
  const empty = oneDimensional([1, 2], []);
  assert.deepEqual([...empty.out, ...empty.lse], [0, 0, -Infinity, -Infinity]);
});

Deno.test("the oracle takes the limit at one infinite score and has none at two", () => {
  const one = oneDimensional([1], [3, Infinity, 5]);
  assert.deepEqual([one.out[0], one.lse[0]], [10, Infinity]);
  const two = oneDimensional([1], [Infinity, Infinity, 5]);
  assert.deepEqual([two.out[0], two.lse[0]], [NaN, NaN]);
});

Deno.test("the oracle lets NaN reach only the rows that see it", () => {
  const { out } = oneDimensional([1, 1, 1], [1, NaN, 1], { causal: true });
  assert.deepEqual([...out], [1, NaN, NaN]);
});

Deno.test("the oracle computes the gradients of two equal scores by hand", () => {
  // p = ½, ½; v = 1, 10; dOut = 2: dp = 2, 20; delta = 11; ds = ∓4.5.
  const q = tensor([1, 1, 1, 1], [3]);
  const k = tensor([1, 2, 1, 1], [7, 7]);
  const v = tensor([1, 2, 1, 1], [1, 10]);
  const problem = describeProblem(q, k, v, { softmaxScale: 1, bias: tensor([2], [0, 0]) });
  const gradients = attentionBackwardF64(problem, attentionF64(problem), Float64Array.of(2));
  assert.deepEqual([...gradients.dv], [1, 1]);
  assert.deepEqual([...gradients.dk], [-13.5, 13.5]);
  assert.deepEqual([...gradients.dq], [0]);
  assert.deepEqual([...gradients.dBias ?? []], [-4.5, 4.5]);
});

Deno.test("the generator of dropout gives what its authors' tests have", () => {
  const hex = (words: string) => words.split(" ").map((word) => parseInt(word, 16));
  for (
    const [counter, key, want] of [ // kat_vectors of Random123, philox4x32 with 10 rounds
      ["0 0 0 0", "0 0", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"],
      [
        "ffffffff ffffffff ffffffff ffffffff",
        "ffffffff ffffffff",
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
      ],
      [
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
      ],
    ] as const
  ) {
    assert.deepEqual(philox4x32(hex(counter), hex(key)), hex(want));
  }
});

Deno.test("the oracle drops pairs after the softmax, and scales the others", () => {
  const dropout = { probability: 0.5, seed: 1 };
  const { out, lse, probabilities } = oneDimensional([0], Array(8).fill(0), { dropout });
  const kept = keptPairs(dropout, [1, 1, 1, 8]);
  near(lse[0]!, Math.log(8));
  near(probabilities[0]!, 1 / 8);
  near(out[0]!, kept.reduce((sum, bit, j) => sum + 2 * bit * 10 ** j / 8, 0));
});

Deno.test("the oracle reads layouts and strides to the same problem", () => {
  const shape = { batch: 2, queryHeads: 4, kvHeads: 2, lengthQ: 5, lengthK: 7, headDim: 3 };
  for (const layout of ["bshd", "bhsd"] as const) {
    for (const arrangement of ["padded rows", "transposed", "view"] as const) {
      const { q, k, v, options } = makeInputs(defineCase({ ...shape, layout, arrangement }));
      const { out } = attentionF64(describeProblem(q, k, v, options));
      assert.ok(out.every(Number.isFinite), "read an element between the rows");
    }
  }
});

Deno.test("the plain f32 formula is off by roundings, not by more", () => {
  const problem = problemOf(makeInputs(defineCase({ lengthQ: 65, lengthK: 129, causal: true })));
  const error = maxError(attentionF32(problem).out, attentionF64(problem).out);
  assert.ok(error > 0 && error < 2e-6, `${error}`);
});

Deno.test("16-bit formats round to nearest even and read back", () => {
  assert.equal(bf16ToNumber(0x3f80), 1);
  assert.equal(numberToBf16(1 + 2 ** -8), 0x3f80);
  assert.equal(numberToBf16(1 + 3 * 2 ** -8), 0x3f82);
  assert.equal(bf16ToNumber(numberToBf16(NaN)), NaN);
  assert.equal(bf16ToNumber(numberToBf16(-Infinity)), -Infinity);
  assert.deepEqual([...decode(encode(Float64Array.of(0.5, -2), "f16"), "f16")], [0.5, -2]);
});
