/** onnxAttention() against its specification: every input, attribute, output and opset, on small problems. */

import assert from "node:assert/strict";
import { attention, createEngine, type Engine, type HostTensor } from "../mod.ts";
import {
  onnxAttention,
  type OnnxAttentionInputs,
  type OnnxLengths,
  type OnnxOpset,
  type OnnxOutputName,
} from "../src/onnx.ts";
import { assertClose } from "./assert_close.ts";
import { hostTensor } from "./backends.ts";
import { onEngines, openEngines } from "./engines.ts";
import { encode, type StorageType } from "./half.ts";
import { plainTensor } from "./inputs.ts";
import { expectOnnx } from "./onnx_oracle.ts";
import { dtypeOf } from "./oracle.ts";
import { normalNumbers, randomNumbers, seedOf } from "./random.ts";
import { readPacked, type TestTensor } from "./reference/problem.ts";
import { runTakes } from "./selection.ts";

/** A problem: two sequences, grouped heads, V of another size. */
interface OperatorCase {
  readonly about: string;
  readonly rank?: 3 | 4;
  readonly opset?: OnnxOpset;
  readonly dtype?: StorageType;
  readonly dtypeV?: StorageType;
  readonly storage?: "bits" | "Float16Array";
  readonly queryHeads?: number;
  readonly rows?: number;
  readonly keys?: number;
  /** Rows of past_key; undefined: no past. */
  readonly past?: number;
  readonly mask?: { readonly shape: readonly number[]; readonly type: "bool" | "float" };
  readonly lengths?: OnnxLengths;
  readonly attributes?: Readonly<Record<string, number>>;
  /** Not on a GPU, which compiles kernels for it. */
  readonly gpu?: false;
}

const [batch, kvHeads, headSize, valueSize] = [2, 2, 8, 6];
const outputs = ["Y", "present_key", "present_value", "qk_matmul_output"] as const;

const bool = (...shape: number[]) => ({ shape, type: "bool" }) as const;
const float = (...shape: number[]) => ({ shape, type: "float" }) as const;
const counts = (...n: number[]) => Int32Array.from(n);

