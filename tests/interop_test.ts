/**
 * Tensors of other libraries, by stand-ins that have what is asked of them: types, shapes, ownership, and every error.
 * The libraries themselves run in tests/interop.
 */

import assert from "node:assert/strict";
import { createEngine, type Engine, type Tensor } from "../mod.ts";
import {
  fromJax,
  fromLiteRt,
  fromOnnxRuntime,
  type JaxArray,
  type LiteRtTensor,
  type OnnxRuntimeBufferOptions,
  type OnnxRuntimeTensor,
  toLiteRt,
  toOnnxRuntime,
} from "../src/interop.ts";
import { openGpu } from "./backends.ts";

/** What `toOnnxRuntime` gave to ONNX Runtime. */
const ort = {
  Tensor: {
    fromGpuBuffer: (buffer: object, options: OnnxRuntimeBufferOptions) => ({ buffer, options }),
  },
};

/** What `toLiteRt` gave to LiteRT.js. */
class LiteRtStandIn {
  constructor(
    readonly buffer: object,
    readonly shape: readonly number[],
    readonly dtype: string,
    readonly environment: object | undefined,
    readonly onDelete: () => void,
  ) {}
}
const litert = { Tensor: LiteRtStandIn };

const shape = [1, 6, 2, 4], bytes = 48 * 4;

/** Stand-ins whose buffer is that of a tensor; `change` says what is different. */
function standIns(device: object, tensor: { readonly buffer?: unknown }) {
  const gpuBuffer = tensor.buffer as OnnxRuntimeTensor["gpuBuffer"];
  const buffer = gpuBuffer as ReturnType<LiteRtTensor["toGpuBuffer"]>;
  const onnx = (change: object = {}): OnnxRuntimeTensor => ({
    ...{ location: "gpu-buffer", type: "float32", dims: shape, gpuBuffer },
    ...change,
  });
  const lite = (change: object = {}): LiteRtTensor => ({
    accelerator: "webgpu",
    type: { dtype: "float32", layout: { dimensions: Int32Array.from(shape) } },
    environment: { webGpuDevice: device },
    toGpuBuffer: () => buffer,
    ...change,
  });
  const array = (change: object = {}): JaxArray => {
    const one: JaxArray = {
      ...{ device: "webgpu", dtype: "float32", shape },
      get ref() {
        return one;
      },
      gpuBuffer: () => Promise.resolve(buffer),
      ...change,
    };
    return one;
  };
  return { onnx, lite, array, jax: { getWebGPUDevice: () => device } };
}

function onGpu(name: string, fn: (engine: Engine) => Promise<void>): void {
  Deno.test({
    name,
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      const engine = await openGpu();
      if ("absent" in engine) return console.log(`not run on webgpu: ${engine.absent}`);
      await fn(engine).finally(() => engine.dispose());
    },
  });
}

onGpu("tensors of other libraries are views of their buffers, of their types", async (engine) => {
  const values = Float32Array.from({ length: 48 }, (_, n) => n);
  using source = engine.tensor(values, shape);
  const { onnx, lite, array, jax } = standIns(engine.device!, source);
  const half = { type: "float16", dtype: "float16" }, held = engine.memory.used;
  const [f32, f16] = [
    [
      fromOnnxRuntime(engine, onnx()),
      fromLiteRt(engine, lite()),
      await fromJax(engine, jax, array()),
    ],
    [fromOnnxRuntime(engine, onnx(half)), await fromJax(engine, jax, array(half))],
  ];
  for (const tensor of f32) {
    assert.deepEqual([tensor.shape, tensor.dtype], [shape, "f32"]);
    assert.deepEqual(await tensor.read(), values);
    tensor.dispose();
  }
  for (const tensor of f16) assert.deepEqual([tensor.shape, tensor.dtype], [shape, "f16"]);
  assert.equal(engine.memory.used, held);
  assert.deepEqual(await source.read(), values, "the source is there as before");
});

onGpu("results are whole buffers of the same type, and go with their tensors", (engine) => {
  const held = engine.memory.used, x = engine.empty(shape), y = engine.empty(shape, "f16");
  const first = toOnnxRuntime(ort, x), second = toOnnxRuntime(ort, y);
  assert.equal(first.buffer, x.buffer);
  assert.deepEqual([first.options.dataType, first.options.dims], ["float32", shape]);
  assert.equal(second.options.dataType, "float16");
  first.options.dispose();
  second.options.dispose();
  assert.ok(x.disposed && y.disposed);

  const z = engine.empty(shape), environment = {}, third = toLiteRt(litert, z, environment);
  assert.deepEqual([third.buffer, third.shape, third.dtype], [z.buffer, shape, "float32"]);
  assert.equal(third.environment, environment);
  third.onDelete();
  assert.ok(z.disposed);
  assert.equal(engine.memory.used, held);
  return Promise.resolve();
});

