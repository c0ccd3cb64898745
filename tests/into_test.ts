/** Results where the caller has room for them: the same bits in every kind of place, nothing else touched, and refusals. */

import assert from "node:assert/strict";
import {
  type AnyTensor,
  type AttentionOptions,
  createEngine,
  type Engine,
  type HostTensor,
  UnsupportedError,
} from "../mod.ts";
import { USAGE } from "../src/webgpu/device/api.ts";
import { decode, encode } from "./half.ts";
import { plainTensor } from "./inputs.ts";
import { mapTuple } from "./tuples.ts";
import type { Part } from "./selection.ts";
import { forcedEngine, gpuTest } from "./webgpu/support.ts";

const [q, dOut] = mapTuple([1, 4], (seed) => plainTensor(seed, [2, 21, 4, 16]) as HostTensor);
const [k, v] = mapTuple([2, 3], (seed) => plainTensor(seed, [2, 33, 2, 16]) as HostTensor);
const sink = plainTensor(5, [4]) as HostTensor, alibiSlopes = plainTensor(6, [4]) as HostTensor;
const bias = plainTensor(7, [4, 1, 33]) as HostTensor;

/** What lies between the elements of a destination. */
const GAP = 77;

function onEngines(
  name: string,
  check: (engine: Engine) => Promise<void>,
  gpu: Part = "core",
): void {
  for (const threads of [1, 2]) {
    Deno.test(`${name}: wasm, ${threads} threads`, async () => {
      using engine = await createEngine({ backend: "wasm", threads });
      await check(engine);
    });
  }
  gpuTest(`${name}: webgpu`, async () => {
    const { engine } = await forcedEngine({});
    await check(engine);
    engine.dispose();
  }, { part: gpu });
}

const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** A new array like that of a tensor, full of what no result is. */
function arrayLike({ data }: HostTensor, length: number): Float32Array {
  const Values = data.constructor as Float32ArrayConstructor;
  return new Values(length).fill(GAP);
}

/** Destinations of one kind; `values` are those at the places of its elements, in order. */
interface Kind {
  make(engine: Engine, like: HostTensor): AnyTensor;
  values(tensor: AnyTensor): ArrayLike<number> | Promise<ArrayLike<number>>;
}

const dense: Kind = {
  make: (_, like) => ({ ...like, data: arrayLike(like, product(like.shape)) }),
  values: (tensor) => (tensor as HostTensor).data,
};

/** Every axis but the last is longer in memory than it is, and the array longer than all. */
const strided: Kind = {
  make(_, like) {
    const { shape } = like, strides: number[] = [];
    let next = 1;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      strides[axis] = next;
      next *= shape[axis]! + (axis > 0 ? axis : 0);
    }
    return { ...like, data: arrayLike(like, next + 3), strides };
  },
  values(tensor) {
    const { data, shape, strides } = tensor as HostTensor, found = new Set<number>();
    const at = (n: number) => {
      let offset = 0;
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        offset += n % shape[axis]! * strides![axis]!;
        n = Math.floor(n / shape[axis]!);
      }
      found.add(offset);
      return offset;
    };
    const values = Array.from({ length: product(shape) }, (_, n) => data[at(n)]!);
    assert.ok(
      (data as Float32Array).every((x, n) => x === GAP || found.has(n)),
      "gaps are left alone",
    );
    return values;
  },
};

const resident: Kind = {
  make: (engine, like) =>
    engine.tensor(arrayLike(like, product(like.shape)), like.shape, like.dtype),
  values: async (tensor) => await (tensor as { read(): Promise<Float32Array> }).read(),
};

/** Runs both passes into destinations of a kind, and fails unless they hold the bits of new results. */
async function checkBoth(
  engine: Engine,
  inputs: { q: HostTensor; k: HostTensor; v: HostTensor; dOut: HostTensor },
  options: AttentionOptions,
  kind: Kind,
  about: string,
): Promise<void> {
  const { dOut, ...saved } = inputs, { q, k, v } = saved;
  const want = await engine.attention(q, k, v, options);
  const back = await engine.attentionBackward(dOut, { ...saved, ...want }, options);
  const all: Record<string, HostTensor> = { ...want, ...back } as never;
  const into = Object.fromEntries(
    Object.entries(all).map(([name, like]) => [name, kind.make(engine, like)]),
  );
  const got = await engine.attention(q, k, v, { ...options, into });
  const gradients = await engine.attentionBackward(dOut, { ...saved, ...want }, {
    ...options,
    into,
  });
  for (const [name, tensor] of Object.entries({ ...got, ...gradients })) {
    assert.equal(tensor, into[name], `${about}: ${name} is the tensor that was given`);
    assert.deepEqual(
      [...Array.from(await kind.values(into[name]!))],
      [...Array.from(all[name]!.data as Float32Array)],
      `${about}: ${name}`,
    );
  }
  for (const tensor of Object.values(into)) if ("dispose" in tensor) tensor.dispose();
}