/** Of 4 query heads, 5 queries and 7 keys unless it says otherwise. */
const cases: readonly OperatorCase[] = [
  { about: "the defaults" },
  { about: "the defaults of rank 3", rank: 3 },
  { about: "opset 23", opset: 23 },
  { about: "scale", attributes: { scale: 0.8 } },
  { about: "a scale of 0", attributes: { scale: 0 } },
  { about: "softcap", attributes: { softcap: 1.5 } },
  { about: "a softcap of 0", attributes: { softcap: 0 } },
  { about: "head counts of rank 4", attributes: { q_num_heads: 4, kv_num_heads: 2 } },
  { about: "is_causal is top-left without a past", attributes: { is_causal: 1 } },
  { about: "is_causal of rank 3", rank: 3, attributes: { is_causal: 1 } },
  { about: "is_causal 0", attributes: { is_causal: 0 } },
  { about: "is_causal and more queries than keys", rows: 9, keys: 4, attributes: { is_causal: 1 } },
  { about: "a past", past: 3 },
  { about: "a past of rank 3", rank: 3, past: 3 },
  { about: "a past and is_causal", past: 3, attributes: { is_causal: 1 } },
  { about: "a past and is_causal, opset 23", opset: 23, past: 3, attributes: { is_causal: 1 } },
  { about: "a past without rows", past: 0, attributes: { is_causal: 1 } },
  { about: "a past without rows, of rank 3", rank: 3, past: 0 },
  { about: "a past and no new keys", keys: 0, past: 6 },
  { about: "a decode step", rank: 3, rows: 1, keys: 1, past: 9, attributes: { is_causal: 1 } },
  { about: "no keys", keys: 0 },
  { about: "no queries", rows: 0 },
  { about: "three queries a head", queryHeads: 6, gpu: false },
  { about: "a boolean mask of rank 1", mask: bool(7) },
  { about: "a boolean mask of rank 2", mask: bool(5, 7) },
  { about: "a boolean mask of rank 3 is one for each head", mask: bool(4, 5, 7) },
  { about: "a boolean mask of rank 4", mask: bool(2, 4, 5, 7) },
  { about: "a boolean mask of rank 4 that repeats", mask: bool(2, 1, 1, 7) },
  { about: "a boolean mask of rank 4, rank 3", rank: 3, mask: bool(1, 4, 5, 7) },
  { about: "a boolean mask, opset 23", opset: 23, mask: bool(5, 7) },
  { about: "a boolean mask whose keys repeat, opset 23", opset: 23, mask: bool(5, 1) },
  { about: "a float mask whose keys repeat, opset 23", opset: 23, mask: float(4, 5, 1) },
  { about: "a boolean mask of one key, opset 24", mask: bool(5, 1) },
  { about: "a float mask of one key, opset 24", mask: float(4, 5, 1) },
  { about: "a boolean mask that is shorter than the keys", mask: bool(4, 5, 4) },
  { about: "a float mask that is shorter than the keys", mask: float(2, 1, 5, 4) },
  { about: "a float mask without keys", mask: float(5, 0) },
  { about: "a shorter mask of past and keys", past: 3, mask: bool(5, 8), rank: 3 },
  { about: "a shorter float mask, is_causal", mask: float(5, 4), attributes: { is_causal: 1 } },
  { about: "a float mask of rank 1", mask: float(7) },
  { about: "a float mask of rank 2", mask: float(5, 7) },
  { about: "a float mask of rank 3", mask: float(4, 1, 7) },
  { about: "a float mask of rank 4", rank: 3, mask: float(2, 4, 5, 7) },
  { about: "a float mask, opset 23", opset: 23, mask: float(2, 1, 5, 7) },
  { about: "a float mask and is_causal", mask: float(5, 7), attributes: { is_causal: 1 } },
  { about: "a boolean mask, is_causal", mask: bool(5, 7), attributes: { is_causal: 1 } },
  { about: "softcap before the mask", mask: float(5, 7), attributes: { softcap: 0.5 } },
  {
    about: "a past, a mask, is_causal, softcap and scale",
    ...{ past: 3, mask: float(2, 4, 5, 10), rank: 3 },
    attributes: { is_causal: 1, softcap: 2, scale: 0.7 },
  },
  { about: "nonpad_kv_seqlen", lengths: counts(7, 3) },
  { about: "nonpad_kv_seqlen of int64", lengths: BigInt64Array.of(2n, 5n) },
  { about: "nonpad_kv_seqlen of 0", lengths: counts(0, 4) },
  {
    about: "nonpad_kv_seqlen as a tensor",
    lengths: { data: BigInt64Array.of(6n, 5n), shape: [2] },
    rank: 3,
  },
  {
    about: "nonpad_kv_seqlen and is_causal: a diagonal of its own for each sequence",
    ...{ lengths: counts(7, 5), attributes: { is_causal: 1 } },
  },
  {
    about: "nonpad_kv_seqlen below the queries: the first see nothing",
    ...{ lengths: counts(2, 4), attributes: { is_causal: 1 } },
  },
  { about: "nonpad_kv_seqlen and a shorter mask", lengths: counts(4, 2), mask: float(5, 4) },
  {
    about: "nonpad_kv_seqlen, a shorter boolean mask, is_causal",
    ...{ lengths: counts(5, 3), mask: bool(2, 1, 5, 5), attributes: { is_causal: 1 } },
  },
  { about: "softmax_precision", attributes: { softmax_precision: 1 } },
  ...[10, 11, 16].map((softmax_precision) => ({
    about: `softmax_precision ${softmax_precision}`,
    attributes: { softmax_precision },
  })),
  { about: "f16", dtype: "f16", mask: float(5, 7), past: 2, attributes: { is_causal: 1 } },
  { about: "f16 of rank 3", rank: 3, dtype: "f16", mask: bool(5, 7), gpu: false },
  { about: "Float16Array", dtype: "f16", storage: "Float16Array", past: 2, mask: float(5, 9) },
  { about: "bf16", dtype: "bf16", mask: float(5, 4), lengths: counts(4, 3), gpu: false },
  { about: "V of another type", dtypeV: "f16", past: 2 },
  {
    about: "Q and K of 16 bits, V of 32",
    dtype: "bf16",
    dtypeV: "f32",
    past: 2,
    rank: 3,
    gpu: false,
  },
];

