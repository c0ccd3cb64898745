/** Bad calls of onnxAttention() are refused before any work, with the input or attribute, its value and what was wanted. */

import assert from "node:assert/strict";
import { createEngine } from "../mod.ts";
import { onnxAttention, type OnnxAttentionInputs } from "../src/onnx.ts";
import { plainTensor } from "./inputs.ts";

const tensor = (...shape: number[]) => plainTensor(1, shape);
const bits = (dtype: string | undefined, ...shape: number[]) => {
  const data = new Uint16Array(shape.reduce((a, b) => a * b));
  return { data, shape, ...(dtype ? { dtype } : {}) };
};
const bytes = (...shape: number[]) => ({
  data: new Uint8Array(shape.reduce((a, b) => a * b, 1)),
  shape,
});
const counts = (...n: number[]) => Int32Array.from(n);
const past = (rows: number, size = 8, valueSize = 6) => ({
  past_key: tensor(2, 2, rows, size),
  past_value: tensor(2, 2, rows, valueSize),
});

/** 4 heads over 2, 5 queries, 7 keys. */
const good = { Q: tensor(2, 4, 5, 8), K: tensor(2, 2, 7, 8), V: tensor(2, 2, 7, 6) };
const flat = { Q: tensor(2, 5, 32), K: tensor(2, 7, 16), V: tensor(2, 7, 12) };
const heads = { q_num_heads: 4, kv_num_heads: 2 };

interface Bad {
  readonly inputs?: Readonly<Record<string, unknown>>;
  readonly attributes?: unknown;
  readonly options?: unknown;
}
type Refusal = readonly [
  about: string,
  call: Bad,
  error: typeof TypeError | typeof RangeError,
  want: RegExp,
];