const kinds = { dense, strided, resident };
const halved = ({ data, shape }: HostTensor): HostTensor => (
  { data: encode(decode(data as Float32Array, "f32"), "f16") as Uint16Array, shape, dtype: "f16" }
);

onEngines("host, strided and resident destinations get the bits of new results", async (engine) => {
  const inputs = { q, k, v, dOut }, f16 = mapTuple([q, k, v, dOut], halved);
  const half = { q: f16[0], k: f16[1], v: f16[2], dOut: f16[3] };
  await checkBoth(engine, inputs, { bias }, dense, "first"); // which makes scratch that stays
  for (const [name, kind] of Object.entries(kinds)) {
    const { used } = engine.memory;
    await checkBoth(engine, inputs, { causal: true }, kind, name);
    await checkBoth(engine, inputs, { bias, sink, alibiSlopes }, kind, `${name}, sums`);
    await checkBoth(engine, inputs, { keyLengths: [0, 20] }, kind, `${name}, rows without keys`);
    await checkBoth(engine, half, { causal: true }, kind, `${name}, 16 bits`);
    assert.equal(engine.memory.used, used, `${name}: nothing is kept`);
  }
}, "rest");

onEngines(
  "inputs that stay and strided destinations: sums are copied there in the end",
  async (engine) => {
    using places = new DisposableStack();
    const put = ({ data, shape }: HostTensor) => places.use(engine.tensor(data, shape));
    const [rq, rk, rv, rd, rb] = mapTuple([q, k, v, dOut, bias], put);
    const forward = await engine.attention(rq, rk, rv, { bias: rb });
    for (const tensor of [forward.out, forward.lse]) places.use(tensor);
    const saved = { q: rq, k: rk, v: rv, ...forward };
    const want = await engine.attentionBackward(rd, saved, { bias: rb });
    const dBias = strided.make(engine, bias), { used } = engine.memory;
    const got = await engine.attentionBackward(rd, saved, { bias: rb, into: { dBias } });
    assert.equal(got.dBias, dBias);
    const values = await resident.values(want.dBias!);
    assert.deepEqual([...Array.from(await strided.values(dBias))], [...Array.from(values)]);
    for (const tensor of [got.dq, got.dk, got.dv]) tensor.dispose();
    assert.equal(engine.memory.used, used, "nothing is kept");
    for (const tensor of Object.values(want)) tensor.dispose();
  },
  "rest",
);

Deno.test("a call without room for its other results lets go of its destination", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1, memoryBudget: 2 ** 22 });
  const rq = engine.tensor(new Float32Array(2 ** 16), [1, 2 ** 13, 1, 8]);
  const out = engine.empty(rq.shape), rest = [];
  for (let n = 2 ** 18; n >= 2 ** 10; n /= 2) {
    try {
      while (true) rest.push(engine.empty([n]));
    } catch (error) {
      assert.ok(error instanceof RangeError); // less room than that is left
    }
  }
  await assert.rejects(engine.attention(rq, rq, rq, { into: { out } }), RangeError);
  for (const tensor of [...rest, rq]) tensor.dispose();
  const { used } = engine.memory;
  out.dispose();
  assert.equal(engine.memory.used, used - 2 ** 18);
});

onEngines("packed sequences with empty ones, and rows behind the last", async (engine) => {
  const [q, dOut] = mapTuple([1, 4], (n) => plainTensor(n, [30, 4, 16]) as HostTensor);
  const [k, v] = mapTuple([2, 3], (n) => plainTensor(n, [40, 2, 16]) as HostTensor);
  const options = {
    cuSeqlensQ: Int32Array.of(0, 7, 7, 28),
    cuSeqlensK: Int32Array.of(0, 0, 12, 40),
  };
  for (const [name, kind] of Object.entries(kinds)) {
    await checkBoth(engine, { q, k, v, dOut }, options, kind, name);
  }
});

