/** Tensors in GPU memory: written, read, wrapped where they lie, mixed with host tensors, and refused when foreign. */

import assert from "node:assert/strict";
import type { AnyTensor, AttentionOptions, DType } from "../../mod.ts";
import { type GpuBuffer, type GpuDevice, MAP_READ, USAGE } from "../../src/webgpu/device/api.ts";
import { encode } from "../half.ts";
import { plainTensor } from "../inputs.ts";
import type { TestTensor } from "../reference/problem.ts";
import { callersDevice, deviceOf, gpuEngine, gpuTest } from "./support.ts";
import { bufferOf, close, home, homes, place, sameBits } from "./tensors.ts";
import { mapTuple } from "../tuples.ts";

/** A tensor of a length, values that every format holds exactly. */
function values(n: number, dtype: DType): Float32Array | Uint16Array {
  const numbers = Float64Array.from({ length: n }, (_, i) => (i % 100) / 4 - 9);
  return encode(numbers, dtype as "f32", "bits") as Float32Array | Uint16Array;
}

const STORAGE = USAGE.storage | USAGE.copySource | USAGE.copyTarget;

/** A buffer of the caller's with bytes in it. */
function filled(device: GpuDevice, bytes: ArrayBufferView, at = 0, usage = STORAGE): GpuBuffer {
  const buffer = device.createBuffer({ size: at + Math.ceil(bytes.byteLength / 4) * 4, usage });
  const padded = new Uint8Array(Math.ceil(bytes.byteLength / 4) * 4);
  padded.set(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  device.queue.writeBuffer(buffer, at, padded);
  return buffer;
}

const [q, k, v] = mapTuple([1, 2, 3], (seed) => plainTensor(seed, [2, 40, 4, 32]));
const grouped = mapTuple([5, 6], (seed) => plainTensor(seed, [2, 40, 2, 32]));
const dOut = plainTensor(4, [2, 40, 4, 32]), options: AttentionOptions = { causal: true };

gpuTest("tensors give back what was written, whatever their type and number", async () => {
  using engine = await gpuEngine();
  for (const dtype of ["f32", "f16", "bf16"] as const) {
    for (const n of [0, 1, 2, 3, 7, 64, 1001]) {
      const data = values(n, dtype);
      using tensor = engine.tensor(data, [n], dtype);
      assert.deepEqual(await tensor.read(), data, `${n} of ${dtype}`);
      assert.deepEqual([tensor.dtype, [...tensor.shape]], [dtype, [n]]);
    }
  }
  const halves = Float16Array.of(1, 0.5, -2);
  assert.deepEqual(await engine.tensor(halves, [3]).read(), new Uint16Array(halves.buffer));
});

gpuTest("writing changes what it says and nothing else", async () => {
  using engine = await gpuEngine();
  for (const dtype of ["f32", "f16", "bf16"] as const) {
    const data = values(11, dtype), other = values(20, dtype);
    using tensor = engine.tensor(data, [11], dtype);
    tensor.write(other.subarray(14, 16), 4);
    data.set(other.subarray(14, 16), 4);
    tensor.write(other.subarray(15, 20), 6); // to the end, which is odd
    data.set(other.subarray(15, 20), 6);
    assert.deepEqual(await tensor.read(), data, dtype);
    assert.throws(() => tensor.write(other, 0), /RangeError.*20 elements.*11/);
    assert.throws(() => tensor.write(other.subarray(0, 2), -1), RangeError);
    if (dtype === "f32") {
      assert.throws(() => tensor.write(new Uint16Array(2)), TypeError);
      continue;
    }
    assert.throws(() => tensor.write(new Int8Array(2)), TypeError);
    assert.throws(() => tensor.write(other.subarray(0, 2), 3), /two at a time/);
    assert.throws(() => tensor.write(other.subarray(0, 3), 2), /two at a time/);
  }
});

gpuTest(
  "a disposed tensor is refused everywhere, and disposing twice gives back once",
  async () => {
    using engine = await gpuEngine();
    const before = engine.memory.used, tensor = place(engine, q);
    assert.ok(engine.memory.used > before);
    tensor.dispose();
    tensor.dispose();
    assert.ok(tensor.disposed);
    assert.equal(engine.memory.used, before);
    assert.throws(() => tensor.write(new Float32Array(1)), /write a tensor: it was disposed/);
    await assert.rejects(() => tensor.read(), /read a tensor: it was disposed/);
    await assert.rejects(() => engine.attention(tensor, k, v), /q was disposed/);
    const waiting = place(engine, q), call = engine.attention(waiting, k, v);
    const second = engine.attention(waiting, k, v);
    waiting.dispose();
    await assert.rejects(second, /q was disposed/);
    await call.catch(() => {});
  },
);

gpuTest("wrapped buffers are computed on in place, from any offset", async () => {
  using engine = await gpuEngine();
  const [k, v] = grouped; // as in other tests, so that they share kernels
  const device = deviceOf(engine), want = await homes(await engine.attention(q, k, v, options));
  const wantBack = await engine.attentionBackward(
    dOut,
    { q, k, v, out: want.out, lse: want.lse },
    options,
  );
  for (const byteOffset of [0, 4, 256, 1036]) {
    const before = engine.memory.used;
    const buffers: GpuBuffer[] = [];
    const wrapped = ({ data, shape }: TestTensor) => {
      const buffer = filled(device, data as Float32Array, byteOffset);
      buffers.push(buffer);
      return engine.wrap(buffer, shape, { byteOffset });
    };
    const [wq, wk, wv] = [wrapped(q), wrapped(k), wrapped(v)];
    const [wdOut, wout, wlse] = [wrapped(dOut), wrapped(want.out), wrapped(want.lse)];
    assert.equal(engine.memory.used, before, "a wrapped buffer is the caller's memory");
    assert.deepEqual(await wq.read(), q.data);
    const got = await engine.attention(wq, wk, wv, options);
    const back = await engine.attentionBackward(
      wdOut,
      { q: wq, k: wk, v: wv, out: wout, lse: wlse },
      options,
    );
    const results = await homes({ ...got, ...back });
    for (const [name, tensor] of Object.entries({ ...want, ...wantBack })) {
      close(results[name]!, tensor as TestTensor, 2e-6, `${name} at ${byteOffset}`);
    }
    wq.dispose();
    wq.dispose();
    using again = engine.wrap(buffers[0]!, q.shape, { byteOffset });
    assert.deepEqual(await again.read(), q.data, "the buffer outlives its tensor");
    for (const tensor of [...Object.values(got), ...Object.values(back)]) tensor.dispose();
    for (const buffer of buffers) buffer.destroy();
    assert.equal(engine.memory.used, before);
  }
});

gpuTest("wrapped 16-bit buffers with odd counts and offsets are read in place", async () => {
  using engine = await gpuEngine();
  const device = deviceOf(engine);
  const shape = [1, 9, 1, 5], rows = values(45, "f16");
  const host = { data: rows, shape, dtype: "f16" } as const;
  const want = await home((await engine.attention(host, host, host)).out);
  for (const byteOffset of [0, 4, 260]) {
    const buffer = filled(device, rows, byteOffset);
    using tensor = engine.wrap(buffer, shape, { dtype: "f16", byteOffset });
    assert.deepEqual(await tensor.read(), rows);
    const { out, lse } = await engine.attention(tensor, tensor, tensor);
    sameBits(await home(out), want, `out at ${byteOffset}`);
    out.dispose();
    lse.dispose();
    buffer.destroy();
  }
});

gpuTest("what lies behind a wrapped tensor is never written", async () => {
  using engine = await gpuEngine();
  const all = new Float32Array(8).fill(7), one = new Float32Array(3);
  for (
    const [dtype, values] of [["f16", all], [
      "bool",
      new Uint8Array(8).fill(7),
      4,
    ]] as const
  ) {
    const buffer = deviceOf(engine).createBuffer({ size: 16, usage: STORAGE });
    using whole = engine.wrap(buffer, [8], { dtype });
    whole.write(values);
    using part = engine.wrap(buffer, [3], { dtype });
    assert.throws(() => part.write(dtype === "f16" ? one : new Uint8Array(3)), /at a time/);
    const into = { out: engine.wrap(buffer, [1, 3, 1, 1], { dtype }) };
    const half = { data: new Uint16Array(3), shape: [1, 3, 1, 1], dtype: "f16" } as const;
    const refused = engine.attention(half, half, half, { into });
    await assert.rejects(refused, dtype === "f16" ? /Cannot write into\.out: it has 3/ : /dtype/);
    assert.deepEqual([...await whole.read("f32")], [...all]);
    using even = engine.wrap(buffer, [4], { dtype });
    even.write(values.slice(0, 4).fill(1));
    assert.deepEqual([...await whole.read("f32")], [1, 1, 1, 1, 7, 7, 7, 7]);
  }
});

gpuTest("wrap refuses what it cannot use and says why", async () => {
  using engine = await gpuEngine();
  const device = deviceOf(engine), buffer = device.createBuffer({ size: 64, usage: STORAGE });
  const wrap = (...[shape, how]: [number[], object?]) => () => engine.wrap(buffer, shape, how);
  assert.throws(wrap([17]), /RangeError.*buffer has 64 bytes.*needs 68/);
  assert.throws(wrap([16], { byteOffset: 4 }), /needs 68/);
  assert.throws(wrap([33], { dtype: "f16" }), /needs 68/);
  assert.doesNotThrow(wrap([31], { dtype: "f16" }));
  assert.throws(wrap([4], { byteOffset: 2 }), /RangeError.*byteOffset is 2.*multiple of 4/);
  assert.throws(wrap([4], { byteOffset: -4 }), /byteOffset is -4/);
  assert.throws(wrap([4], { dtype: "i8" }), /TypeError.*dtype is "i8"/);
  assert.throws(wrap([-1]), /RangeError.*shape/);
  assert.throws(wrap([1.5]), /RangeError.*shape/);
  const uniform = device.createBuffer({ size: 64, usage: USAGE.uniform });
  assert.throws(() => engine.wrap(uniform, [4]), /RangeError.*usage 64.*STORAGE/);
  assert.throws(wrap([4], null as never), /Cannot run wrap: options is null but must be an object/);
  assert.throws(wrap([4], { offset: 4 } as never), /Cannot run wrap: options has the unknown name/);
  for (const nothing of [{}, null, 3, new Float32Array(4)]) {
    assert.throws(() => engine.wrap(nothing as never, [4]), /TypeError.*must be a GPUBuffer/);
  }
});

gpuTest("what a wrapped buffer's usage forbids is refused, not ignored", async () => {
  using engine = await gpuEngine();
  const device = deviceOf(engine), data = new Float32Array([1, 2, 3, 4]);
  const writeOnly = filled(device, data, 0, USAGE.storage | USAGE.copyTarget);
  const readOnly = device.createBuffer({ size: 16, usage: USAGE.storage | USAGE.copySource });
  await assert.rejects(() => engine.wrap(writeOnly, [4]).read(), /COPY_SRC/);
  assert.throws(() => engine.wrap(readOnly, [4]).write(data), /COPY_DST/);
});

gpuTest("results live where their inputs live, mixed operands too", async () => {
  using engine = await gpuEngine();
  const want = await homes(await engine.attention(q, k, v, options));
  const saved = { q, k, v, out: want.out, lse: want.lse };
  const wantBack = await homes(await engine.attentionBackward(dOut, saved, options));
  const operands = { q, k, v, dOut, out: want.out, lse: want.lse };
  for (let bits = 0; bits < 8; bits++) {
    const on = {
      q: bits & 1,
      k: bits & 2,
      v: bits & 4,
      dOut: bits & 2,
      out: bits & 4,
      lse: bits & 1,
    };
    const at = (name: keyof typeof on): AnyTensor =>
      on[name] ? place(engine, operands[name]) : operands[name];
    const [tq, tk, tv] = [at("q"), at("k"), at("v")];
    const forward = await engine.attention(tq, tk, tv, options);
    for (const [name, tensor] of Object.entries(forward)) {
      assert.equal("read" in tensor, on.q !== 0, `${name} lives beside q`);
      sameBits(await home(tensor), want[name]!, `${name}, ${JSON.stringify(on)}`);
    }
    const places = { q: tq, k: tk, v: tv, out: at("out"), lse: at("lse") };
    const back = await engine.attentionBackward(at("dOut"), places, options);
    for (const name of ["q", "k", "v"] as const) {
      const gradient = back[`d${name}`];
      assert.equal("read" in gradient, on[name] !== 0, `d${name} lives beside ${name}`);
      sameBits(await home(gradient), wantBack[`d${name}`], `d${name}, ${JSON.stringify(on)}`);
    }
  }
});

gpuTest("a resident bias gets a resident gradient, of its type", async () => {
  using engine = await gpuEngine();
  const [key, value] = grouped;
  for (const [dtype, shape] of [["f32", [4, 40, 40]], ["f16", [40, 40]]] as const) {
    const length = shape.reduce((a, b) => a * b, 1);
    const numbers = Float64Array.from({ length }, (_, n) => Math.sin(n));
    const bias = { data: encode(numbers, dtype, "bits"), shape, dtype };
    const saved = { q, k: key, v: value, ...await engine.attention(q, key, value, { bias }) };
    const want = await engine.attentionBackward(dOut, saved, { bias });
    using resident = place(engine, bias);
    const got = await engine.attentionBackward(dOut, saved, { bias: resident });
    assert.ok("read" in got.dBias! && !("read" in got.dq));
    assert.deepEqual([got.dBias.dtype, [...got.dBias.shape]], [dtype, shape]);
    sameBits(await home(got.dBias), await home(want.dBias!), `dBias in ${dtype}`);
  }
}, { part: "rest" });

gpuTest("tensors of another engine are refused, on the same device too", async () => {
  const device = await callersDevice();
  using engine = await gpuEngine({ device });
  using other = await gpuEngine({ device });
  using foreign = place(other, q);
  await assert.rejects(() => engine.attention(foreign, k, v), /q belongs to another engine/);
  await assert.rejects(() => engine.attention(q, k, foreign), /v belongs to another engine/);
  const { out, lse } = await other.attention(foreign, k, v);
  assert.throws(() => engine.mergeAttention([{ out, lse }]), /belongs to another engine/);
  await other.attention(foreign, k, v);
});

gpuTest("what a caller reads with its own commands is what the tensor reads", async () => {
  using engine = await gpuEngine();
  const device = deviceOf(engine);
  using rq = place(engine, q);
  const { out } = await engine.attention(rq, k, v);
  const staging = device.createBuffer({
    size: bufferOf(out).size,
    usage: USAGE.mapRead | USAGE.copyTarget,
  });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(bufferOf(out), 0, staging, 0, staging.size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(MAP_READ);
  const words = new Float32Array(staging.getMappedRange()).slice(0, q.data.length);
  staging.destroy();
  assert.deepEqual(words, await out.read());
});
