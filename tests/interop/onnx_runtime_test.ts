/** ONNX Runtime Web around an engine, on one device: the outputs of a session, attention, the inputs of another. */

import { attention, createEngine } from "@flashtile/attention";
import { fromOnnxRuntime, toOnnxRuntime } from "@flashtile/attention/interop";
import * as ort from "onnxruntime-web/webgpu";
import assert from "node:assert/strict";
import { modelOf } from "./onnx_model.ts";
import { assertNear, expected, normal, openDevice, product } from "./support.ts";

const shape = [1, 40, 2, 16];
const x = normal("x", shape), weights = ["q", "k", "v", "o"].map((name) => normal(name, [16, 16]));

ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";

/** An operator that the GPU lacks is an error, and does not run in WebAssembly unnoticed. */
const strict = {
  logSeverityLevel: 3,
  extra: { session: { disable_cpu_ep_fallback: "1" } },
} as const;

/** Products by ONNX Runtime whose results stay on the GPU. */
async function openProducts(device: GPUDevice) {
  const model = modelOf("MatMul", { x: shape, w: [16, 16] });
  const session = await ort.InferenceSession.create(model, {
    executionProviders: [{ name: "webgpu", device }],
    preferredOutputLocation: "gpu-buffer",
    ...strict,
  });
  const tensor = ({ data, shape }: typeof x) => new ort.Tensor("float32", data, shape);
  return { session, tensor };
}

Deno.test({
  name: "ONNX Runtime Web: attention between two sessions, a place for outputs",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(t) {
    const device = await openDevice();
    if (!device) return;
    const { session, tensor } = await openProducts(device);
    using engine = await createEngine({ device, debug: true });
    const options = { causal: true } as const;
    const [q, k, v] = weights.map((w) => product(x, w)) as [typeof x, typeof x, typeof x];
    const w = tensor(weights[3]!), before = engine.memory.used;

    await t.step("outputs of a session in, a result into another session", async () => {
      const project = async (weight: typeof x) => {
        const { y } = await session.run({ x: tensor(x), w: tensor(weight) });
        assert.equal(y!.location, "gpu-buffer");
        return y!;
      };
      // one after the other: two runs at a time never end
      const q = await project(weights[0]!), k = await project(weights[1]!);
      const v = await project(weights[2]!);
      const { out, lse } = await attention(
        fromOnnxRuntime(engine, q),
        fromOnnxRuntime(engine, k),
        fromOnnxRuntime(engine, v),
        options,
      );
      lse.dispose();
      const feed = toOnnxRuntime(ort, out);
      const { y } = await session.run({ x: feed, w });
      feed.dispose(); // and out with it
      assert.ok(out.disposed);
      assertNear(await y!.getData() as Float32Array, await wanted(), "y");
      for (const one of [q, k, v, y!]) one.dispose();
    });

    await t.step("a tensor of the engine as the place of an output", async () => {
      const room = engine.empty(shape), place = toOnnxRuntime(ort, room);
      const feeds = { x: tensor(x), w: tensor(weights[0]!) };
      await session.run(feeds, { y: place });
      assertNear(await room.read("f32"), q, "q");
      place.dispose();
      assert.ok(room.disposed);
    });

    await t.step("a tensor in host memory is refused", () => {
      assert.throws(() => fromOnnxRuntime(engine, tensor(x)), {
        message: /^Cannot run fromOnnxRuntime: tensor.location is "cpu"/,
      });
    });

    await t.step("on the runtime's own device: 16-bit floats, a mask", ownDevice);

    assert.equal(engine.memory.used, before, "something is left on the GPU");
    await session.release();

    async function wanted() {
      return product(await expected(q, k, v, options), weights[3]!);
    }
  },
});

/** The runtime makes a device with the first session that is given none. */
async function ownDevice(): Promise<void> {
  const options = {
    executionProviders: ["webgpu"],
    preferredOutputLocation: "gpu-buffer",
    ...strict,
  } as const;
  const shape = [1, 6, 1, 8], pairs = [6, 6];
  const greater = modelOf("Greater", { a: pairs, b: pairs }, { output: "bool" });
  const comparison = await ort.InferenceSession.create(greater, options);
  const device = await ort.env.webgpu.device as GPUDevice;
  using engine = await createEngine({ device, debug: true });

  const a = normal("a", pairs), b = normal("b", pairs);
  const float32 = (data: Float32Array) => new ort.Tensor("float32", data, pairs);
  const { y: shown } = await comparison.run({ a: float32(a.data), b: float32(b.data) });
  const mask = engine.wrap(shown!.gpuBuffer as GPUBuffer, shown!.dims, { dtype: "bool" });
  const bytes = Uint8Array.from(a.data, (value, n) => value > b.data[n]! ? 1 : 0);
  assert.deepEqual(await mask.read(), bytes);

  const half = Float16Array.from(normal("half", shape).data);
  if (!device.features.has("shader-f16")) return console.log("not run on webgpu: no shader-f16");
  const x = fromOnnxRuntime(engine, await sumOfHalves(half, shape, options));
  const { out } = await attention(x, x, x, { mask });
  assert.equal(out.dtype, "f16");
  const both = { data: half.map((value) => 2 * value), shape };
  const wanted = await attention(both, both, both, { mask: { data: bytes, shape: pairs } });
  const largest = Math.max(...wanted.out.data.map(Math.abs));
  (await out.read("f32")).forEach((value, n) => {
    assert.ok(Math.abs(value - wanted.out.data[n]!) <= largest * 2 ** -10, `${n}: ${value}`);
  });
}

async function sumOfHalves(
  half: Float16Array<ArrayBuffer>,
  shape: readonly number[],
  options: ort.InferenceSession.SessionOptions,
): Promise<ort.Tensor> {
  const model = modelOf("Add", { a: shape, b: shape }, { input: "float16" });
  const session = await ort.InferenceSession.create(model, options);
  // its types have no 16-bit floats yet
  const tensor = new ort.Tensor("float16", half as unknown as Uint16Array, shape);
  return (await session.run({ a: tensor, b: tensor })).y!;
}