const badInputs: readonly Refusal[] = [
  ["no Q", { inputs: { Q: undefined } }, TypeError, /Q is undefined but must be a host tensor/],
  ["K of null", { inputs: { K: null } }, TypeError, /K is null but must be a host tensor/],
  ["an array for V", { inputs: { V: new Float32Array(4) } }, TypeError, /V.shape is undefined but/],
  ["an unknown input", { inputs: { q: good.Q } }, TypeError, /inputs has the unknown name "q", wa/],
  [
    "integers for Q",
    { inputs: { Q: { data: new Int32Array(320), shape: [2, 4, 5, 8] } } },
    ...[
      TypeError,
      /Q\.data is a Int32Array but must be a Float32Array, Float16Array or U/,
    ] as const,
  ],
  [
    "bytes for K",
    { inputs: { K: bytes(2, 2, 7, 8) } },
    ...[TypeError, /K\.data is a Uint8Array but must be a Float32Array/] as const,
  ],
  [
    "16 bits without a type",
    { inputs: { Q: bits(undefined, 2, 4, 5, 8) } },
    ...[TypeError, /Q\.dtype is undefined but a Uint16Array holds "f16" or "bf16"/] as const,
  ],
  [
    "a type that the array does not hold",
    { inputs: { Q: { ...good.Q, dtype: "f16" } } },
    ...[TypeError, /Q\.dtype is "f16" but a Float32Array holds "f32"/] as const,
  ],
  [
    "a bad size",
    { inputs: { Q: { ...good.Q, shape: [2, 4, 5, -8] } } },
    RangeError,
    /Q has shape.*-8/,
  ],
  [
    "a short array",
    { inputs: { V: { data: new Float32Array(9), shape: [2, 2, 7, 6] } } },
    ...[RangeError, /V\.data has 9 elements but shape \[2, 2, 7, 6\] needs 168/] as const,
  ],
  [
    "bad strides",
    { inputs: { K: { ...good.K, strides: [112, 56, 8, 2] } } },
    ...[RangeError, /K has innermost stride 2 but it must be 1/] as const,
  ],
  [
    "Q of rank 2",
    { inputs: { Q: tensor(5, 8) } },
    ...[TypeError, /Q has rank 2, shape \[5, 8\], but rank 4, \[batch_size, q_num_heads,/] as const,
  ],
  [
    "K of another rank",
    { inputs: { K: tensor(2, 7, 16) }, attributes: heads },
    ...[TypeError, /K has rank 3, shape \[2, 7, 16\], but Q has rank 4: one rank was w/] as const,
  ],
  [
    "K of another batch",
    { inputs: { K: tensor(3, 2, 7, 8) } },
    RangeError,
    /K has batch_size 3 but Q has batch_size 2/,
  ],
  [
    "K of another size",
    { inputs: { K: tensor(2, 2, 7, 9) } },
    RangeError,
    /K has head_size 9 but Q has head_size 8/,
  ],
  [
    "V of another length",
    { inputs: { V: tensor(2, 2, 6, 6) } },
    RangeError,
    /V has kv_sequence_length 6 but K has kv_sequence_length 7/,
  ],
  [
    "V of other heads",
    { inputs: { V: tensor(2, 1, 7, 6) } },
    RangeError,
    /V has kv_num_heads 1 but K has kv_num_heads 2/,
  ],
  [
    "V of another batch",
    { inputs: { V: tensor(1, 2, 7, 6) } },
    RangeError,
    /V has batch_size 1 but K has batch_size 2/,
  ],
  [
    "K of another type",
    { inputs: { K: bits("f16", 2, 2, 7, 8) } },
    TypeError,
    /K has dtype "f16" but Q has dtype "f32": one/,
  ],
  [
    "heads that do not divide",
    { inputs: { Q: tensor(2, 3, 5, 8) } },
    RangeError,
    /Q has q_num_heads 3 but it must be a multiple of the kv_num_heads 2 of K/,
  ],
  [
    "no kv heads",
    { inputs: { K: tensor(2, 0, 7, 8), V: tensor(2, 0, 7, 6) } },
    ...[RangeError, /Q has q_num_heads 4 but it must be a multiple of the kv_num_heads 0/] as const,
  ],
  [
    "a head size of 0",
    { inputs: { Q: tensor(2, 4, 5, 0), K: tensor(2, 2, 7, 0) } },
    ...[RangeError, /Q has head_size 0 but it must be at least 1/] as const,
  ],
  [
    "a value size of 0",
    { inputs: { V: tensor(2, 2, 7, 0) } },
    RangeError,
    /V has v_head_size 0 but it must be at/,
  ],
  [
    "past_key alone",
    { inputs: { past_key: tensor(2, 2, 3, 8) } },
    ...[
      TypeError,
      /past_value is undefined but past_key is given: both were wanted, or none/,
    ] as const,
  ],
  [
    "past_value alone",
    { inputs: { past_value: tensor(2, 2, 3, 6) } },
    ...[TypeError, /past_key is undefined but past_value is given/] as const,
  ],
  [
    "a past of rank 3",
    { inputs: { ...flat, ...past(3), past_value: tensor(2, 3, 12) }, attributes: heads },
    ...[
      TypeError,
      /past_value has rank 3, shape \[2, 3, 12\], but rank 4, \[batch_size, kv_num/,
    ] as const,
  ],
  [
    "a past of another size",
    { inputs: past(3, 9) },
    RangeError,
    /past_key has head_size 9 but K has head_size 8/,
  ],
  [
    "a past of other values",
    { inputs: past(3, 8, 8) },
    RangeError,
    /past_value has v_head_size 8 but V has v_head_size 6/,
  ],
  [
    "a past of other heads",
    { inputs: { past_key: tensor(2, 4, 3, 8), past_value: tensor(2, 4, 3, 6) } },
    ...[RangeError, /past_key has kv_num_heads 4 but K has kv_num_heads 2/] as const,
  ],
  [
    "a past of two lengths",
    { inputs: { ...past(3), past_value: tensor(2, 2, 4, 6) } },
    ...[
      RangeError,
      /past_value has past_sequence_length 4 but past_key has past_sequence_length 3/,
    ] as const,
  ],
  [
    "a past of another type",
    { inputs: { ...past(3), past_key: bits("bf16", 2, 2, 3, 8) } },
    ...[TypeError, /past_key has dtype "bf16" but K has dtype "f32": one type was wanted/] as const,
  ],
];

const mask = (attn_mask: unknown, options = {}): Bad => ({ inputs: { attn_mask }, options });
const lengths = (nonpad_kv_seqlen: unknown, inputs = {}, options = {}): Bad => ({
  inputs: { ...inputs, nonpad_kv_seqlen },
  options,
});

const badMasks: readonly Refusal[] = [
  [
    "of rank 5",
    mask(bytes(1, 2, 4, 5, 7)),
    TypeError,
    /attn_mask has rank 5, shape \[1, 2, 4, 5, 7\], but a rank from 1/,
  ],
  [
    "of rank 0",
    mask(bytes()),
    TypeError,
    /attn_mask has rank 0, shape \[\], but a rank from 1 to 4 was wanted/,
  ],
  [
    "of other queries",
    mask(bytes(4, 7)),
    RangeError,
    /attn_mask has shape \[4, 7\] but must broadcast to \[.*\] = \[2, 4, 5, 7\] \(its last/,
  ],
  ["of other heads", mask(tensor(2, 5, 7)), RangeError, /attn_mask has shape \[2, 5, 7\] but must/],
  [
    "longer than the keys",
    mask(bytes(5, 8)),
    RangeError,
    /attn_mask has shape \[5, 8\] but must br/,
  ],
  [
    "shorter in opset 23",
    mask(bytes(5, 6), { opset: 23 }),
    RangeError,
    /attn_mask has shape \[5, 6\] .*\(opset 24 lets/,
  ],
  [
    "of keys without their past",
    { inputs: { ...past(3), attn_mask: tensor(5, 11) } },
    RangeError,
    /= \[2, 4, 5, 10\]/,
  ],
  [
    "of another float",
    mask(bits("f16", 5, 7)),
    TypeError,
    /attn_mask has dtype "f16" but Q has "f32": bytes .* or floats of that/,
  ],
  [
    "of integers",
    mask({ data: new Int32Array(35), shape: [5, 7] }),
    TypeError,
    /attn_mask\.data is a Int32Array but must/,
  ],
  [
    "of another name of its type",
    mask({ ...bytes(5, 7), dtype: "f32" }),
    TypeError,
    /attn_mask\.dtype is "f32" but a Uint8Array holds "bool"/,
  ],
  [
    "of too few bytes",
    mask({ ...bytes(5, 6), shape: [5, 7] }),
    RangeError,
    /attn_mask\.data has 30 elements but/,
  ],
  [
    "that is an array",
    mask(new Uint8Array(35)),
    TypeError,
    /attn_mask\.shape is undefined but must be an/,
  ],
  ["that is true", mask(true), TypeError, /attn_mask is true but must be a host tensor/],
];

const badLengths: readonly Refusal[] = [
  [
    "of opset 23",
    lengths(counts(3, 4), {}, { opset: 23 }),
    TypeError,
    /nonpad_kv_seqlen is a Int32Array but options\.opset is 23: opset 24 was w/,
  ],
  [
    "beside a past",
    lengths(counts(3, 4), past(2)),
    TypeError,
    /nonpad_kv_seqlen is .* but past_key is given too/,
  ],
  [
    "beside present_key",
    lengths(counts(3, 4), {}, { outputs: ["Y", "present_key"] }),
    TypeError,
    /but the output present_key is given too/,
  ],
  [
    "for other sequences",
    lengths(counts(3)),
    RangeError,
    /nonpad_kv_seqlen has 1 entries but batch_size is 2/,
  ],
  [
    "above the keys",
    lengths(counts(3, 8)),
    RangeError,
    /nonpad_kv_seqlen\[1\] is 8 but must be from 0 to kv_sequence_length = 7/,
  ],
  [
    "below 0",
    lengths(BigInt64Array.of(-1n, 2n)),
    RangeError,
    /nonpad_kv_seqlen\[0\] is -1 but must be from 0/,
  ],
  [
    "above every integer",
    lengths(BigInt64Array.of(1n, 2n ** 62n)),
    RangeError,
    /\[1\] is 4611686018427387904 but/,
  ],
  [
    "above the mask",
    lengths(counts(3, 5), { attn_mask: bytes(5, 4) }),
    RangeError,
    /nonpad_kv_seqlen\[1\] is 5 but attn_mask, whose last axis is 4, must reach/,
  ],
  [
    "that are floats",
    lengths(Float32Array.of(1, 2)),
    TypeError,
    /nonpad_kv_seqlen is a Float32Array but must be a BigInt64Array or I/,
  ],
  ["that are a number", lengths(3), TypeError, /nonpad_kv_seqlen is 3 but must be/],
  [
    "in a tensor of floats",
    lengths({ data: [1, 2], shape: [2] }),
    TypeError,
    /nonpad_kv_seqlen\.data is \[1, 2\] but/,
  ],
  [
    "of rank 2",
    lengths({ data: counts(1, 2), shape: [2, 1] }),
    RangeError,
    /nonpad_kv_seqlen has shape \[2, 1\] but \[2\] w/,
  ],
];

const attribute = (attributes: unknown): Bad => ({ attributes });
const ofRank3 = (attributes: object): Bad => ({ inputs: flat, attributes });

const badAttributes: readonly Refusal[] = [
  ["none at all", attribute(null), TypeError, /attributes is null but must be an object/],
  [
    "an unknown one",
    attribute({ causal: 1 }),
    TypeError,
    /attributes has the unknown name "causal", wanted one of is_ca/,
  ],
  [
    "one of a later opset",
    attribute({ left_window_size: 2 }),
    TypeError,
    /unknown name "left_window_size"/,
  ],
  [
    "is_causal 2",
    attribute({ is_causal: 2 }),
    RangeError,
    /attribute is_causal is 2 but must be 0 or 1/,
  ],
  [
    "is_causal in words",
    attribute({ is_causal: "yes" }),
    TypeError,
    /attribute is_causal is "yes" but must be 0/,
  ],
  [
    "a mode of 4",
    attribute({ qk_matmul_output_mode: 4 }),
    RangeError,
    /attribute qk_matmul_output_mode is 4 but must be 0 \(/,
  ],
  [
    "half a mode",
    attribute({ qk_matmul_output_mode: 0.5 }),
    RangeError,
    /qk_matmul_output_mode is 0\.5 but must/,
  ],
  [
    "a scale below 0",
    attribute({ scale: -1 }),
    RangeError,
    /attribute scale is -1 but must be 0 or a finite/,
  ],
  ["a scale of NaN", attribute({ scale: NaN }), RangeError, /attribute scale is NaN but/],
  [
    "a scale in words",
    attribute({ scale: "1" }),
    TypeError,
    /attribute scale is "1" but must be a number/,
  ],
  ["a softcap below 0", attribute({ softcap: -2 }), RangeError, /attribute softcap is -2 but/],
  [
    "an infinite softcap",
    attribute({ softcap: Infinity }),
    RangeError,
    /attribute softcap is Infinity but/,
  ],
  [
    "a precision of int32",
    attribute({ softmax_precision: 6 }),
    RangeError,
    /attribute softmax_precision is 6 but must be 1 \(float\), 10/,
  ],
  [
    "a precision in words",
    attribute({ softmax_precision: "f32" }),
    TypeError,
    /softmax_precision is "f32" but must be 1/,
  ],
  [
    "no q_num_heads",
    ofRank3({ kv_num_heads: 2 }),
    TypeError,
    /attribute q_num_heads is undefined but Q, shape \[2, 5, 32\], of rank 3 needs/,
  ],
  [
    "no kv_num_heads",
    ofRank3({ q_num_heads: 4 }),
    TypeError,
    /attribute kv_num_heads is undefined but K, shape/,
  ],
  [
    "no heads",
    ofRank3({ ...heads, q_num_heads: 0 }),
    RangeError,
    /attribute q_num_heads is 0 but must be an integer >= 1/,
  ],
  [
    "half a head",
    ofRank3({ ...heads, kv_num_heads: 1.5 }),
    RangeError,
    /attribute kv_num_heads is 1\.5 but/,
  ],
  [
    "heads that do not divide Q",
    ofRank3({ ...heads, q_num_heads: 5 }),
    RangeError,
    /Q has shape \[2, 5, 32\] but its last axis must be a multiple of q_num_heads = 5/,
  ],
  [
    "heads that do not divide V",
    ofRank3({ q_num_heads: 8, kv_num_heads: 8 }),
    RangeError,
    /V has shape \[2, 7, 12\] but its last axis must be a multiple of kv_num_heads = 8/,
  ],
  [
    "heads of other sizes",
    ofRank3({ q_num_heads: 2, kv_num_heads: 2 }),
    RangeError,
    /K has head_size 8 but Q has head_size 16/,
  ],
  [
    "q_num_heads of rank 4",
    attribute({ q_num_heads: 2 }),
    RangeError,
    /attribute q_num_heads is 2 but Q, shape \[2, 4, 5, 8\], has 4 heads/,
  ],
  [
    "kv_num_heads of rank 4",
    attribute({ kv_num_heads: 4 }),
    RangeError,
    /attribute kv_num_heads is 4 but K, shape/,
  ],
];

const option = (options: unknown): Bad => ({ options });

const badOptions: readonly Refusal[] = [
  ["none at all", option(null), TypeError, /options is null but must be an object/],
  [
    "an unknown one",
    option({ output: ["Y"] }),
    TypeError,
    /options has the unknown name "output", wanted one of outputs, o/,
  ],
  ["opset 22", option({ opset: 22 }), RangeError, /options\.opset is 22 but must be 23 or 24/],
  [
    "an opset in words",
    option({ opset: "24" }),
    RangeError,
    /options\.opset is "24" but must be 23 or 24/,
  ],
  [
    "an unknown output",
    option({ outputs: ["Y", "Z"] }),
    TypeError,
    /options\.outputs names "Z" but must name some of "Y", "present_k/,
  ],
  [
    "one output",
    option({ outputs: "Y" }),
    TypeError,
    /options\.outputs is "Y" but must be an array of some/,
  ],
  ["no outputs", option({ outputs: [] }), RangeError, /options\.outputs is \[\] but must name/],
  [
    "an output twice",
    option({ outputs: ["Y", "Y"] }),
    RangeError,
    /is \["Y", "Y"\] but must name each output once/,
  ],
  [
    "no engine",
    option({ engine: {} }),
    TypeError,
    /engine is an object with no keys but must be an Engine/,
  ],
  ["no signal", option({ signal: 3 }), TypeError, /signal is 3 but must be an AbortSignal/],
];

const groups = {
  "inputs": badInputs,
  "masks": badMasks,
  "lengths": badLengths,
  "attributes": badAttributes,
  "options": badOptions,
};

for (const [group, refusals] of Object.entries(groups)) {
  Deno.test(`onnxAttention() refuses ${group} that are wrong, and says which and why`, async (t) => {
    for (const [about, { inputs, attributes = {}, options = {} }, error, want] of refusals) {
      await t.step(about, async () => {
        const given = { ...good, ...inputs } as unknown as OnnxAttentionInputs;
        await assert.rejects(
          () => onnxAttention(given, attributes as object, options as object),
          (thrown: Error) => {
            assert.match(thrown.message, want);
            assert.equal(thrown.constructor, error, thrown.stack);
            assert.match(thrown.message, /^Cannot run onnxAttention: /);
            return true;
          },
        );
      });
    }
  });
}

Deno.test("inputs that are no object are refused", async () => {
  await assert.rejects(() => onnxAttention(undefined as never), {
    name: "TypeError",
    message:
      "Cannot run onnxAttention: inputs is undefined but must be an object of inputs by name",
  });
});

Deno.test("what the operator has and flashtile has not says so, with a remedy", async () => {
  const Q = { data: new Float64Array(320), shape: [2, 4, 5, 8] } as never;
  await assert.rejects(() => onnxAttention({ ...good, Q }), {
    name: "UnsupportedError",
    message: /Q as a Float64Array \(ONNX double\) is not supported.*pass a Float32Array/,
  });
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const K = engine.tensor(good.K) as never;
  await assert.rejects(() => onnxAttention({ ...good, K }, {}, { engine }), {
    name: "UnsupportedError",
    message: /K as a resident tensor of onnxAttention is not supported.*read it into an array/,
  });
});

Deno.test("a signal ends a call, whatever it was asked for", async () => {
  const reason = new Error("enough"), signal = AbortSignal.abort(reason);
  await assert.rejects(() => onnxAttention(good, {}, { signal }), reason);
  for (const name of ["present_key", "qk_matmul_output"] as const) {
    await assert.rejects(() => onnxAttention(good, {}, { signal, outputs: [name] }), reason);
  }
  const controller = new AbortController(), x = plainTensor(5, [1, 4, 1500, 64]);
  const call = onnxAttention({ Q: x, K: x, V: x }, {}, { signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(() => call, reason);
});

Deno.test("a matrix that nothing could hold is refused with its size; Y is not", async () => {
  const row = { data: new Float32Array(1), shape: [1, 1, 2 ** 20, 1], strides: [0, 0, 0, 1] };
  const call = { Q: row, K: row, V: row };
  await assert.rejects(() => onnxAttention(call, {}, { outputs: ["qk_matmul_output"] }), {
    name: "RangeError",
    message: /1099511627776 elements.*\(qk_matmul_output is \[1, 1, 1048576, 1048576\]\)/,
  });
  const few = { ...row, shape: [1, 1, 3, 1] };
  assert.deepEqual((await onnxAttention({ ...call, Q: few })).Y.shape, [1, 1, 3, 1]);
});
