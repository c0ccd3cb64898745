/** Resident tensors of both engines: making, writing boxes, types, and what running calls need of them. */

import assert from "node:assert/strict";
import { createEngine, type DType, type Engine, type HostTensor, type Tensor } from "../mod.ts";
import { ResidentTensor } from "../src/tensor/resident.ts";
import { narrowed, widened } from "../src/tensor/convert.ts";
import { onEngines } from "./engines.ts";
import { decode, encode } from "./half.ts";
import { plainTensor } from "./inputs.ts";
import { normalNumbers, randomNumbers } from "./random.ts";
import { mapTuple } from "./tuples.ts";

const values = (n: number, seed = 1) => Float32Array.from(normalNumbers(seed, n));

Deno.test("conversions on the host round every value to the nearest, ties to even", () => {
  const all = Uint16Array.from({ length: 65536 }, (_, n) => n), random = randomNumbers(3);
  const word = new Uint32Array(200_000).map(() => Math.floor(random() * 2 ** 32));
  const any = new Float32Array(word.buffer); // every exponent, NaN and infinity too
  for (const dtype of ["f16", "bf16"] as const) {
    assert.deepEqual([...widened(all, dtype)], [...Float32Array.from(decode(all, dtype))], dtype);
    const want = decode(encode(Float64Array.from(any), dtype), dtype);
    assert.deepEqual(
      [...widened(narrowed(any, dtype), dtype)],
      [...Float32Array.from(want)],
      dtype,
    );
    const exact = widened(all, dtype); // and back, ties between neighbours included
    const between = exact.map((x, n) => (x + exact[Math.min(65535, n + 1)]!) / 2);
    const halfway = decode(encode(Float64Array.from(between), dtype), dtype);
    assert.deepEqual([...widened(narrowed(between, dtype), dtype)], [
      ...Float32Array.from(halfway),
    ]);
  }
});

onEngines("a tensor is made from an array, a strided tensor, or nothing", async (engine) => {
  const data = values(24);
  using plain = engine.tensor(data, [2, 3, 4]);
  assert.deepEqual([...await plain.read()], [...data]);
  // every other row of a larger array
  const strided: HostTensor = { data: values(100), shape: [3, 4], strides: [8, 1] };
  using gathered = engine.tensor(strided);
  const rows = [0, 8, 16].flatMap((at) => [...(strided.data as Float32Array).subarray(at, at + 4)]);
  assert.deepEqual([...await gathered.read()], rows);
  // one row for all, in fewer values than elements
  using repeated = engine.tensor({ data: values(4), shape: [3, 4], strides: [0, 1] });
  assert.deepEqual([...await repeated.read()], [1, 2, 3].flatMap(() => [...values(4)]));
  using empty = engine.empty([5, 2], "bf16");
  assert.deepEqual([empty.dtype, empty.shape, (await empty.read()).length], ["bf16", [5, 2], 10]);
  for (const dtype of ["f16", "bf16"] as const) {
    using half = engine.tensor({ data, shape: [24] }, dtype);
    using same = engine.tensor(data, [24], dtype);
    const want = [...encode(Float64Array.from(data), dtype)];
    assert.deepEqual([half.dtype, [...await half.read()], [...await same.read()]], [
      dtype,
      want,
      want,
    ]);
    assert.deepEqual([...await half.read("f32")], [...decode(Uint16Array.from(want), dtype)]);
  }
});

onEngines("boxes are written where they belong, whatever the layout", async (engine) => {
  const [B, H, L, D] = [2, 3, 6, 4];
  for (const dtype of ["f32", "f16"] as const) {
    using cache = engine.tensor(new Float32Array(B * H * L * D), [B, H, L, D], dtype);
    const want = new Float32Array(B * H * L * D);
    const token = values(H * D).map(Math.fround).map((x) => Math.round(8 * x) / 8);
    cache.write({ data: token, shape: [1, H, 1, D] }, [1, 0, 4]);
    for (let h = 0; h < H; h++) want.set(token.subarray(h * D, h * D + D), ((H + h) * L + 4) * D);
    const rows = token.subarray(0, 2 * D);
    cache.write({ data: rows, shape: [1, 1, 2, D] }, [0, 2, 1]);
    want.set(rows, (2 * L + 1) * D);
    cache.write(rows.subarray(0, D), [1, 1, 5]); // one row by its index
    want.set(rows.subarray(0, D), ((H + 1) * L + 5) * D);
    assert.deepEqual([...await cache.read("f32")], [...want], dtype);
  }
});

