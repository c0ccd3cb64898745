/** Bad calls of what looks inside attention are refused before any work, with the argument, its value and what was wanted. */

import assert from "node:assert/strict";
import {
  attentionColumnSums,
  attentionScores,
  attentionTopKeys,
  createEngine,
  type HostTensor,
} from "../mod.ts";
import { plainTensor } from "./inputs.ts";

type Options = Record<string, unknown>;

const q = plainTensor(1, [2, 5, 4, 8]) as HostTensor,
  k = plainTensor(2, [2, 7, 2, 8]) as HostTensor;
const lse = plainTensor(3, [2, 4, 5]) as HostTensor;
const range = (name: string) =>
  new RegExp(`${name} is .* but must be a pair \\[first, end\\] with 0 <= first <= end <= `);

const scores = (options: Options, key = k) =>
  attentionScores(q, key, options as unknown as { stage: "raw" });
const topKeys = (options: Options, given: unknown = lse) =>
  attentionTopKeys(q, k, given as HostTensor, options as unknown as { count: number });
const sums = (given: unknown, options: Options = {}) =>
  attentionColumnSums(q, k, given as HostTensor, options);

const bad: readonly [
  about: string,
  call: () => Promise<unknown>,
  error: typeof TypeError | typeof RangeError,
  want: RegExp,
][] = [
  ["no options", () => scores(null as never), TypeError, /options is null but must be an object/],
  ["no stage", () => scores({}), TypeError, /stage is undefined but must be one of "raw", "soft/],
  ["an unknown stage", () => scores({ stage: "hidden" }), TypeError, /stage is "hidden" but must/],
  ["no lse", () => scores({ stage: "probabilities" }), TypeError, /lse is undefined but stage "p/],
  [
    "an lse of other queries",
    () => scores({ stage: "probabilities", lse: plainTensor(3, [2, 4, 6]) }),
    ...[RangeError, /lse has lengthQ 6 but 5 was wanted/] as const,
  ],
  [
    "an lse of another rank",
    () => scores({ stage: "probabilities", lse: plainTensor(3, [2, 5]) }),
    ...[TypeError, /lse has rank 2, shape \[2, 5\], but rank 3 was wanted/] as const,
  ],
  ["rows below 0", () => scores({ stage: "raw", rows: [-1, 2] }), RangeError, range("rows")],
  ["rows past the end", () => scores({ stage: "raw", rows: [0, 6] }), RangeError, range("rows")],
  ["rows back to front", () => scores({ stage: "raw", rows: [3, 2] }), RangeError, range("rows")],
  ["keys past the end", () => scores({ stage: "raw", keys: [7, 8] }), RangeError, range("keys")],
  ["half a key", () => scores({ stage: "raw", keys: [0, 1.5] }), RangeError, range("keys")],
  ["rows that are no pair", () => scores({ stage: "raw", rows: 3 }), TypeError, range("rows")],
  ["k of another headDim", () => scores({ stage: "raw" }, lse), TypeError, /k has rank 3/],
  ["a bad option", () => scores({ stage: "raw", softcap: "x" }), TypeError, /softcap is "x" but/],
  ["an unknown name", () => scores({ stage: "raw", count: 3 }), TypeError, /unknown name "count"/],
  [
    "a bias that does not fit",
    () => scores({ stage: "raw", bias: q }),
    RangeError,
    /bias has shape/,
  ],
  ["no count", () => topKeys({}), TypeError, /count is undefined but must be a number/],
  [
    "no keys",
    () => topKeys({ count: 0 }),
    RangeError,
    /count is 0 but must be .* 1 to lengthK = 7/,
  ],
  ["more keys than there are", () => topKeys({ count: 8 }), RangeError, /count is 8 but must be/],
  ["half a key", () => topKeys({ count: 1.5 }), RangeError, /count is 1.5 but must be an integer/],
  ["rows past the end", () => topKeys({ count: 1, rows: [5, 6] }), RangeError, range("rows")],
  ["keys as a range", () => topKeys({ count: 1, keys: [0, 2] }), TypeError, /unknown name "keys"/],
  ["no lse", () => topKeys({ count: 1 }, null), TypeError, /lse is null but must be a tensor/],
  ["no lse", () => sums(undefined), TypeError, /lse is undefined but must be that of attention/],
  ["an lse of 16 bits", () => {
    return sums({ data: new Uint16Array(40), shape: [2, 4, 5], dtype: "f16" });
  }, ...[TypeError, /lse has dtype "f16" but must be "f32"/] as const],
  ["rows", () => sums(lse, { rows: [0, 1] }), TypeError, /unknown name "rows"/],
];

for (const [about, call, error, want] of bad) {
  Deno.test(`refused: ${about}, ${want}`, async () => {
    await assert.rejects(call, (thrown: Error) => {
      assert.equal(thrown.constructor, error, thrown.stack);
      assert.match(thrown.message, /^Cannot run attention(Scores|TopKeys|ColumnSums): /);
      assert.match(thrown.message, want);
      return true;
    });
  });
}

Deno.test("a matrix that nothing could hold is refused with its size; a part of it is not", async () => {
  const long = { data: new Float32Array(1), shape: [1, 2 ** 20, 1, 1], strides: [0, 0, 0, 1] };
  await assert.rejects(() => attentionScores(long, long, { stage: "raw" }), {
    name: "RangeError",
    message: /would have 1099511627776 elements, .* \(rows \[0, 1048576\], keys \[0, 1048576\]\)/,
  });
  const part = { stage: "raw", rows: [7, 9], keys: [1048574, 1048576] } as const;
  assert.deepEqual([...(await attentionScores(long, long, part)).data], [0, 0, 0, 0]);
});

Deno.test("numbers of keys are no operand", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const [rq, rk, rl] = [engine.tensor(q), engine.tensor(k), engine.tensor(lse)];
  const { keys } = await attentionTopKeys(rq, rk, rl, { count: 7 });
  assert.equal(keys.dtype, "i32");
  assert.ok(await keys.read() instanceof Int32Array);
  assert.deepEqual(await keys.read("f32"), Float32Array.from(await keys.read()));
  await assert.rejects(() => attentionScores(keys as never, keys as never, { stage: "raw" }), {
    message: 'q of dtype "i32" is not supported by any backend: pass f32, f16 or bf16',
  });
  assert.throws(() => engine.empty([3], "i32"), /a tensor of dtype "i32" is not supported/);
});

Deno.test("packed sequences are refused by name, before any work", async () => {
  const rows = plainTensor(1, [10, 4, 8]) as HostTensor,
    keys = plainTensor(2, [14, 2, 8]) as HostTensor;
  const packed = { cuSeqlensQ: [0, 4, 10], cuSeqlensK: [0, 7, 14] };
  const want = {
    name: "UnsupportedError",
    message: /with cuSeqlensQ is not supported.*each sequence/,
  };
  await assert.rejects(() => attentionScores(rows, keys, { ...packed, stage: "raw" }), want);
  await assert.rejects(() => attentionTopKeys(rows, keys, lse, { ...packed, count: 2 }), want);
  await assert.rejects(() => attentionColumnSums(rows, keys, lse, packed), want);
});

Deno.test("a signal ends a call", async () => {
  const reason = new Error("enough"), signal = AbortSignal.abort(reason);
  await assert.rejects(() => sums(lse, { signal }), reason);
  await assert.rejects(() => topKeys({ count: 1, signal }), reason);
  await assert.rejects(() => scores({ stage: "raw", signal }), reason);
});