/** What a row sees least of: in each mask, the second row sees nothing. */
function makeMask(
  seed: number,
  { shape, type }: NonNullable<OperatorCase["mask"]>,
  dtype: StorageType,
): HostTensor | { data: Uint8Array; shape: readonly number[] } {
  const n = shape.reduce((a, b) => a * b, 1), random = randomNumbers(seed), keys = shape.at(-1)!;
  const rows = shape.at(-2) ?? 1;
  const hides = (n: number) => rows > 1 && Math.floor(n / keys) % rows === 1 || random() < 0.3;
  if (type === "bool") {
    return { data: Uint8Array.from({ length: n }, (_, n) => hides(n) ? 0 : 1), shape };
  }
  const values = normalNumbers(seed, n).map((x, n) => hides(n) ? -Infinity : x);
  return { data: encode(values, dtype), shape, ...(dtype === "f32" ? {} : { dtype }) };
}

/** Inputs and attributes of a case, made from its name. */
function makeCall(c: OperatorCase) {
  const { about, rank = 4, dtype = "f32", dtypeV = dtype, storage, rows = 5, keys = 7 } = c;
  const heads = c.queryHeads ?? 4, seed = seedOf(about);
  const make = (label: string, shape: number[], dtype: StorageType): TestTensor => {
    const values = normalNumbers(seedOf(`${seed} ${label}`), shape.reduce((a, b) => a * b));
    const data = encode(values, dtype, storage);
    return { data, shape, ...(data instanceof Uint16Array ? { dtype } : {}) };
  };
  const operand = (label: string, heads: number, rows: number, size: number, dtype: StorageType) =>
    make(label, rank === 3 ? [batch, rows, heads * size] : [batch, heads, rows, size], dtype);
  const inputs = {
    Q: operand("Q", heads, rows, headSize, dtype),
    K: operand("K", kvHeads, keys, headSize, dtype),
    V: operand("V", kvHeads, keys, valueSize, dtypeV),
    ...(c.past === undefined ? {} : {
      past_key: make("past_key", [batch, kvHeads, c.past, headSize], dtype),
      past_value: make("past_value", [batch, kvHeads, c.past, valueSize], dtypeV),
    }),
    ...(c.mask ? { attn_mask: makeMask(seed, c.mask, dtype) } : {}),
    ...(c.lengths ? { nonpad_kv_seqlen: c.lengths } : {}),
  } as OnnxAttentionInputs;
  const counts = rank === 3 ? { q_num_heads: heads, kv_num_heads: kvHeads } : {};
  return { inputs, attributes: { ...counts, ...c.attributes } };
}

/** Whether this run has a case on an engine. A GPU compiles for each: every other one is in a run of all. */
function taken({ backend }: Engine, c: OperatorCase): boolean {
  if (backend === "wasm") return runTakes("core");
  return c.gpu !== false && runTakes(cases.indexOf(c) % 2 === 0 ? "rest" : "all");
}

Deno.test({
  name: "onnxAttention() gives what the specification says",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(t) {
    using open = await openEngines();
    for (const c of cases) {
      await t.step(c.about, async () => {
        const { inputs, attributes } = makeCall(c), { opset = 24, lengths } = c;
        const wanted = outputs.filter((name) => !(lengths && name.startsWith("present")));
        for (const qk_matmul_output_mode of [0, 1, 2, 3]) {
          const call = { ...attributes, qk_matmul_output_mode };
          const expected = expectOnnx(inputs, call, opset);
          for (const [configuration, engine] of open.engines) {
            if (!taken(engine, c)) continue;
            const got = await onnxAttention(inputs, call, { outputs: wanted, opset, engine });
            assert.deepEqual(Object.keys(got).sort(), wanted.toSorted());
            for (const result of wanted) {
              const found = hostTensor(got[result]), want = expected[result];
              assert.deepEqual([found.shape, dtypeOf(found)], [[...want.shape], want.dtype]);
              const subject = { result: `${result}, mode ${qk_matmul_output_mode},`, seed: 0 };
              const rerun = "deno task test tests/onnx_operator_test.ts";
              assertClose(
                { ...subject, configuration, caseName: c.about, rerun },
                readPacked(found),
                want,
                found.shape,
              );
            }
          }
        }
      });
    }
  },
});