onEngines("a write that does not fit is refused before anything is written", async (engine) => {
  using tensor = engine.tensor(new Float32Array(24), [2, 3, 4]);
  const row = values(4);
  const bad: readonly [unknown, unknown, RegExp][] = [
    [
      row,
      [2, 0],
      /shape \[1, 1, 4\] at \[2, 0, 0\] is not inside of a tensor of shape \[2, 3, 4\]/,
    ],
    [row, [0, 0, 0, 0], /at is \[0, 0, 0, 0\] but must be an index of up to 3 axes/],
    [row, [0.5], /at \[0.5, 0, 0\]/],
    [row, [0], /data has 4 elements but a box of shape \[1, 3, 4\].* has 12/],
    [row, 21, /at is 21 with 4 elements but the tensor has 24/],
    [{ data: row, shape: [4] }, 0, /shape \[4\]/],
    [{ data: row, shape: [1, 2, 4] }, 0, /data has 4 elements but shape \[1, 2, 4\] needs 8/],
    [new Uint16Array(4), 0, /data is a Uint16Array but the tensor has dtype "f32"/],
    [null, 0, /data is null but must be an array or a tensor/],
    ["abc", 0, /data is "abc" but must be an array or a tensor/],
  ];
  for (const [data, at, message] of bad) {
    assert.throws(() => tensor.write(data as Float32Array, at as number), { message });
  }
  assert.ok((await tensor.read()).every((x) => x === 0));
  assert.throws(() => engine.empty([2 ** 40]), { name: "RangeError", message: /4398046511104/ });
  assert.throws(() => engine.empty([2 ** 52, 2 ** 52]), RangeError);
  assert.throws(() => engine.empty([-1]), /shape is \[-1\]/);
  assert.throws(() => engine.empty([1], "f64" as DType), /dtype is "f64"/);
  assert.throws(() => engine.tensor(new Uint16Array(1), [1]), /Uint16Array needs "f16" or "bf16"/);
  assert.throws(
    () => engine.tensor({ data: new Uint16Array(1), shape: [1], dtype: "f16" }, "f32"),
    {
      message: /dtype is "f32" but the values have dtype "f16"/,
    },
  );
});

onEngines("a tensor that cannot be filled leaves no memory behind", async (engine) => {
  const { used } = engine.memory, data = new Float32Array(4), shape = [2, 2];
  assert.throws(() => engine.tensor({ data, shape, strides: [3, 1] }), RangeError);
  for (const n of [3, 5]) {
    const wanted = new RegExp(`data has ${n} elements but shape \\[2, 2\\] needs 4`);
    assert.throws(() => engine.tensor(new Float32Array(n), shape), wanted);
  }
  assert.equal(engine.memory.used, used);
  await Promise.resolve();
});

/** Resident q, k, v of a call that takes long enough to do something meanwhile. */
function longCall(
  engine: Engine,
): { inputs: [Tensor, Tensor, Tensor]; hosts: [HostTensor, HostTensor, HostTensor] } {
  const length = engine.backend === "wasm" ? 1500 : 300, shape = [1, length, 2, 32];
  const hosts = mapTuple([1, 2, 3], (seed) => plainTensor(seed, shape));
  return { hosts, inputs: mapTuple(hosts, (host) => engine.tensor(host)) };
}

onEngines(
  "memory of a running call is kept until it ends, also of disposed tensors",
  async (engine) => {
    const { hosts: [q, k, v], inputs } = longCall(engine);
    const want = await engine.attention(q, k, v), before = engine.memory.used;
    const call = engine.attention(...inputs);
    await Promise.resolve(); // it has begun
    const others = await new Promise<Tensor[]>((done) =>
      setTimeout(() => {
        inputs[1].dispose();
        inputs[2].dispose();
        const poison = new Float32Array(k.data.length).fill(1000);
        done([0, 1].map(() => engine.tensor(poison, k.shape)));
      })
    );
    const { out, lse } = await call;
    assert.deepEqual(await out.read(), want.out.data);
    for (const tensor of [...others, inputs[0], out, lse]) tensor.dispose();
    const bytes = k.data.length * 4;
    assert.ok(engine.memory.used <= before - 2.9 * bytes, "disposed memory came back");
  },
);

Deno.test("a disposed tensor is freed once, when the last call with it has ended", () => {
  let freed = 0;
  class Counted extends ResidentTensor {
    protected override free(): void {
      freed++;
    }
    protected override check(): void {}
    protected override put(): void {}
    protected override get(): Promise<Float32Array> {
      return Promise.resolve(new Float32Array(4));
    }
  }
  const held = new Counted([4], "f32"), written = new Counted([4], "f32");
  for (let n = 0; n < 2; n++) held.hold(true);
  held.dispose();
  held.release(true);
  assert.deepEqual([freed, held.isRead], [0, true]);
  held.release(true);
  held.dispose();
  assert.deepEqual([freed, held.isRead], [1, false]);
  written.occupy(true);
  written.dispose();
  assert.deepEqual([freed, written.isWritten], [1, true]);
  written.occupy(false);
  assert.equal(freed, 2);
  new Counted([4], "f32").dispose();
  assert.equal(freed, 3);
});

