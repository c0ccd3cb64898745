import assert from "node:assert/strict";
import { type Case, caseName, defineCase } from "./case.ts";
import { makeInputs } from "./inputs.ts";
import { problemOf } from "./oracle.ts";
import { attentionBackwardF64, attentionF64 } from "./reference/attention_f64.ts";
import { finiteDifferences } from "./reference/finite_difference.ts";
import { readOperand, readPacked } from "./reference/problem.ts";

/** Every option of the oracle alone, and a few together. Small: each element costs two forward passes. */
const variations: readonly Partial<Case>[] = [
  {},
  { valueDim: 5 },
  { softmaxScale: 0.9 },
  { softcap: 0.7 },
  { softcap: 3, amplitude: 5 },
  { causal: true },
  { causal: "top-left" },
  { causal: { offset: -2 } },
  { causal: { offset: [3, -1] } },
  { window: { left: 1, right: 2 } },
  { window: { left: 0 }, causal: "top-left" },
  { keyLengths: [0, 4] },
  { keyLengths: [6, 1], causal: true, window: { left: 2 } },
  { mask: { axes: "b1qk", pattern: "random" } },
  { mask: { axes: "qk", pattern: "empty rows" } },
  { bias: "bhqk" },
  { bias: "1h1k" },
  { bias: "qk", biasHoles: true },
  { bias: "b11k", softcap: 2, causal: true, layout: "bhsd" },
  { arrangement: "view", layout: "bhsd" },
  { alibiSlopes: "h" },
  { alibiSlopes: "bh", causal: true, softcap: 2, bias: "qk" },
  { sink: true },
  { dropout: 0.4 },
  { dropout: 0.4, causal: true, softcap: 2, sink: true, bias: "bhqk", alibiSlopes: "h" },
  { sink: true, causal: { offset: -2 }, alibiSlopes: "h" },
  ...([
    "alibi",
    "relative",
    "softcap",
    "temperature",
    "sine",
    "buckets",
    "learned",
    "bent",
  ] as const)
    .map((scoreMod) => ({ scoreMod, amplitude: 3 })),
  { rotary: { dims: 2 } },
  { rotary: { dims: 2, interleaved: true, positions: "each" }, keyLengths: [6, 2] },
  { rotary: { dims: 2, keys: false, base: 3 }, causal: true, bias: "qk" },
  { rotary: { tables: true, positions: "shared" }, headDim: 4, layout: "bhsd", sink: true },
  { maskMod: "heads" },
  { blockMask: { made: "lists", size: [2, 3], mask: "heads" } },
  { scoreMod: "softcap", alibiSlopes: "h", bias: "1h1k", softcap: 2, maskMod: "dilated" },
];

Deno.test("the gradients of the oracle agree with central differences", async (t) => {
  for (
    const variation of variations.flatMap((v) => [
      v,
      { ...v, dLse: true, dEntropy: true },
    ])
  ) {
    const shape = { batch: 2, queryHeads: 4, kvHeads: 2, lengthQ: 4, lengthK: 6, headDim: 3 };
    const c = defineCase({ ...shape, ...variation });
    await t.step(caseName(c), () => {
      const inputs = makeInputs(c);
      const problem = problemOf(inputs);
      const dOut = readOperand(inputs.dOut, c.layout);
      const dLse = inputs.dLse && readPacked(inputs.dLse);
      const dEntropy = inputs.dEntropy && readPacked(inputs.dEntropy);
      const forward = attentionF64(problem);
      const formula = attentionBackwardF64(problem, forward, dOut, dLse, dEntropy);
      const differences = finiteDifferences(problem, dOut, dLse, dEntropy);
      for (
        const name of ["dq", "dk", "dv", "dBias", "dAlibiSlopes", "dSink", "dCaptured"] as const
      ) {
        const want = differences[name];
        const got = formula[name];
        assert.equal(got?.length, want?.length);
        want?.forEach((value, n) => {
          const error = Math.abs((got?.[n] ?? NaN) - value);
          assert.ok(error < 1e-7 * (1 + Math.abs(value)), `${name}[${n}]: ${got?.[n]}, ${value}`);
        });
      }
    });
  }
});
