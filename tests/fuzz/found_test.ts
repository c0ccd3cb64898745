/** What the fuzzer has found, each by a name: errors of the language, loops without end, values that were read twice. */
import assert from "node:assert/strict";
import {
  attention,
  attentionSync,
  blockMaskFromLists,
  captured,
  createEngine,
  type Engine,
  masks,
  mergeAttention,
} from "../../mod.ts";
import { memorySource } from "../../examples/llama/byte_source.ts";
import { readSafetensors } from "../../examples/llama/safetensors.ts";
import { safetensorsFile } from "../../examples/llama/testing/safetensors_file.ts";
import { randomModel } from "../../examples/llama/testing/tiny_model.ts";
import { checkGradients } from "../../src/check.ts";
import {
  fromJax,
  fromLiteRt,
  fromOnnxRuntime,
  toLiteRt,
  toOnnxRuntime,
} from "../../src/interop.ts";
import { onnxAttention } from "../../src/onnx.ts";
import { onEngines } from "../engines.ts";
import { plainTensor } from "../inputs.ts";

const tensor = (...shape: number[]) => plainTensor(1, shape);
const q = tensor(1, 4, 2, 8), k = tensor(1, 6, 2, 8);
/** Arguments that no type lets through. */
const any = <T = never>(value: unknown): T => value as T;
const endless = (): number[] => new Array(2 ** 32 - 1);

function cyclic(): unknown[] {
  const array: unknown[] = [];
  array.push(array);
  return array;
}

/** An object one of whose properties says `first` when it is asked for the first time, then something else. */
function changing<T extends object>(object: T, name: keyof T, later: unknown): T {
  let reads = 0;
  const first = object[name];
  return Object.defineProperty({ ...object }, name, { get: () => reads++ === 0 ? first : later });
}

function detached<A extends Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer>>(array: A): A {
  array.buffer.transfer();
  return array;
}

/** A view that was in range once. */
function beyond(): Float32Array {
  const buffer = new ArrayBuffer(64, { maxByteLength: 64 }), array = new Float32Array(buffer, 32);
  const fixed = new Float32Array(buffer, 32, array.length);
  buffer.resize(16);
  return fixed;
}

const refusals: readonly [about: string, run: () => unknown, wants: RegExp][] = [
  [
    "a cyclic shape",
    () => attentionSync(any<typeof q>({ data: q.data, shape: cyclic() }), k, k),
    /run atten.*shape/,
  ],
  [
    "a shape of 2^32 - 1 axes",
    () => attentionSync({ ...q, shape: endless() }, k, k),
    /q has rank 4294967295/,
  ],
  [
    "a size that is such an array",
    () => attentionSync({ ...q, shape: [1, 4, 2, any(endless())] }, k, k),
    /4294967295 in all/,
  ],
  [
    "endless key lengths",
    () => attentionSync(q, k, k, { keyLengths: endless() }),
    /keyLengths has 4294967295 entries/,
  ],
  [
    "endless statistics",
    () => attentionSync(q, k, k, { stats: any(endless()) }),
    /stats has 4294967295 entries/,
  ],
  [
    "slopes of an endless shape",
    () => attentionSync(q, k, k, { alibiSlopes: { ...q, shape: [any(endless())] } }),
    /alibiSlopes has shape/,
  ],
  [
    "key lengths that were transferred",
    () => attentionSync(q, k, k, { keyLengths: detached(new Int32Array(1)) }),
    /keyLengths has 0 entries/,
  ],
  [
    "positions that were transferred",
    () => attentionSync(q, k, k, { rotary: { positionsQ: detached(new Int32Array(4)) } }),
    /positionsQ/,
  ],
  ["values that are missing", () => attentionSync(q, k, any(undefined)), /v is undefined but must/],
  ["an array for options", () => attentionSync(q, k, k, any([])), /options is \[\]/],
  ["holes for parts", () => mergeAttention(any(new Array(2))), /parts\[0\] is undefined/],
  [
    "null for options of captured",
    () => captured(new Float32Array(1), [1], any(null)),
    /captured: options is null/,
  ],
  [
    "an endless shape of captured",
    () => captured(new Float32Array(1), endless()),
    /at most 4 axes/,
  ],
  ["ids behind a proxy", () => masks.documents(new Proxy(new Int32Array(4), {})), /ids is/],
  [
    "endless outputs",
    () => onnxAttention({ Q: q, K: k, V: k }, {}, { outputs: any<"Y"[]>(endless()) }),
    /outputs has 4294967295/,
  ],
  [
    "more problems than can be drawn",
    () => checkGradients(any<never>(() => 0), any<never>(() => 0), { problems: 2 ** 31 }),
    /problems is 2147483648/,
  ],
  [
    "an engine that is none",
    () =>
      fromOnnxRuntime(
        any("f32"),
        any({ location: "gpu-buffer", type: "float32", dims: [1], gpuBuffer: {} }),
      ),
    /fromOnnxRuntime: engine is "f32"/,
  ],
  [
    "a tensor of LiteRT without a layout",
    () =>
      fromLiteRt(
        any({ wrap() {}, disposed: false }),
        any({ toGpuBuffer() {}, accelerator: "webgpu", type: { dtype: "float32" } }),
      ),
    /dimensions is undefined/,
  ],
  [
    "a fresh array of jax-js that is none",
    () =>
      fromJax(
        any({ wrap() {}, disposed: false }),
        any({ getWebGPUDevice() {} }),
        any({ gpuBuffer() {}, ref: {} }),
      ),
    /array is/,
  ],
];

