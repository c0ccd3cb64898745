/** Tensors in GPU memory: written, read, wrapped, mixed, merged, encoded into a caller's pass, and given back. */

import assert from "node:assert/strict";
import {
  type AnyTensor,
  type AttentionOptions,
  type AttentionResult,
  type DType,
  type Engine,
  type HostTensor,
  mergeAttention,
  type Tensor,
  UnsupportedError,
} from "../../mod.ts";
import { type GpuBuffer, type GpuDevice, MAP_READ, USAGE } from "../../src/webgpu/api.ts";
import { hostTensor } from "../backends.ts";
import { decode, encode } from "../half.ts";
import { plainTensor } from "../inputs.ts";
import type { TestTensor } from "../reference/problem.ts";
import {
  bitsOf,
  callersDevice,
  deviceOf,
  forcedEngine,
  gpuEngine,
  gpuTest,
  watchDevice,
} from "./support.ts";

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

function close(got: TestTensor, want: TestTensor, bound: number, about: string): void {
  const [a, b] = [got, want].map(({ data, dtype }) => decode(data, dtype ?? "f32"));
  assert.equal(a.length, b.length, about);
  assert.deepEqual([...got.shape], [...want.shape], about);
  const worst = a.reduce((most, x, n) => Math.max(most, x === b[n] ? 0 : Math.abs(x - b[n])), 0);
  assert.ok(worst <= bound, `${about}: off by ${worst}`);
}

function sameBits(got: TestTensor, want: TestTensor, about: string): void {
  const [a, b] = [bitsOf(got), bitsOf(want)], place = a.findIndex((bits, n) => bits !== b[n]);
  assert.equal(a.length, b.length, about);
  assert.equal(place, -1, `${about} differs at element ${place}`);
}

/** A tensor wherever it is, in host memory. */
async function home(tensor: AnyTensor): Promise<TestTensor> {
  if (!("read" in tensor)) return hostTensor(tensor);
  return hostTensor({ data: await tensor.read(), shape: tensor.shape, dtype: tensor.dtype });
}

/** Results of a call in host memory. */
async function homes<R extends object>(results: R): Promise<Record<string, TestTensor>> {
  const entries = Object.entries(results) as [string, AnyTensor][];
  return Object.fromEntries(
    await Promise.all(entries.map(async ([name, tensor]) => [name, await home(tensor)] as const)),
  );
}

const [q, k, v] = [1, 2, 3].map((seed) => plainTensor(seed, [2, 40, 4, 32]));
const dOut = plainTensor(4, [2, 40, 4, 32]), options: AttentionOptions = { causal: true };

/** A tensor of the engine with the values of a host tensor. */
const place = (engine: Engine, { data, shape, dtype }: TestTensor): Tensor =>
  engine.tensor(data, shape, dtype);

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
    assert.throws(() => tensor.write(new Float32Array(2)), TypeError);
    assert.throws(() => tensor.write(other.subarray(0, 2), 3), /in pairs/);
    assert.throws(() => tensor.write(other.subarray(0, 3), 2), /in pairs/);
  }
});

gpuTest("a disposed tensor is refused everywhere, and disposing twice gives back once", async () => {
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
});

