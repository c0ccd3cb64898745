/** Bad calls of checkGradients are refused before any function is called. */

import assert from "node:assert/strict";
import { type CheckedBackward, type CheckedForward, checkGradients } from "../src/check.ts";
import type { Forward } from "./check_faults.ts";

const never: CheckedForward<Forward> = () => {
  throw new Error("was called");
};
const neither: CheckedBackward<Forward> = () => {
  throw new Error("was called");
};

const bad: readonly [options: unknown, error: typeof TypeError | typeof RangeError, RegExp][] = [
  [null, TypeError, /options is null but must be an object/],
  [{ tolerence: 3 }, TypeError, /options has the unknown name "tolerence", wanted one of sizes, /],
  [{ sizes: 3 }, TypeError, /sizes is 3 but must be an object/],
  [{ sizes: { heads: [1] } }, TypeError, /sizes has the unknown name "heads", wanted one of batch/],
  [{ sizes: { batch: 1 } }, TypeError, /sizes.batch is 1 but must be a list of integers from 1 to/],
  [{ sizes: { batch: [] } }, TypeError, /sizes.batch is \[\] but must be a list/],
  [{ sizes: { batch: "lengthQ" } }, TypeError, /sizes.batch is "lengthQ" but must be a list/],
  [{ sizes: { lengthK: "headDim" } }, TypeError, /but must be a list .*, or "lengthQ"/],
  [
    { sizes: { headDim: [0] } },
    RangeError,
    /sizes.headDim is \[0\] but must be a list of integers/,
  ],
  [{ sizes: { headDim: [1.5] } }, RangeError, /sizes.headDim is \[1.5\] but must be/],
  [{ options: "causal" }, TypeError, /options is "causal" but must be a list of causal, /],
  [{ options: ["casual"] }, TypeError, /options\[0\] is "casual" but must be of a list of causal/],
  [{ always: ["casual"] }, TypeError, /always\[0\] is "casual" but must be of a list of causal/],
  [{ always: ["causal", "causalTopLeft"] }, RangeError, /always is .* but must have one form of/],
  [{ problems: 0 }, RangeError, /problems is 0 but must be an integer from 1/],
  [{ problems: "all" }, TypeError, /problems is "all" but must be an integer from 1/],
  [{ seed: -1 }, RangeError, /seed is -1 but must be an integer from 0 to 2\^32 - 1/],
  [{ tolerance: 0.5 }, RangeError, /tolerance is 0.5 but must be a number from 1/],
  [{ tolerance: NaN }, RangeError, /tolerance is NaN but must be a number from 1/],
  [{ layout: "bsh" }, TypeError, /layout is "bsh" but must be one of "bshd", "bhsd"/],
  [{ storage: "f64" }, TypeError, /storage is "f64" but must be one of "f32", "f16", "bf16"/],
  [{ emptyRows: 1 }, TypeError, /emptyRows is 1 but must be one of true, false/],
  [
    { finiteDifferences: "no" },
    TypeError,
    /finiteDifferences is "no" but must be one of true, fal/,
  ],
  [{ maxFailures: 0 }, RangeError, /maxFailures is 0 but must be an integer from 1/],
  [{ throws: null, seed: 1.5 }, RangeError, /seed is 1.5 but must be an integer/],
  [{ onProblem: 3 }, TypeError, /onProblem is 3 but must be a function/],
  [{ signal: {} }, TypeError, /signal is an object with no keys but must be an AbortSignal/],
  [{ problem: 3 }, TypeError, /problem is 3 but must be what a report says, like "b2 h4/],
  [{ problem: "b2 h4" }, TypeError, /problem is "b2 h4" but must be what a report says/],
  [
    { problem: "b1 h1/1 q1 k1 d1/1 casual #1" },
    TypeError,
    /problem has the option "casual" but one of causal, .* was wanted/,
  ],
  [{ problem: "b1 h3/2 q1 k1 d1/1 #1" }, RangeError, /problem has 3 query heads but must have a/],
  [{ problem: "b1 h1/1 q0 k1 d1/1 #1" }, RangeError, /problem has lengthQ 0 but must have 1 or/],
  [{ problem: "b1 h1/1 q1 k1 d1/1 #4294967296" }, RangeError, /problem has seed 4294967296 but/],
  [
    { emptyRows: false, options: ["causal"], sizes: { lengthQ: [9], lengthK: [3] } },
    RangeError,
    /emptyRows is false but every query must see a key with causal: none of 200 problems of these/,
  ],
];

for (const [options, error, want] of bad) {
  Deno.test(`refused: ${JSON.stringify(options)}, ${want}`, async () => {
    await assert.rejects(
      () => checkGradients(never, neither, options as never),
      (thrown: Error) => {
        assert.equal(thrown.constructor, error, thrown.stack);
        assert.match(thrown.message, /^Cannot run checkGradients: /);
        assert.match(thrown.message, want);
        return true;
      },
    );
  });
}

Deno.test("both functions must be functions", async () => {
  await assert.rejects(() => checkGradients(3 as never, neither), {
    name: "TypeError",
    message: "Cannot run checkGradients: forward is 3 but must be a function",
  });
  await assert.rejects(() => checkGradients(never, undefined as never), {
    name: "TypeError",
    message: "Cannot run checkGradients: backward is undefined but must be a function",
  });
});

Deno.test("functions that return nothing are findings", async () => {
  const options = { problems: 1 };
  const nothing = await checkGradients((() => undefined) as never, neither, options);
  assert.match(
    nothing.text,
    /the forward function threw TypeError: it returned undefined but \{ out/,
  );
  const empty = await checkGradients(() => ({}) as Forward, (() => null) as never, options);
  assert.match(empty.text, /out: missing/);
  assert.match(empty.text, /the backward function threw TypeError: it returned null but \{ dq, dk/);
  const late = await checkGradients(() => Promise.reject("no GPU"), neither, options);
  assert.match(late.text, /the forward function threw "no GPU"/);
});