onEngines("gradients of q, k and v go side by side into one array", async (engine) => {
  const [q, k, v, dOut] = mapTuple([1, 2, 3, 4], (n) => plainTensor(n, [1, 9, 2, 8]) as HostTensor);
  const forward = await engine.attention(q, k, v), saved = { q, k, v, ...forward };
  const want = await engine.attentionBackward(dOut, saved);
  const data = new Float32Array(9 * 3 * 16);
  const part = (n: number) => ({
    data: data.subarray(16 * n),
    shape: [1, 9, 2, 8],
    strides: [9 * 48, 48, 8, 1],
  });
  await engine.attentionBackward(dOut, saved, { into: { dq: part(0), dk: part(1), dv: part(2) } });
  for (let row = 0; row < 9; row++) {
    for (const [n, name] of (["dq", "dk", "dv"] as const).entries()) {
      const got = data.subarray(row * 48 + n * 16, row * 48 + n * 16 + 16);
      const { data: all } = want[name] as HostTensor<Float32Array>;
      assert.deepEqual(got, all.subarray(row * 16, row * 16 + 16), `${name}, row ${row}`);
    }
  }
  const into = { dq: part(0), dk: { ...part(0), data: data.subarray(8) } };
  await assert.rejects(
    engine.attentionBackward(dOut, saved, { into }),
    /RangeError.*into.dk shares memory with into.dq/,
  );
});

onEngines("what cannot be a destination is refused by name, before any work", async (engine) => {
  const shape = q.shape, n = product(shape), out = () => new Float32Array(n).fill(GAP);
  const cases: [unknown, RegExp][] = [
    [5, /TypeError.*into is 5 but must be an object/],
    [{ output: q }, /TypeError.*into has the unknown name "output", wanted one of out, lse/],
    [{ out: 5 }, /TypeError.*into\.out is 5 but must be a tensor/],
    [
      { out: { data: out(), shape: [2, 4, 21, 16] } },
      /RangeError.*into\.out has shape \[2, 4, 21, 16\] but must have \[2, 21, 4, 16\]/,
    ],
    [
      { out: { data: new Uint16Array(n), shape, dtype: "f16" } },
      /TypeError.*into\.out has dtype "f16" but must have "f32"/,
    ],
    [
      { out: { data: out(), shape, strides: [1344, 64, 15, 1] } },
      /RangeError.*into\.out has strides .* a place of its own/,
    ],
    [{ out: { data: out().subarray(1), shape } }, /RangeError.*into\.out\.data has 2687 elements/],
    [{ out: q }, /RangeError.*into\.out shares memory with q but must have its own/],
    [
      { lse: { data: new Float32Array(v.data.buffer, 0, 168), shape: [2, 4, 21] } },
      /into\.lse shares memory with v/,
    ],
  ];
  for (const [into, message] of cases) {
    const options = { into } as AttentionOptions;
    await assert.rejects(engine.attention(q, k, v, options), message);
  }
  const forward = await engine.attention(q, k, v), saved = { q, k, v, ...forward };
  await assert.rejects(
    engine.attentionBackward(dOut, saved, { into: { dBias: bias } }),
    /TypeError.*into\.dBias is given but the call has no bias/,
  );
  using stranger = await createEngine({ backend: "wasm", threads: 1 });
  using foreign = stranger.empty(shape);
  await assert.rejects(
    engine.attention(q, k, v, { into: { out: foreign } }),
    /TypeError.*into\.out belongs to another engine/,
  );
  const sizes = { stage: "masked", into: { out: q } } as const;
  await assert.rejects(engine.attentionScores(q, k, sizes), UnsupportedError);
});

onEngines("while a call writes a tensor nobody else may use it", async (engine) => {
  using out = engine.empty(q.shape);
  const wants = await engine.attention(q, k, v);
  // all of them begin in one turn, before the first can end
  const call = engine.attention(q, k, v, { into: { out } });
  const [reading, writing, values] = [
    engine.attention(out, k, v),
    engine.attention(q, k, v, { into: { out } }),
    out.read(),
  ];
  assert.throws(() => out.write(new Float32Array(4)), /a call that writes it is under way/);
  using lse = engine.empty(wants.lse.shape);
  using cache = engine.kvCache({ sequences: 2, kvHeads: 4, headDim: 16, capacity: 21 });
  const written = (name: string) =>
    new RegExp(`TypeError.*a call that writes ${name} is under way`);
  assert.throws(() => engine.mergeAttention([{ out, lse }]), written("out"));
  assert.throws(() => engine.applyRotary(out), written("x"));
  assert.throws(() => cache.append(out, out), written("k"));
  assert.deepEqual([...cache.lengths], [0, 0]);
  if (engine.backend === "wasm") {
    assert.throws(() => engine.attentionSync(out, k, v), /a call that writes q is under way/);
    const into = { out };
    assert.throws(() => engine.attentionSync(q, k, v, { into }), /that writes into\.out is under/);
  }
  await Promise.all([
    assert.rejects(reading, /TypeError.*a call that writes q is under way/),
    assert.rejects(writing, /TypeError.*a call that writes into\.out is under way/),
    assert.rejects(values, /a call that writes it is under way/),
  ]);
  await call;
  assert.deepEqual(await out.read(), wants.out.data);
  const reader = engine.attention(out, k, v);
  const late = engine.attention(q, k, v, { into: { out } });
  await assert.rejects(late, /TypeError.*a call that reads into\.out is under way/);
  const { out: next, lse: ofNext } = await reader;
  for (const tensor of [next, ofNext]) tensor.dispose();
  const aborted = engine.attention(q, k, v, { into: { out }, signal: AbortSignal.abort() });
  await assert.rejects(aborted, { name: "AbortError" });
  out.write(new Float32Array(4)); // a call that failed lets go of it
});