/** A test of what is the same on every engine. */
function onCpu(name: string, fn: (engine: Engine) => Promise<void>): void {
  Deno.test(name, async () => {
    using engine = await createEngine({ backend: "wasm", threads: 1 });
    await fn(engine);
  });
}

const simple = () => makeCall({ about: "simple" }).inputs;

onEngines("outputs are those that were asked for, and copies", async (engine) => {
  const inputs = simple(), only = { is_causal: 1 };
  assert.deepEqual(Object.keys(await onnxAttention(inputs, only, { engine })), ["Y"]);
  assert.deepEqual(Object.keys(await onnxAttention(inputs)), ["Y"]); // the engine that all share
  for (const name of outputs) {
    const got = await onnxAttention(inputs, only, { engine, outputs: [name] });
    assert.deepEqual(Object.keys(got), [name]);
  }
  const { present_key } = await onnxAttention(inputs, {}, { engine, outputs: ["present_key"] });
  assert.deepEqual(present_key.data, inputs.K.data);
  assert.notEqual(present_key.data.buffer, inputs.K.data.buffer);
}, "rest");

onCpu("results have the kind of array of their inputs", async (engine) => {
  const call = (storage: "bits" | "Float16Array") =>
    makeCall({ about: "kinds", dtype: "f16", dtypeV: "f32", storage }).inputs;
  for (const [storage, kind] of [["bits", Uint16Array], ["Float16Array", Float16Array]] as const) {
    const got = await onnxAttention(call(storage), {}, { engine, outputs });
    for (const name of ["Y", "present_key", "qk_matmul_output"] as const) {
      assert.ok(got[name].data instanceof kind, name);
    }
    assert.ok(got.present_value.data instanceof Float32Array);
  }
});

onEngines(
  "integers may be bigints, is_causal a boolean, missing ones undefined",
  async (engine) => {
    const { inputs } = makeCall({ about: "integers", rank: 3 });
    const numbers = { q_num_heads: 4, kv_num_heads: 2, is_causal: 1, qk_matmul_output_mode: 2 };
    const bigints = { q_num_heads: 4n, kv_num_heads: 2n, is_causal: 1n, qk_matmul_output_mode: 2n };
    const options = { engine, outputs: ["Y", "qk_matmul_output"] as const };
    const want = await onnxAttention(inputs, numbers, options);
    assert.deepEqual(await onnxAttention(inputs, bigints, options), want);
    const loose = { ...numbers, is_causal: true, scale: undefined, softcap: undefined };
    const more = { ...inputs, attn_mask: undefined, past_key: undefined, past_value: undefined };
    assert.deepEqual(await onnxAttention(more, loose, { ...options, opset: undefined }), want);
  },
  "rest",
);

onCpu("strides of inputs and masks", async (engine) => {
  for (const rank of [3, 4] as const) {
    const c = { about: "strides", rank, past: 2, mask: bool(5, 9) };
    const { inputs, attributes } = makeCall(c),
      want = await onnxAttention(inputs, attributes, { engine });
    const wide = Object.entries(inputs).map(([name, tensor]) => [name, spread(tensor)]);
    const got = await onnxAttention(Object.fromEntries(wide), attributes, { engine });
    assert.deepEqual(got, want);
  }
});

/** The same numbers in rows that have a gap behind them. */
function spread({ data, shape }: { data: Float32Array | Uint8Array; shape: number[] }) {
  const width = shape.at(-1)!, apart = width + 3, rows = data.length / width;
  const wide = data instanceof Float32Array
    ? new Float32Array(rows * apart).fill(NaN)
    : new Uint8Array(rows * apart).fill(1);
  for (let n = 0; n < data.length; n++) {
    wide[Math.floor(n / width) * apart + n % width] = data[n]!;
  }
  const strides = shape.map((_, axis) =>
    shape.slice(axis + 1).reduce((a, b, n, { length }) => a * (n === length - 1 ? apart : b), 1)
  );
  return { data: wide, shape, strides };
}