onGpu("what cannot be shared is refused before any work", async (engine) => {
  using source = engine.empty(shape);
  const { onnx, lite, array, jax } = standIns(engine.device!, source);
  const elsewhere = standIns({}, source);
  const says = (name: string, message: RegExp) => ({ name, message });
  const no = (call: () => unknown, name: string, message: RegExp) =>
    assert.throws(call, says(name, message));
  // tensors of theirs
  no(() => fromOnnxRuntime(engine, {} as OnnxRuntimeTensor), "TypeError", /tensor is an object/);
  no(() => fromOnnxRuntime(engine, onnx({ location: "cpu" })), "TypeError", /location is "cpu"/);
  no(
    () => fromOnnxRuntime(engine, onnx({ type: "int64" })),
    "TypeError",
    /^Cannot run fromOnnxRuntime: tensor.type is "int64" but must be "float32" or "float16"$/,
  );
  no(() => fromLiteRt(engine, {} as LiteRtTensor), "TypeError", /tensor is an object/);
  no(() => fromLiteRt(engine, lite({ accelerator: "wasm" })), "TypeError", /on "wasm"/);
  const bytesType = { type: { dtype: "uint8", layout: { dimensions: shape } } };
  no(() => fromLiteRt(engine, lite(bytesType)), "TypeError", /tensor.type.dtype is "uint8"/);
  no(() => fromLiteRt(engine, elsewhere.lite()), "RangeError", /another device than LiteRT.js/);
  const refused: readonly (readonly [Promise<Tensor>, string, RegExp])[] = [
    [fromJax(engine, {} as typeof jax, array()), "TypeError", /jax is an object/],
    [fromJax(engine, jax, {} as JaxArray), "TypeError", /array is an object/],
    [fromJax(engine, jax, array({ device: "wasm" })), "TypeError", /on the device "wasm"/],
    [fromJax(engine, jax, array({ dtype: "int32" })), "TypeError", /array.dtype is "int32"/],
    [fromJax(engine, elsewhere.jax, array()), "RangeError", /another device than jax-js/],
  ];
  for (const [call, name, message] of refused) await assert.rejects(call, says(name, message));
  // tensors of ours
  using half = engine.empty(shape, "f16"), wide = engine.empty(shape, "bf16");
  using part = engine.wrap(source.buffer as GPUBuffer, [1, 1, 1, 1], { byteOffset: bytes - 4 });
  const gone = engine.empty(shape);
  gone.dispose();
  no(() => toOnnxRuntime({} as typeof ort, half), "TypeError", /ort is an object/);
  no(() => toOnnxRuntime(ort, {} as Tensor), "TypeError", /tensor is an object with no keys/);
  no(() => toOnnxRuntime(ort, wide), "TypeError", /dtype "bf16", f32 or f16 was wanted/);
  no(() => toOnnxRuntime(ort, part), "RangeError", /begins at byte 188 of its buffer/);
  no(() => toOnnxRuntime(ort, gone), "TypeError", /tensor was disposed/);
  no(() => toLiteRt({} as typeof litert, half), "TypeError", /litert is an object/);
  no(() => toLiteRt(litert, half), "TypeError", /dtype "f16", f32 was wanted/);
  no(() => toLiteRt(litert, part), "RangeError", /0 was wanted/);
});

Deno.test("an engine without a GPU shares nothing", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  using x = engine.empty(shape);
  const { onnx, lite, array, jax } = standIns({}, { buffer: { mapAsync() {} } });
  const name = "UnsupportedError";
  assert.throws(() => fromOnnxRuntime(engine, onnx()), { name, message: /wrapping a GPUBuffer/ });
  assert.throws(() => fromLiteRt(engine, lite()), { name, message: /^fromLiteRt is not/ });
  await assert.rejects(fromJax(engine, jax, array()), { name, message: /^fromJax is not/ });
  assert.throws(() => toOnnxRuntime(ort, x), { name, message: /^toOnnxRuntime is not/ });
  assert.throws(() => toLiteRt(litert, x), { name, message: /^toLiteRt is not supported/ });
});

/** Code without comments and white space, and without what a page leaves out: some types, and the option `debug`. */
function bare(code: string): string {
  return code.replaceAll(/\/\/.*$/gm, "").replaceAll(/ as \[[^\]]*\]|: Three\b|, debug: true/g, "")
    .replaceAll(/\s+/g, "");
}

Deno.test("the lines of docs/interop.md are lines of tests that run", () => {
  const root = new URL("../", import.meta.url);
  const read = (path: string) => Deno.readTextFileSync(new URL(path, root));
  const files = [...Deno.readDirSync(new URL("tests/interop/", root))]
    .filter(({ name }) => name.endsWith("_test.ts"));
  const tests = bare(files.map(({ name }) => read(`tests/interop/${name}`)).join("\n"));
  const blocks = [...read("docs/interop.md").matchAll(/^```ts ignore\n([\s\S]*?)^```$/gm)];
  assert.ok(blocks.length >= 5);
  const lines = blocks.flatMap(([, code]) => code!.split("\n"));
  assert.deepEqual(lines.filter((line) => !tests.includes(bare(line))), []);
});