onEngines(
  "a tensor is not written while a call reads it, and may be afterwards",
  async (engine) => {
    const { inputs } = longCall(engine), [q, k, v] = inputs, row = values(64);
    const first = engine.attention(q, k, v), second = engine.attention(q, k, v);
    assert.throws(() => k.write(row), /a call that reads it is under way, await it first/);
    const results = await Promise.all([first, second]);
    k.write(row);
    assert.deepEqual([...(await k.read()).subarray(0, 64)], [...row]);
    for (const { out, lse } of results) [out, lse].forEach((tensor) => tensor.dispose());
    inputs.forEach((tensor) => tensor.dispose());
  },
);

onEngines(
  "a host array that is transferred while its call waits is a TypeError by name",
  async (engine) => {
    const { hosts } = longCall(engine), names = ["q", "k", "v"] as const;
    for (const [n, name] of names.entries()) {
      const tensors = mapTuple([1, 2, 3], (seed) => plainTensor(seed, [1, 40, 2, 16]));
      const before = engine.attention(...hosts);
      const call = engine.attention(...tensors);
      structuredClone(tensors[n]!.data, { transfer: [tensors[n]!.data.buffer as ArrayBuffer] });
      await assert.rejects(call, {
        name: "TypeError",
        message: new RegExp(`${name}\\.data has 0 elements`),
      });
      await before;
    }
    const buffer = new ArrayBuffer(4096, { maxByteLength: 4096 });
    const data = new Float32Array(buffer, 0, 1024).fill(1), small = { data, shape: [1, 16, 1, 64] };
    const before = engine.attention(...hosts);
    const call = engine.attention(small, small, small);
    buffer.resize(1024);
    await assert.rejects(call, { name: "TypeError", message: /q\.data has \d+ elements now/ });
    await before;
  },
);

Deno.test("a host array that is transferred between two parts of its call is a TypeError too", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const [q, k, v] = mapTuple([1, 2, 3], (n) => plainTensor(n, [1, 2, 1024, 64]));
  let looks = 0;
  const signal = {
    // asked as the call begins, and before each step of it: the first head is brought in by then, the second is not
    throwIfAborted() {
      if (++looks === 3) structuredClone(v.data, { transfer: [v.data.buffer as ArrayBuffer] });
    },
  };
  const call = engine.attention(q, k, v, { layout: "bhsd", signal });
  await assert.rejects(call, { name: "TypeError", message: /v\.data has 0 elements now/ });
  assert.ok(looks >= 3);
});

onEngines(
  "a destination that goes away while its call runs is a TypeError by name",
  async (engine) => {
    const x = plainTensor(1, [1, 40, 2, 16]), size = 40 * 2 * 16;
    await engine.attention(x, x, x); // its scratch stays
    const before = engine.memory.used;
    for (const strides of [undefined, [size, 64, 32, 1]]) { // written as it is, or copied to in the end
      for (const left of [0, 64]) {
        const buffer = new ArrayBuffer(4 * 64 * 40, { maxByteLength: 4 * 64 * 40 });
        const out = { data: new Float32Array(buffer), shape: x.shape, strides };
        const call = engine.attention(x, x, x, { into: { out } });
        if (left > 0) buffer.resize(left);
        else structuredClone(buffer, { transfer: [buffer] });
        await assert.rejects(call, {
          name: "TypeError",
          message: /into\.out\.data has \d+ elements now but \d+ are written/,
        });
      }
    }
    await engine.synchronize();
    assert.equal(engine.memory.used, before);
  },
);

Deno.test({
  name: "memory past 2 and 3 GiB is memory like any other",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    const inputs = mapTuple([1, 2, 3], (seed) => plainTensor(seed, [1, 70, 2, 16]));
    const [q, k, v] = inputs,
      mask = { data: new Uint8Array(4900).map((_, n) => n % 3), shape: [70, 70] };
    const bias = plainTensor(4, [70, 70]), dOut = plainTensor(5, q.shape);
    const options = { mask: { ...mask, data: mask.data.map((x) => x && 1) }, bias, causal: true };
    for (const threads of [1, 2]) {
      using engine = await createEngine({ backend: "wasm", threads });
      const run = async () => {
        const forward = await engine.attention(q, k, v, options);
        const decode = await engine.attention(
          { ...q, data: q.data.slice(0, 32), shape: [1, 1, 2, 16] },
          k,
          v,
        );
        const saved = { q, k, v, ...forward };
        return { forward, decode, gradients: await engine.attentionBackward(dOut, saved, options) };
      };
      const want = await run();
      // never touched, so that it is address space only
      const untouched = (gib: number) => engine.empty([Math.floor(gib * 2 ** 28)]);
      using _low = untouched(2.1);
      assert.ok(engine.memory.total > 2 ** 31);
      assert.deepEqual(await run(), want);
      using _high = untouched(0.95);
      assert.ok(engine.memory.total > 3 * 2 ** 30);
      assert.deepEqual(await run(), want);
      const placed = mapTuple(inputs, (host) => engine.tensor(host));
      assert.deepEqual(
        await (await engine.attention(...placed, options)).out.read(),
        want.forward.out.data,
      );
    }
  },
});
