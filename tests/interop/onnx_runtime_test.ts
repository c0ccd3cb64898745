/** ONNX Runtime Web around an engine, on one device: the outputs of a session, attention, the inputs of another. */

import { attention, createEngine } from "@flashtile/attention";
import { fromOnnxRuntime, toOnnxRuntime } from "@flashtile/attention/interop";
import * as ort from "onnxruntime-web/webgpu";
import assert from "node:assert/strict";
import { productModel } from "./onnx_model.ts";
import { assertNear, expected, normal, openDevice, product } from "./support.ts";

const shape = [1, 40, 2, 16];
const x = normal("x", shape), weights = ["q", "k", "v", "o"].map((name) => normal(name, [16, 16]));

ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";

/** Products by ONNX Runtime whose results stay on the GPU; an operator that the GPU lacks would be an error. */
async function openProducts(device: GPUDevice) {
  const model = productModel(shape);
  const session = await ort.InferenceSession.create(model, {
    executionProviders: [{ name: "webgpu", device }],
    preferredOutputLocation: "gpu-buffer",
    logSeverityLevel: 3,
    extra: { session: { disable_cpu_ep_fallback: "1" } },
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

    assert.equal(engine.memory.used, before, "something is left on the GPU");
    await session.release();

    async function wanted() {
      return product(await expected(q, k, v, options), weights[3]!);
    }
  },
});