onEngines("what is hidden has no effect, whatever it holds", async (engine) => {
  const { inputs } = makeCall({ about: "hidden", mask: bool(5, 4) });
  const { Y: want } = await onnxAttention(inputs, {}, { engine });
  const poisoned = (tensor: HostTensor, size: number) => {
    const data = Float32Array.from(
      tensor.data as Float32Array,
      (x, n) => Math.floor(n / size) % 7 >= 4 ? [NaN, Infinity, -Infinity][n % 3]! : x,
    );
    return { data, shape: tensor.shape };
  };
  const more = { ...inputs, K: poisoned(inputs.K, headSize), V: poisoned(inputs.V, valueSize) };
  const options = { engine, outputs: ["Y", "qk_matmul_output"] as const };
  const got = await onnxAttention(more, { qk_matmul_output_mode: 3 }, options);
  assert.deepEqual(got.Y, want);
  const row = got.qk_matmul_output.data as Float32Array;
  assert.deepEqual([...row.subarray(7, 14)], [0, 0, 0, 0, 0, 0, 0]); // the second query sees nothing
}, "rest");

onCpu("a cache that grows gives what the whole gives", async (engine) => {
  const whole = makeCall({ about: "cache", rows: 7 }).inputs, attributes = { is_causal: 1 };
  const { Y } = await onnxAttention(whole, attributes, { engine });
  const rowsOf = (tensor: HostTensor, n: number): HostTensor => {
    const [b, h, length, dim] = tensor.shape as [number, number, number, number];
    const data = (tensor.data as Float32Array).subarray(n * dim);
    return { data, shape: [b, h, 1, dim], strides: [h * length * dim, length * dim, dim, 1] };
  };
  let past: { past_key?: HostTensor; past_value?: HostTensor } = {};
  for (let n = 0; n < 7; n++) {
    const [Q, K, V] = [rowsOf(whole.Q, n), rowsOf(whole.K, n), rowsOf(whole.V, n)];
    const step = await onnxAttention({ Q, K, V, ...past }, attributes, {
      ...{ engine, outputs: ["Y", "present_key", "present_value"] },
    });
    past = { past_key: step.present_key, past_value: step.present_value };
    const want = readPacked(rowsOf(Y, n) as TestTensor);
    readPacked(step.Y as TestTensor).forEach((x, at) => assert.ok(Math.abs(x - want[at]!) < 2e-6));
  }
  assert.deepEqual(past.past_key!.data, whole.K.data);
});

Deno.test("rank 3 is layout bshd, and nothing else", async () => {
  const { inputs, attributes } = makeCall({ about: "layouts", rank: 3 });
  const { Y } = await onnxAttention(inputs, attributes);
  const four = ({ data, shape }: HostTensor, heads: number) => ({
    data,
    shape: [shape[0]!, shape[1]!, heads, shape[2]! / heads],
  });
  const { out } = await attention(four(inputs.Q, 4), four(inputs.K, 2), four(inputs.V, 2));
  assert.deepEqual(Y.data, out.data);
});

Deno.test("a call without its matrix takes no memory of that size", async () => {
  const length = 20_000, x = plainTensor(1, [1, 1, length, 1]); // 1.6 GB of scores
  using engine = await createEngine({ backend: "wasm", threads: 1, memoryBudget: 16 << 20 });
  const inputs = { Q: plainTensor(2, [1, 1, 64, 1]), K: x, V: x, past_key: x, past_value: x };
  const names: readonly OnnxOutputName[] = ["Y", "present_key"];
  const got = await onnxAttention(inputs, { is_causal: 1 }, { engine, outputs: names });
  assert.deepEqual(got.present_key.shape, [1, 1, 2 * length, 1]);
  assert.ok(engine.memory.peak < 16 << 20);
});
