/** LiteRT.js around an engine, on one device: the output of a model, attention, the input of a model. */

import { attention, createEngine } from "@flashtile/attention";
import { fromLiteRt, toLiteRt } from "@flashtile/attention/interop";
import { wasmFolder } from "./litert_in_deno.ts";
import * as litert from "@litertjs/core";
import assert from "node:assert/strict";
import { assertNear, expected, normal, openDevice } from "./support.ts";
import { sumModel } from "./tflite_model.ts";

const shape = [1, 40, 2, 16], a = normal("a", shape), b = normal("b", shape);

Deno.test({
  name: "LiteRT.js: attention between two models",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(t) {
    const device = await openDevice();
    if (!device) return;
    await litert.loadLiteRt(wasmFolder);
    litert.setWebGpuDevice(device);
    using engine = await createEngine({ device, debug: true });
    const model = await litert.loadAndCompile(sumModel(shape), {
      accelerator: "webgpu",
      gpuOptions: { precision: "fp32" },
    });
    assert.ok(model.isFullyAccelerated);
    const host = ({ data }: typeof a) => new litert.Tensor(data, shape);
    const held = engine.memory.used;

    await t.step("an output in, a result into a model", async () => {
      const inputs = [await host(a).moveTo("webgpu"), await host(b).moveTo("webgpu")];
      const [sum] = await model.run(inputs) as [litert.Tensor];
      const x = fromLiteRt(engine, sum);
      const { out, lse } = await attention(x, x, x, { causal: true });
      lse.dispose();
      const feed = toLiteRt(litert, out);
      const [y] = await model.run([feed, feed]) as [litert.Tensor];
      const [sumValues, values] = [await sum.data(), await y.data()];
      for (const one of [...inputs, sum, y, feed]) one.delete();
      assert.ok(out.disposed);

      const both = { data: a.data.map((value, n) => value + b.data[n]!), shape };
      assertNear(sumValues, both, "a + b");
      const wanted = await expected(both, both, both, { causal: true });
      assertNear(values, { data: wanted.data.map((value) => 2 * value), shape }, "y");
    });

    await t.step("tensors and engines elsewhere are refused", async () => {
      const onCpu = host(a);
      assert.throws(() => fromLiteRt(engine, onCpu), {
        message: /^Cannot run fromLiteRt: tensor is on "wasm" but must be on "webgpu"/,
      });
      const onGpu = await onCpu.moveTo("webgpu");
      using other = await createEngine({ device: (await openDevice())! });
      assert.throws(() => fromLiteRt(other, onGpu), {
        name: "RangeError",
        message: /^Cannot run fromLiteRt: the engine computes on another device/,
      });
      onGpu.delete();
    });
    assert.equal(engine.memory.used, held, "something is left on the GPU");
    model.delete();
  },
});
