/** What the fuzzer has found, each by a name: errors of the language, loops without end. */
import assert from "node:assert/strict";
import {
  attention,
  attentionSync,
  captured,
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
import { any, changing } from "./odd.ts";

const tensor = (...shape: number[]) => plainTensor(1, shape);
const q = tensor(1, 4, 2, 8), k = tensor(1, 6, 2, 8);
const endless = (): number[] => new Array(2 ** 32 - 1);

function cyclic(): unknown[] {
  const array: unknown[] = [];
  array.push(array);
  return array;
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
    "sizes of problems that are holes",
    () =>
      checkGradients(any<never>(() => 0), any<never>(() => 0), {
        sizes: { lengthQ: new Array(7) },
      }),
    /sizes\.lengthQ is \[undefined.* but must be/,
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

onEngines("more than an engine can hold is refused as everything else is", (engine) => {
  assert.throws(() => engine.empty([2 ** 40]), (error: Error) => {
    assert.ok(error instanceof RangeError);
    assert.match(error.message, /^Cannot allocate 4398046511104 bytes.*: /);
    return true;
  });
  return Promise.resolve();
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