function lists() {
  return {
    ...{ lengthQ: 2, lengthK: 2, blockSize: 2 },
    full: { offsets: Int32Array.of(0, 1), columns: Int32Array.of(0) },
    partial: { offsets: Int32Array.of(0, 0), columns: new Int32Array(0) },
  };
}

for (const [about, run, wants] of refusals) {
  Deno.test(`refused with its name: ${about}`, async () => {
    await assert.rejects(async () => await run(), (error: Error) => {
      assert.match(error.message, wants);
      return true;
    });
  });
}

Deno.test("long texts and large arrays are cut short in messages", async () => {
  const long = "x".repeat(1e6), many = new Array(1e6).fill(1);
  for (const value of [long, many, { [long]: 1 }, [many, [many]]]) {
    const error = await attention(q, k, k, { layout: any(value) }).catch((error) => error);
    assert.match(error.message, /^Cannot run attention: layout is /);
    assert.ok(error.message.length < 400, `${error.message.length} characters`);
  }
});

onEngines("what a tensor says of itself is read once", async (engine) => {
  const { out } = await engine.attention(q, k, k, { causal: true, window: { left: 2 } });
  for (
    const [name, later] of [["data", null], ["shape", 7], ["strides", 3], ["dtype", 1]] as const
  ) {
    const odd = changing({ dtype: "f32", strides: [64, 16, 8, 1], ...k }, name, later);
    const window = changing({ left: 2 }, "left", "f16");
    const result = await engine.attention(q, any(odd), k, { causal: true, window });
    assert.deepEqual(result.out.data, out.data, name);
  }
});

onEngines("a tensor and an engine behind a proxy are called so", async (engine) => {
  using x = engine.tensor(k);
  const proxy = new Proxy(x, {});
  await assert.rejects(
    () => engine.attention(q, proxy, k),
    /k cannot be read.*pass the tensor itself/,
  );
  assert.throws(
    () => toLiteRt(any<never>({ Tensor: class {} }), proxy, {}),
    /tensor cannot be read/,
  );
  assert.throws(
    () => toOnnxRuntime(any({ Tensor: { fromGpuBuffer() {} } }), proxy),
    /tensor cannot be/,
  );
  const odd = new Proxy(engine, {}) as Engine;
  await assert.rejects(() => attention(q, k, k, { engine: odd }), /engine cannot be used/);
});

onEngines("a write of an array that was transferred is refused", async (engine) => {
  for (const dtype of ["f32", "f16"] as const) {
    using x = engine.tensor(new Float32Array([1, 2]), [2], dtype);
    assert.throws(() => x.write(detached(new Float32Array(2))), /data has no elements/);
    const odd = changing({ data: new Float32Array(2), shape: [2] }, "shape", 3);
    x.write(odd, [0]);
    assert.deepEqual([...await x.read("f32")], [0, 0]);
  }
});

