/** What the fuzzer has found: things of the caller's that were read twice, and said something else the second time. */
import assert from "node:assert/strict";
import { blockMaskFromLists, createEngine } from "../../mod.ts";
import { fromJax, fromLiteRt, toOnnxRuntime } from "../../src/interop.ts";
import { onEngines } from "../engines.ts";
import { plainTensor } from "../inputs.ts";
import { any, changing } from "./odd.ts";

const tensor = (...shape: number[]) => plainTensor(1, shape);
const q = tensor(1, 4, 2, 8), k = tensor(1, 6, 2, 8);

function lists() {
  return {
    ...{ lengthQ: 2, lengthK: 2, blockSize: 2 },
    full: { offsets: Int32Array.of(0, 1), columns: Int32Array.of(0) },
    partial: { offsets: Int32Array.of(0, 0), columns: new Int32Array(0) },
  };
}

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
  // scales where the type has none are nothing to it
  const gone = new Float32Array(6);
  gone.buffer.transfer();
  const at = await cache.import({ ...state, values: { ...state.values, scales: gone } });
  assert.deepEqual((await cache.export(at)).values.rows.data, data);
  cache.free(at);
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

onEngines("neighbours and their tensors are read once", async (engine) => {
  const { device } = engine;
  if (!device) return;
  using x = engine.tensor(new Float32Array(4), [4]);
  const Tensor = changing({ fromGpuBuffer: () => 7 }, "fromGpuBuffer", null);
  assert.equal(toOnnxRuntime({ Tensor }, x), 7);
  const buffer = x.buffer!, gpuBuffer = () => Promise.resolve(buffer);
  const lite = {
    ...{ accelerator: "webgpu", type: { dtype: "float32", layout: { dimensions: [4] } } },
    ...{ environment: { webGpuDevice: device }, toGpuBuffer: () => buffer },
  };
  assert.deepEqual(fromLiteRt(engine, any(changing(lite, "toGpuBuffer", null))).shape, [4]);
  const ref = changing({ gpuBuffer }, "gpuBuffer", null);
  const array = { device: "webgpu", dtype: "float32", shape: [4], ref, gpuBuffer };
  const jax = changing({ getWebGPUDevice: () => device }, "getWebGPUDevice", null);
  assert.deepEqual((await fromJax(engine, any(jax), any(array))).shape, [4]);
});

Deno.test("saved tensors of late interaction are read once", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const keys = { data: Int32Array.of(0, 1), shape: [1, 2] };
  const saved = { queries: tensor(2, 4), documents: tensor(3, 4), keys };
  const { dQueries } = engine.maxSimBackwardSync(tensor(1), saved);
  const odd = changing(saved, "queries", undefined);
  assert.deepEqual(engine.maxSimBackwardSync(tensor(1), odd).dQueries, dQueries);
});