gpuTest("wrapped buffers are computed on in place, from any offset", async () => {
  using engine = await gpuEngine();
  const device = deviceOf(engine), want = await homes(await engine.attention(q, k, v, options));
  const wantBack = await engine.attentionBackward(
    dOut,
    { q, k, v, out: want.out, lse: want.lse },
    options,
  );
  for (const byteOffset of [0, 4, 256, 1036]) {
    const before = engine.memory.used;
    const buffers = [q, k, v, dOut, want.out, want.lse].map(({ data }) =>
      filled(device, data as Float32Array, byteOffset)
    );
    const [wq, wk, wv, wdOut, wout, wlse] = buffers.map((buffer, n) =>
      engine.wrap(buffer, [q, k, v, dOut, want.out, want.lse][n].shape, { byteOffset })
    );
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
      close(results[name], tensor as TestTensor, 2e-6, `${name} at ${byteOffset}`);
    }
    wq.dispose();
    wq.dispose();
    using again = engine.wrap(buffers[0], q.shape, { byteOffset });
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

gpuTest("wrap refuses what it cannot use and says why", async () => {
  using engine = await gpuEngine();
  const device = deviceOf(engine), buffer = device.createBuffer({ size: 64, usage: STORAGE });
  const wrap = (...[shape, how]: [number[], object?]) => () => engine.wrap(buffer, shape, how ?? {});
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
  for (const nothing of [{}, null, 3, new Float32Array(4)]) {
    assert.throws(() => engine.wrap(nothing as object, [4]), /TypeError.*must be a GPUBuffer/);
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
    const on = { q: bits & 1, k: bits & 2, v: bits & 4, dOut: bits & 2, out: bits & 4, lse: bits & 1 };
    const at = (name: keyof typeof on): AnyTensor =>
      on[name] ? place(engine, operands[name]) : operands[name];
    const [tq, tk, tv] = [at("q"), at("k"), at("v")];
    const forward = await engine.attention(tq, tk, tv, options);
    for (const [name, tensor] of Object.entries(forward)) {
      assert.equal("read" in tensor, on.q !== 0, `${name} lives beside q`);
      sameBits(await home(tensor), want[name], `${name}, ${JSON.stringify(on)}`);
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
  for (const dtype of ["f32", "f16"] as const) {
    const numbers = Float64Array.from({ length: 1600 }, (_, n) => Math.sin(n));
    const bias = { data: encode(numbers, dtype, "bits"), shape: [40, 40], dtype };
    const saved = await engine.attention(q, k, v, { bias });
    const want = await engine.attentionBackward(dOut, { q, k, v, ...saved }, { bias });
    using resident = place(engine, bias);
    const got = await engine.attentionBackward(dOut, { q, k, v, ...saved }, { bias: resident });
    assert.ok("read" in got.dBias! && !("read" in got.dq));
    assert.deepEqual([got.dBias.dtype, [...got.dBias.shape]], [dtype, [40, 40]]);
    sameBits(await home(got.dBias), await home(want.dBias!), `dBias in ${dtype}`);
  }
});

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

/** A kernel of the caller's: doubles every element of a buffer in place. */
function doubling(device: GpuDevice, buffer: GpuBuffer): (pass: object) => void {
  const code = `@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < arrayLength(&x)) { x[id.x] *= 2.0; }
}`;
  const pipeline = device.createComputePipeline({
    layout: "auto",
    compute: { module: device.createShaderModule({ code }), entryPoint: "main" },
  }) as { getBindGroupLayout(index: number): object };
  const group = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [{ binding: 0, resource: { buffer } }],
  });
  return (pass) => {
    const compute = pass as ReturnType<ReturnType<GpuDevice["createCommandEncoder"]>["beginComputePass"]>;
    compute.setPipeline(pipeline);
    compute.setBindGroup(0, group);
    compute.dispatchWorkgroups(Math.ceil(buffer.size / 256));
  };
}

/** The buffer of a result, as `engine.device` programs find it. */
const bufferOf = (tensor: Tensor): GpuBuffer => (tensor as unknown as { buffer: GpuBuffer }).buffer;

gpuTest("attention joins a caller's pass between two kernels of the caller's, in one submit", async () => {
  using engine = await gpuEngine();
  const device = deviceOf(engine), half = { ...q, data: q.data.map((x) => x / 2) as Float32Array };
  const want = await engine.attention(q, k, v, options);
  const wantBack = await engine.attentionBackward(dOut, { q, k, v, ...want }, options);
  const before = engine.memory.used;
  const tensors = [half, k, v, dOut].map((tensor) => place(engine, tensor));
  const [tq, tk, tv, tdOut] = tensors;
  device.pushErrorScope("validation");
  const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass();
  doubling(device, bufferOf(tq))(pass); // q = 2 (q / 2)
  const { out, lse } = engine.encode(pass, tq, tk, tv, options);
  const saved = { q: tq, k: tk, v: tv, out, lse };
  const back = engine.encodeBackward(pass, tdOut, saved, options);
  doubling(device, bufferOf(back.dv))(pass);
  pass.end();
  device.queue.submit([encoder.finish()]);
  assert.equal(await device.popErrorScope(), null);
  const got = await homes({ out, lse, ...back });
  for (const name of ["out", "lse"] as const) {
    sameBits(got[name], hostTensor(want[name] as HostTensor), name);
  }
  for (const name of ["dq", "dk"] as const) {
    sameBits(got[name], hostTensor(wantBack[name] as HostTensor), name);
  }
  const dv = hostTensor(wantBack.dv as HostTensor);
  sameBits(got.dv, { ...dv, data: dv.data.map((x) => 2 * x) as Float32Array }, "dv, doubled");
  for (const tensor of [...tensors, out, lse, back.dq, back.dk, back.dv]) tensor.dispose();
  assert.equal(engine.memory.used, before, "scratch of encoded calls goes with their results");
});

gpuTest("encoding takes host operands, 16 bits, decode and empty problems", async () => {
  using engine = await gpuEngine();
  const device = deviceOf(engine);
  const narrow = ({ data, shape }: TestTensor) =>
    ({ data: encode(decode(data, "f32"), "f16", "bits"), shape, dtype: "f16" }) as const;
  const token = plainTensor(7, [1, 1, 8, 32]), cache = plainTensor(8, [1, 900, 2, 32]);
  const none = plainTensor(1, [1, 0, 4, 32]), some = plainTensor(1, [1, 3, 4, 32]);
  for (
    const [a, b] of [[q, k], [narrow(q), narrow(k)], [token, cache], [some, none], [none, some]]
  ) {
    const want = await homes(await engine.attention(a, b, b));
    const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass();
    const encoded = engine.encode(pass, a, b, b);
    pass.end();
    device.queue.submit([encoder.finish()]);
    for (const [name, tensor] of Object.entries(await homes(encoded))) {
      sameBits(tensor, want[name], `${name} of ${a.shape}`);
    }
  }
});

gpuTest("encoding refuses what is no pass and what one pass cannot hold, and keeps nothing", async () => {
  using engine = await gpuEngine();
  for (const pass of [null, {}, deviceOf(engine).createCommandEncoder()]) {
    assert.throws(() => engine.encode(pass as object, q, k, v), /TypeError.*GPUComputePassEncoder/);
  }
  const { engine: small } = await forcedEngine({ limits: { storageBinding: 4096 } });
  const encoder = deviceOf(small).createCommandEncoder(), pass = encoder.beginComputePass();
  const saved = { q, k, v, out: dOut, lse: plainTensor(5, [2, 4, 40]) };
  assert.throws(() => small.encodeBackward(pass, dOut, saved), UnsupportedError);
  assert.equal(small.memory.used, 0);
  pass.end();
  small.dispose();
});

gpuTest("merging resident parts agrees with attention over all keys and with the CPU", async () => {
  using engine = await gpuEngine();
  for (const layout of ["bshd", "bhsd"] as const) {
    for (const valueDim of [32, 21]) {
      const shape = (length: number, heads: number, dim: number) =>
        layout === "bshd" ? [2, length, heads, dim] : [2, heads, length, dim];
      const query = plainTensor(1, shape(9, 4, 32));
      const parts = [30, 1, 50].map((n) => [
        plainTensor(n, shape(n, 2, 32)),
        plainTensor(n + 1, shape(n, 2, valueDim)),
      ]);
      using rq = place(engine, query);
      const resident: AttentionResult<Tensor>[] = [], host: AttentionResult<HostTensor>[] = [];
      for (const [key, value] of parts) {
        resident.push(await engine.attention(rq, key, value, { layout }));
        host.push(await engine.attention(query, key, value, { layout }));
      }
      const nothing = { mask: { data: new Uint8Array(1), shape: [1] }, layout };
      resident.push(await engine.attention(rq, parts[0][0], parts[0][1], nothing));
      const merged = engine.mergeAttention(resident, { layout });
      const want = mergeAttention(host, { layout });
      close(await home(merged.out), hostTensor(want.out), 1e-6, `out, ${layout} ${valueDim}`);
      close(await home(merged.lse), hostTensor(want.lse), 2e-6, `lse, ${layout} ${valueDim}`);
    }
  }
});

gpuTest("merging 16-bit parts rounds once, and parts that saw nothing give 0 and −∞", async () => {
  using engine = await gpuEngine();
  for (const dtype of ["f16", "bf16"] as const) {
    const tensor = (seed: number, shape: number[]): TestTensor => ({
      data: encode(Float64Array.from(plainTensor(seed, shape).data), dtype, "bits"),
      shape,
      dtype,
    });
    const rows = [1, 2, 3].map((seed) => tensor(seed, [1, 5, 2, 21]));
    const lse = [4, 5, 6].map((seed) => plainTensor(seed, [1, 2, 5]));
    const want = mergeAttention(rows.map((out, n) => ({ out, lse: lse[n] })));
    const before = engine.memory.used;
    const resident = rows.map((out, n) => ({ out: place(engine, out), lse: place(engine, lse[n]) }));
    const merged = engine.mergeAttention(resident);
    assert.equal(merged.out.dtype, dtype);
    close(await home(merged.out), hostTensor(want.out), dtype === "f16" ? 1e-3 : 8e-3, `out ${dtype}`);
    close(await home(merged.lse), hostTensor(want.lse), 1e-6, `lse ${dtype}`);
    for (const part of [...resident, merged]) [part.out, part.lse].map((tensor) => tensor.dispose());
    assert.equal(engine.memory.used, before);
  }
  using out = place(engine, plainTensor(1, [1, 2, 1, 3]));
  using lse = engine.tensor(new Float32Array([-Infinity, -Infinity]), [1, 1, 2]);
  const merged = engine.mergeAttention([{ out, lse }, { out, lse }]);
  assert.deepEqual([...(await home(merged.out)).data], [0, 0, 0, 0, 0, 0]);
  assert.deepEqual([...(await home(merged.lse)).data], [-Infinity, -Infinity]);
});

/** Calls of many shapes that share few shaders. */
const shapes = Array.from({ length: 20 }, (_, n) => [1 + n % 2, 1 + (n * 7) % 60, 4, 32]);
const many = shapes.map((shape, n) => ({
  q: plainTensor(3 * n, shape),
  k: plainTensor(3 * n + 1, [shape[0], 20 + n * 5, 2, 32]),
  v: plainTensor(3 * n + 2, [shape[0], 20 + n * 5, 2, 32]),
}));

gpuTest("200 calls leave the memory as it was and the number of buffers bounded", async () => {
  const device = await callersDevice(), watch = watchDevice(device);
  using engine = await gpuEngine({ device });
  using rq = place(engine, many[3].q);
  const { used } = engine.memory, counts: number[] = [];
  for (let n = 0; n < 200; n++) {
    const one = many[n % 20], on = n % 20 === 3 ? rq : one.q;
    const { out, lse } = await engine.attention(on, one.k, one.v, options);
    if (n % 4 === 3) {
      const back = await engine.attentionBackward(out, { q: on, k: one.k, v: one.v, out, lse });
      for (const tensor of Object.values(back)) if ("dispose" in tensor) tensor.dispose();
    }
    for (const tensor of [out, lse] as AnyTensor[]) if ("dispose" in tensor) tensor.dispose();
    assert.equal(engine.memory.used, used, `after call ${n}`);
    counts.push(watch.live.size);
  }
  // the pool is full after the first hundred calls, which had every shape
  assert.equal(Math.max(...counts.slice(100)), counts[99], counts.join());
  rq.dispose();
  engine.dispose();
  assert.equal(watch.live.size, 0, "a disposed engine leaves no buffer on a caller's device");
  device.destroy();
});

gpuTest("20 calls of different shapes at a time give the bits of calls one after the other", async () => {
  using engine = await gpuEngine();
  const run = async ({ q, k, v }: typeof many[0]) => {
    const { out, lse } = await engine.attention(q, k, v, options);
    return { out, lse, ...await engine.attentionBackward(q, { q, k, v, out, lse }, options) };
  };
  const alone: Record<string, TestTensor>[] = [];
  for (const call of many) alone.push(await homes(await run(call)));
  const together = await Promise.all(many.map(run));
  for (const [n, results] of together.entries()) {
    for (const [name, tensor] of Object.entries(await homes(results))) {
      sameBits(tensor, alone[n][name], `${name} of call ${n}`);
    }
  }
});

gpuTest("ten repeats give the same bits, resident and host, forward and backward", async () => {
  using engine = await gpuEngine();
  const bias = plainTensor(9, [4, 40, 40]), all = { ...options, bias };
  const run = async (on: boolean) => {
    using places = new DisposableStack();
    const [a, b, c] = [q, k, v].map((x) => on ? places.use(place(engine, x)) : x) as AnyTensor[];
    const forward = await engine.attention(a, b, c, all);
    const back = await engine.attentionBackward(dOut, { q: a, k: b, v: c, ...forward }, all);
    const got = await homes({ ...forward, ...back });
    for (const x of [...Object.values(forward), ...Object.values(back)] as AnyTensor[]) {
      if ("dispose" in x) x.dispose();
    }
    return got;
  };
  const want = await run(false);
  for (let repeat = 0; repeat < 10; repeat++) {
    for (const [name, tensor] of Object.entries(await run(repeat % 2 === 0))) {
      sameBits(tensor, want[name], `${name}, repeat ${repeat}`);
    }
  }
});

gpuTest("what a caller reads with its own commands is what the tensor reads", async () => {
  using engine = await gpuEngine();
  const device = deviceOf(engine);
  using rq = place(engine, q);
  const { out } = await engine.attention(rq, k, v);
  const staging = device.createBuffer({ size: bufferOf(out).size, usage: USAGE.mapRead | USAGE.copyTarget });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(bufferOf(out), 0, staging, 0, staging.size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(MAP_READ);
  const words = new Float32Array(staging.getMappedRange()).slice(0, q.data.length);
  staging.destroy();
  assert.deepEqual(words, await out.read());
});