onEngines("a write of an array that lies beyond its buffer is refused", (engine) => {
  using x = engine.empty([3, 4]);
  assert.throws(() => x.write(beyond(), 0), /data has no elements/);
  assert.throws(() => x.write({ data: beyond(), shape: [3, 0] }, [0]), /data has no elements/);
  const strided = { data: detached(new Float32Array(12)), shape: [3, 0], strides: [4, 1] };
  assert.throws(() => engine.tensor(strided), /Cannot run (tensor|write): data has no elements/);
  const view = any<never>(new DataView(new ArrayBuffer(48)));
  assert.throws(() => x.write({ data: view, shape: [3, 4] }, [0]), /data is a DataView/);
  const odd = changing({ data: new Float32Array(12), shape: [3, 4] }, "data", view);
  engine.tensor(odd).dispose();
  return Promise.resolve();
});

onEngines("a destination is looked at once, and returned as it was given", async (engine) => {
  const { out: wanted } = await engine.attention(q, k, k);
  for (const later of [1e308, null, new DataView(new ArrayBuffer(256))]) {
    const data = new Float32Array(64), out = changing({ data, shape: [1, 4, 2, 8] }, "data", later);
    const result = await engine.attention(q, k, k, { into: { out } });
    assert.equal(result.out, out);
    assert.deepEqual(data, wanted.data);
  }
});

onEngines("a state of a sequence is read once", async (engine) => {
  const options = { sequences: 2, kvHeads: 2, headDim: 8, pageSize: 4, pages: 4 };
  using cache = engine.kvCache(options);
  cache.append(tensor(1, 3, 2, 8), tensor(1, 3, 2, 8), { sequences: [0] });
  const state = await cache.export(0), { data } = state.values.rows;
  for (const name of ["length", "keys", "values"] as const) {
    const at = await cache.import(changing(state, name, new Uint8Array(64)));
    assert.deepEqual((await cache.export(at)).values.rows.data, data, name);
    cache.free(at);
  }
  using rows = engine.tensor(state.keys.rows);
  const resident = { ...state, keys: { rows: any<typeof state.keys.rows>(rows) } };
  await assert.rejects(() => cache.import(resident), /keys\.rows is resident/);
});

Deno.test("lists of blocks are read once", () => {
  assert.equal(blockMaskFromLists(changing(lists(), "partial", 7)).density, 1);
  for (const name of ["offsets", "columns"] as const) {
    const odd = { ...lists(), full: changing(lists().full, name, null) };
    assert.equal(blockMaskFromLists(odd).density, 1, name);
  }
});

onEngines("the module of a neighbour is read once", (engine) => {
  if (engine.device) {
    const x = engine.tensor(new Float32Array(4), [4]);
    const Tensor = changing({ fromGpuBuffer: () => 7 }, "fromGpuBuffer", null);
    assert.equal(toOnnxRuntime({ Tensor }, x), 7);
    x.dispose();
  }
  return Promise.resolve();
});

Deno.test("saved tensors of late interaction are read once", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const keys = { data: Int32Array.of(0, 1), shape: [1, 2] };
  const saved = { queries: tensor(2, 4), documents: tensor(3, 4), keys };
  const { dQueries } = engine.maxSimBackwardSync(tensor(1), saved);
  const odd = changing(saved, "queries", undefined);
  assert.deepEqual(engine.maxSimBackwardSync(tensor(1), odd).dQueries, dQueries);
});

onEngines("a pass that cannot record is refused before any work", (engine) => {
  if (engine.device) {
    const pass = any<never>({ dispatchWorkgroups: 1 });
    assert.throws(() => engine.encode(pass, q, k, k), /pass is .* GPUComputePassEncoder/);
  }
  return Promise.resolve();
});

Deno.test("names in files of models are cut and quoted in messages", async () => {
  const name = `\u001b[2J${"x".repeat(1e5)}`; // would clear a terminal
  const json = new TextEncoder().encode(JSON.stringify({ [name]: 1 }));
  const bytes = new Uint8Array(8 + json.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  const { config } = safetensorsFile(randomModel());
  const error = await readSafetensors(memorySource("m", bytes), config).catch((error) => error);
  assert.match(error.message, /^Cannot read m: its entry of "\\u001b\[2Jxxx.* is not a tensor/);
  assert.ok(error.message.length < 300, `${error.message.length} characters`);
});

Deno.test("a head of more channels than any has is refused before frequencies are made", async () => {
  const { bytes, config } = safetensorsFile(randomModel());
  const odd = JSON.stringify({ ...JSON.parse(config), head_dim: 2 ** 53 });
  await assert.rejects(
    () => readSafetensors(memorySource("m", bytes), odd),
    /headDim is 9007199254740992, which no model has/,
  );
});
