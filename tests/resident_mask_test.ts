/** Masks in engine memory: the same bits as from host memory, wherever regions and items begin, and errors by name. */

import assert from "node:assert/strict";
import { type BooleanTensor, createEngine, type Engine, type MaskTensor } from "../mod.ts";
import { plainTensor } from "./inputs.ts";
import { mapTuple } from "./tuples.ts";
import { gpuTarget } from "./webgpu/targets.ts";
import { forcedEngine, gpuTest } from "./webgpu/support.ts";
import { USAGE } from "../src/webgpu/device/api.ts";

/** Bytes that show two pairs of three, other values than 1 among them. */
function bytes(n: number): Uint8Array {
  return Uint8Array.from({ length: n }, (_, i) => i * 7 % 3 === 0 ? 0 : i % 5 === 0 ? 255 : 1);
}

const maskOf = (shape: readonly number[]): MaskTensor => ({
  data: bytes(shape.reduce((a, b) => a * b, 1)),
  shape,
});

const [q, dOut] = mapTuple([1, 4], (seed) => plainTensor(seed, [2, 37, 4, 16]));
const [k, v] = mapTuple([2, 3], (seed) => plainTensor(seed, [2, 45, 2, 16]));

const shapes = [[45], [37, 45], [1, 45], [37, 1], [4, 37, 45], [2, 1, 37, 45], [2, 4, 37, 45]];

/** Fails unless a call of resident tensors has the same bits with a mask of either memory. */
async function checkMasks(engine: Engine): Promise<void> {
  const [rq, rk, rv, rd] = mapTuple(
    [q, k, v, dOut],
    ({ data, shape }) => engine.tensor(data, shape),
  );
  for (const shape of shapes) {
    const host = maskOf(shape), found: unknown[] = [];
    using resident = engine.tensor(host);
    for (const mask of [host, resident]) {
      const { out, lse } = await engine.attention(rq, rk, rv, { mask, causal: true });
      const saved = { q: rq, k: rk, v: rv, out, lse };
      const { dq, dk, dv } = await engine.attentionBackward(rd, saved, { mask, causal: true });
      found.push(await Promise.all([out, lse, dq, dk, dv].map((tensor) => tensor.read())));
      for (const tensor of [out, lse, dq, dk, dv]) tensor.dispose();
    }
    assert.deepEqual(found[1], found[0], `mask of shape [${shape}]`);
    assert.deepEqual(await resident.read(), host.data);
  }
  for (const tensor of [rq, rk, rv, rd]) tensor.dispose();
}

/** Fails unless masks are written, read and refused as tensors are. */
async function checkTensor(engine: Engine): Promise<void> {
  const data = bytes(12), mask: BooleanTensor = engine.tensor(data, [3, 4]);
  assert.deepEqual([mask.dtype, mask.shape], ["bool", [3, 4]]);
  mask.write(Uint8Array.of(0, 1, 0, 1), [1]);
  data.set([0, 1, 0, 1], 4);
  assert.deepEqual(await mask.read(), data);
  assert.deepEqual(await mask.read("f32"), Float32Array.from(data));
  assert.throws(() => mask.write(new Float32Array(4)), /Float32Array.*"bool"/);
  using empty = engine.empty([5], "bool");
  empty.write(bytes(5));
  assert.deepEqual(await empty.read(), bytes(5));

  const x = { data: new Float32Array(24), shape: [1, 3, 1, 8] };
  const y = { data: new Float32Array(32), shape: [1, 4, 1, 8] };
  const [rx, ry] = mapTuple([x, y], ({ data, shape }) => engine.tensor(data, shape));
  const call = (options: object) => engine.attention(rx, ry, ry, options);
  await assert.rejects(
    call({ mask: engine.tensor(new Float32Array(12), [3, 4]) }),
    /TypeError.*mask has dtype "f32" but must be "bool"/,
  );
  await assert.rejects(call({ bias: mask }), /TypeError.*bias has dtype "bool"/);
  await assert.rejects(
    call({ mask: engine.tensor(bytes(15), [3, 5]) }),
    /RangeError.*mask has shape \[3, 5\]/,
  );
  mask.dispose();
  await assert.rejects(call({ mask }), /TypeError.*mask was disposed/);
  using stranger = await createEngine({ backend: "wasm", threads: 1 });
  await assert.rejects(call({ mask: stranger.tensor(bytes(12), [3, 4]) }), /mask/);
}

Deno.test("a resident mask is that of host memory: wasm", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 2 });
  await checkMasks(engine);
  await checkTensor(engine);
});

gpuTest("a resident mask is that of host memory: webgpu", async () => {
  const { engine } = await forcedEngine({});
  await checkMasks(engine);
  await checkTensor(engine);
  engine.dispose();
}, { part: "rest" });

gpuTest("parts of a resident mask that begin between words are found", async () => {
  const { limits } = gpuTarget({ storageBinding: 4096 });
  const { engine } = await forcedEngine({ target: { limits } });
  const { regions } = engine.explain(q, k, v, { mask: maskOf([2, 4, 37, 45]) });
  assert.ok(regions > 1, `${regions} regions`);
  await checkMasks(engine);
  engine.dispose();
}, { part: "rest" });

gpuTest("a mask may lie in a buffer of the caller's", async () => {
  const { engine } = await forcedEngine({}), data = bytes(37 * 45);
  const usage = USAGE.storage | USAGE.copySource | USAGE.copyTarget;
  const device = engine.device as unknown as GPUDevice;
  const buffer = device.createBuffer({ size: 8 + 4 * Math.ceil(data.length / 4), usage });
  const padded = new Uint8Array(4 * Math.ceil(data.length / 4));
  padded.set(data);
  device.queue.writeBuffer(buffer, 8, padded);
  const mask = engine.wrap(buffer, [37, 45], { dtype: "bool", byteOffset: 8 });
  const want = await engine.attention(q, k, v, { mask: { data, shape: [37, 45] } });
  const got = await engine.attention(q, k, v, { mask });
  assert.deepEqual(got, want);
  engine.dispose();
});
