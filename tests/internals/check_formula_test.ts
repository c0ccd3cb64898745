/** What gradients are checked against is what the oracle of the tests gives, which is written apart from it. */

import assert from "node:assert/strict";
import { compute, exactResults, plainArithmetic } from "../../src/check/results.ts";
import { callOf, formulaOf, inLayout } from "../../src/check/inputs.ts";
import { gradientsOf } from "../../src/check/gradients.ts";
import type { CheckedOption, CheckedProblem } from "../../src/check/problem.ts";
import { FLOAT64 } from "../../src/check/formula.ts";
import { attentionBackwardF64, attentionF64 } from "../reference/attention_f64.ts";
import { attentionBackwardF32, attentionF32 } from "../reference/attention_f32.ts";
import {
  describeProblem,
  readOperand,
  type ReferenceOptions,
  type TestTensor,
} from "../reference/problem.ts";
import { mapTuple } from "../tuples.ts";
import type { CheckedTensor } from "../../src/check/given.ts";

const sizes = { batch: 2, queryHeads: 4, kvHeads: 2, lengthQ: 9, lengthK: 13, headDim: 5 };
const plain = { ...sizes, valueDim: 7, options: [], seed: 11 } satisfies CheckedProblem;

const together: readonly (readonly CheckedOption[])[] = [
  [],
  ...([
    ...["causal", "causalTopLeft", "window", "softmaxScale", "softcap", "alibiSlopes"] as const,
    ...["bias", "mask", "keyLengths", "sink", "dLse", "largeScores"] as const,
  ].map((option) => [option])),
  ["causal", "window", "softcap", "alibiSlopes", "bias", "mask", "keyLengths", "sink", "dLse"],
  ["causalTopLeft", "window", "keyLengths", "alibiSlopes"],
  ["causal", "keyLengths"],
  ["sink", "mask", "keyLengths"],
];

const testTensor = ({ data, shape }: CheckedTensor): TestTensor => ({ data, shape });

/** The same problem as the oracle takes it. */
function oracleOf(problem: CheckedProblem, layout: "bshd" | "bhsd") {
  const formula = formulaOf(problem, "f32");
  const hasScale = problem.options.includes("softmaxScale");
  const { q, k, v, dOut, backwardOptions } = callOf(formula, layout, hasScale);
  const { dLse, ...options } = backwardOptions;
  const described = describeProblem(
    ...mapTuple([q, k, v], testTensor),
    options as ReferenceOptions,
  );
  return {
    formula,
    described,
    dOut: readOperand(testTensor(dOut), layout),
    dLse: dLse && Float64Array.from(dLse.data),
  };
}

function assertNear(got: Float64Array, want: ArrayLike<number>, share: number, what: string): void {
  assert.equal(got.length, want.length, what);
  const largest = [...got].filter(Number.isFinite).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  got.forEach((value, n) => {
    const same = Object.is(value, want[n]) || value === want[n];
    assert.ok(
      same || Math.abs(value - want[n]!) <= share * (1 + largest),
      `${what}[${n}]: ${value}`,
    );
  });
}

for (const options of together) {
  for (const seed of [11, 12, 13]) {
    for (const shape of [{}, { lengthQ: 14, lengthK: 6 }, { kvHeads: 4 }]) {
      const problem = { ...plain, ...shape, options, seed };
      const layout = seed === 12 ? "bhsd" : "bshd";
      const size = `${seed} q${problem.lengthQ} h${problem.kvHeads}`;
      Deno.test(`the float64 formula agrees with the oracle: ${options.join(" ")} ${size}`, () => {
        const { formula, described, dOut, dLse } = oracleOf(problem, layout);
        const forward = attentionF64(described);
        const backward = attentionBackwardF64(described, forward, dOut, dLse);
        const got = exactResults(formula);
        // scores of hundreds lose three digits
        const share = options.includes("largeScores") ? 1e-11 : 1e-13;
        assertNear(got.forward.out, forward.out, share, "out");
        assertNear(got.forward.lse, forward.lse, share, "lse");
        const names = ["dq", "dk", "dv", "dBias", "dAlibiSlopes", "dSink"] as const;
        for (const name of names) {
          assert.equal(got.gradients[name] !== undefined, backward[name] !== undefined, name);
          if (backward[name]) {
            assertNear(got.gradients[name]!.values, backward[name], share, name);
          }
        }
      });
    }
  }
}

Deno.test("the plain formula in float32 is as far off as that of the tests", () => {
  for (const options of together) {
    const { formula, described, dOut, dLse } = oracleOf({ ...plain, options }, "bshd");
    const exact = exactResults(formula), own = compute(formula, plainArithmetic("f32"));
    const forward = attentionF32(described);
    const theirs = attentionBackwardF32(described, forward, dOut, dLse);
    const far = (a: ArrayLike<number>, b: Float64Array) =>
      b.reduce(
        (worst, x, n) => Number.isFinite(x) ? Math.max(worst, Math.abs(a[n]! - x)) : worst,
        0,
      );
    for (const name of ["dq", "dk", "dv"] as const) {
      const want = exact.gradients[name]!.values;
      const ours = far(own.gradients[name]!.values, want), other = far(theirs[name], want);
      const scale = want.reduce((a, b) => Math.max(a, Math.abs(b)), 0) * 2 ** -24;
      assert.ok(ours < 8 * other + 4 * scale && other < 8 * ours + 4 * scale, `${name} ${options}`);
    }
  }
});

Deno.test("a fault in a sum over rows leaves out what it says", () => {
  const formula = formulaOf({ ...plain, options: ["bias"] }, "f32");
  const whole = gradientsOf(formula, FLOAT64);
  const parts = [0, 1].map((half) =>
    gradientsOf({ ...formula, fault: { counts: (b) => b === half } }, FLOAT64)
  );
  for (const name of ["dk", "dv", "dBias"] as const) {
    const [first, second] = parts.map((part) => part[name]!.values) as [Float64Array, Float64Array];
    assertNear(whole[name]!.values, first.map((x, n) => x + second[n]!), 1e-14, name);
  }
  assert.deepEqual(parts[0]!.dq, whole.dq);
});

Deno.test("tensors lie in the layout that the call names", () => {
  const formula = formulaOf(plain, "f32");
  const { q, k } = callOf(formula, "bshd", false), other = callOf(formula, "bhsd", false);
  assert.deepEqual([q.shape, k.shape], [[2, 9, 4, 5], [2, 13, 2, 5]]);
  assert.deepEqual(other.q.shape, inLayout([2, 4, 9, 5], "bhsd"));
  assert.equal(q.data[((1 * 9 + 3) * 4 + 2) * 5 + 4], formula.q[((1 * 4 + 2) * 9 + 3) * 5 + 4]);
  assert.equal(other.q.data[123], formula.q[123]);
});