Deno.test("the synchronous calls take destinations, and the engine is found by them", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const { attention } = await import("../mod.ts"), want = engine.attentionSync(q, k, v);
  using out = engine.empty(q.shape);
  const lse = { data: new Float32Array(2 * 4 * 21), shape: [2, 4, 21] };
  const got = engine.attentionSync(q, k, v, { into: { out, lse } });
  assert.equal(got.out as unknown, out);
  assert.deepEqual(lse.data, want.lse.data);
  out.write(new Float32Array(product(q.shape)));
  await attention(q, k, v, { into: { out } });
  assert.deepEqual(await out.read(), want.out.data);
});

gpuTest("buffers of the caller's: with just the room, at an offset, beside an input", async () => {
  const { engine } = await forcedEngine({}), device = engine.device as unknown as GPUDevice;
  const want = await engine.attention(q, k, v), n = product(q.shape), bytes = 4 * n;
  const usage = USAGE.storage | USAGE.copySource | USAGE.copyTarget;
  const before = new Float32Array(2 * n + 16).fill(GAP);
  before.set(q.data as Float32Array, n + 16);
  for (
    const [size, byteOffset] of [[bytes, 0], [2 * bytes + 64, 0], [2 * bytes + 64, 36]] as const
  ) {
    const buffer = device.createBuffer({ size, usage });
    device.queue.writeBuffer(buffer, 0, before.buffer, 0, size);
    const out = engine.wrap(buffer, q.shape, { byteOffset });
    // the input lies behind the result in the same buffer, where there is room
    const input = size > bytes ? engine.wrap(buffer, q.shape, { byteOffset: bytes + 64 }) : q;
    const { out: got } = await engine.attention(input, k, v, { into: { out } });
    assert.equal(got, out);
    assert.deepEqual(await out.read(), want.out.data, `${size} bytes at ${byteOffset}`);
    if (size > bytes) {
      using rest = engine.wrap(buffer, [n + 16 - byteOffset / 4], {
        byteOffset: byteOffset + bytes,
      });
      assert.deepEqual(
        await rest.read(),
        before.subarray(n + byteOffset / 4),
        "the rest is as it was",
      );
    }
    buffer.destroy();
  }
  const buffer = device.createBuffer({ size: bytes + 64, usage: USAGE.storage });
  const out = engine.wrap(buffer, q.shape);
  await assert.rejects(
    engine.attention(q, k, v, { into: { out } }),
    /TypeError.*into\.out.*without the usage COPY_DST/,
  );
  // what the library makes is as large as its values: other programs read whole buffers
  using own = engine.tensor(q.data, q.shape);
  const made = await engine.attention(own, k, v);
  assert.equal((made.out.buffer as { size: number }).size, bytes);
  for (const tensor of [made.out, made.lse]) tensor.dispose();
  const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass();
  assert.throws(() => engine.encode(pass as never, q, k, v, { into: { out } }), UnsupportedError);
  pass.end();
  engine.dispose();
});

onEngines("a result without elements may have a destination", async (engine) => {
  const none = { data: new Float32Array(0), shape: [1, 0, 4, 16] };
  const some = { data: new Float32Array(2 * 64).fill(1), shape: [1, 2, 4, 16] };
  const lse = { data: new Float32Array(0), shape: [1, 4, 0] };
  const out = { ...none, data: new Float32Array(0) };
  const saved = { q: none, k: some, v: some, ...await engine.attention(none, some, some) };
  const got = await engine.attention(none, some, some, { into: { out, lse } });
  assert.ok(got.out === out && got.lse === lse);
  const [dk, dv] = [some, some].map((x) => ({ ...x, data: arrayLike(x, 2 * 64) }));
  const dq = { ...none, data: new Float32Array(0) }, into = { dq, dk: dk!, dv: dv! };
  await engine.attentionBackward(none, saved, { into });
  assert.ok([...dk!.data, ...dv!.data].every((x) => x === 0));
});
