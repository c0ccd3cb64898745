/** Rotary positions: applyRotary(), that calls with the option do the same, and what follows from the definition. */

import assert from "node:assert/strict";
import {
  type AnyTensor,
  applyRotary,
  type ApplyRotaryOptions,
  attentionScores,
  attentionSync,
  createEngine,
  type Engine,
  type HostTensor,
  type Rotary,
  UnsupportedError,
} from "../mod.ts";
import { onEngines } from "./engines.ts";
import { decode, encode, halfUlp, smallestHalfStep, type StorageType } from "./half.ts";
import { plainTensor } from "./inputs.ts";
import { randomNumbers } from "./random.ts";
import type { TestTensor } from "./reference/problem.ts";
import { mapTuple } from "./tuples.ts";
import { home, homes } from "./webgpu/tensors.ts";

/** Values that a tensor must have once it has turned, in the order of x, "bshd" or "bhsd". */
function expected(x: TestTensor, options: ApplyRotaryOptions): Float64Array {
  const values = decode(x.data, x.dtype ?? dtypeOf(x)).slice(),
    [batch, a, b, dim] = x.shape as [
      ...[number, number, number, number],
    ];
  const length = options.layout === "bhsd" ? b : a, heads = options.layout === "bhsd" ? a : b;
  const { base = 10000, dims = dim, interleaved, inverse, cos, sin } = options;
  const positions = options.positions as Int32Array | undefined, half = dims / 2;
  for (let n = 0; n < batch * length * heads; n++) {
    const sequence = Math.floor(n / (length * heads));
    const row = options.layout === "bhsd" ? n % length : Math.floor(n / heads) % length;
    const position = !positions
      ? row
      : positions.length === length
      ? positions[row]!
      : positions[sequence * length + row]!;
    for (let p = 0; p < half; p++) {
      const angle = position * base ** (-2 * p / dims), at = position * half + p;
      const c = cos ? (cos as Float32Array)[at]! : Math.cos(angle);
      const s = (sin ? (sin as Float32Array)[at]! : Math.sin(angle)) * (inverse ? -1 : 1);
      const first = n * dim + (interleaved ? 2 * p : p), second = first + (interleaved ? 1 : half);
      const [u, v] = [values[first]!, values[second]!];
      values[first] = u * c - v * s;
      values[second] = v * c + u * s;
    }
  }
  return values;
}

const dtypeOf = (x: TestTensor): StorageType => x.data instanceof Float16Array ? "f16" : "f32";

/** Fails unless every value is within three roundings of the size of its pair, and that of its storage. */
function assertTurned(got: TestTensor, x: TestTensor, want: Float64Array, about: string): void {
  const dtype = x.dtype ?? dtypeOf(x), values = decode(got.data, got.dtype ?? dtypeOf(got));
  assert.deepEqual([...got.shape], [...x.shape], about);
  assert.equal(got.data.constructor, x.data.constructor, about);
  assert.equal(got.dtype ?? dtypeOf(got), dtype, about);
  const most = decode(x.data, dtype).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const bound = 3 * Math.SQRT2 * most * halfUlp.f32;
  want.forEach((value, n) => {
    const stored = dtype === "f32"
      ? 0
      : halfUlp[dtype] * (Math.abs(value) + bound) + smallestHalfStep[dtype];
    const error = Math.abs(values[n]! - value);
    assert.ok(error <= bound + stored, `${about}: [${n}] is ${values[n]}, wanted ${value}`);
  });
}

const random = randomNumbers(5);
const integers = (n: number, least: number, range: number) =>
  Int32Array.from({ length: n }, () => least + Math.floor(random() * range));
const table = (f: (x: number) => number) =>
  Float32Array.from({ length: 40 * 8 }, (_, n) => f(n * 0.37));

/** What is asked of x [2, 19, 3, 16], or of [2, 3, 19, 16]. */
const asked: readonly ApplyRotaryOptions[] = [
  ...[{}, { interleaved: true }, { dims: 6 }, { dims: 10, interleaved: true }, { base: 500 }],
  ...[{ inverse: true }, { layout: "bhsd" }, { layout: "bhsd", interleaved: true, inverse: true }],
  ...[{ positions: integers(19, -50, 100) }, { positions: integers(38, 0, 1000) }],
  ...[{ positions: integers(19, 1e6, 1000) }, { positions: integers(19, 2 ** 31 - 200, 100) }],
  { cos: table(Math.cos), sin: table(Math.sin), positions: integers(38, 0, 40) },
] as readonly ApplyRotaryOptions[];

/** x in the memory of an engine, or as it is. */
const placed = (engine: Engine, x: TestTensor): AnyTensor =>
  engine.backend === "webgpu" || !x.strides ? engine.tensor(x.data, x.shape, x.dtype) : x;

onEngines("applyRotary() turns pairs of columns, of host and resident tensors", async (engine) => {
  for (const [n, options] of asked.entries()) {
    const shape = options.layout === "bhsd" ? [2, 3, 19, 16] : [2, 19, 3, 16];
    const x = plainTensor(n, shape), want = expected(x, options), about = JSON.stringify(options);
    assertTurned(await home(engine.applyRotary(x, options)), x, want, about);
    const resident = placed(engine, x), turned = engine.applyRotary(resident, options);
    assert.ok("read" in turned && turned !== resident);
    assertTurned(await home(turned), x, want, `${about}, resident`);
    assertTurned(await home(applyRotary(resident, options)), x, want, "by the tensor's engine");
  }
});

onEngines("applyRotary() of 16 bits rounds once, odd columns and no rows", async (engine) => {
  for (const dim of [16, 9]) {
    const { data, shape } = plainTensor(dim, [2, 7, 3, dim]), options = { dims: 8 };
    const values = decode(data, "f32");
    for (const [dtype, storage] of [["f16", "bits"], ["bf16", "bits"], ["f16", "Float16Array"]]) {
      const stored = encode(values, dtype as "f16", storage as "bits");
      const x = { data: stored, shape, ...(storage === "bits" ? { dtype: dtype as "f16" } : {}) };
      const want = expected(x, options);
      assertTurned(await home(engine.applyRotary(x, options)), x, want, `${dtype} ${storage}`);
      if (storage !== "bits") continue;
      const resident = engine.tensor(stored, shape, dtype as "f16");
      assertTurned(await home(engine.applyRotary(resident, options)), x, want, `${dtype} resident`);
    }
  }
  for (const shape of [[0, 5, 2, 4], [2, 0, 2, 4], [2, 5, 0, 4]]) {
    const { data, shape: got } = await home(engine.applyRotary(plainTensor(1, shape)));
    assert.deepEqual([data.length, [...got]], [0, shape]);
  }
});

Deno.test("applyRotary() reads strides and returns rows one behind the other", () => {
  const dense = plainTensor(3, [2, 6, 2, 8]), data = new Float32Array(2 * 6 * 2 * 11).fill(NaN);
  for (let n = 0; n < 24; n++) {
    data.set((dense.data as Float32Array).subarray(8 * n, 8 * n + 8), 11 * n);
  }
  const strided = { data, shape: dense.shape, strides: [132, 22, 11, 1] };
  assert.deepEqual(applyRotary(strided).data, applyRotary(dense as HostTensor).data);
});

onEngines("turning back undoes turning, and positions add up", async (engine) => {
  const x = plainTensor(4, [2, 30, 2, 24]), at = integers(30, -1000, 2000);
  const by = async (x: TestTensor, more: ApplyRotaryOptions) =>
    await home(engine.applyRotary(placed(engine, x), { positions: at, ...more })) as TestTensor;
  const back = await by(await by(x, {}), { inverse: true });
  const negated = await by(await by(x, {}), { positions: at.map((n) => -n) });
  const twice = await by(await by(x, {}), {}),
    double = await by(x, { positions: at.map((n) => 2 * n) });
  for (const [got, want] of [[back, x], [negated, x], [twice, double]] as const) {
    got.data.forEach((value, n) => {
      assert.ok(Math.abs(value - want.data[n]!) < 3e-6, `[${n}] ${value}, ${want.data[n]}`);
    });
  }
});

onEngines("neighbours are halves in another order of columns", async (engine) => {
  const x = plainTensor(6, [1, 25, 2, 20]), dims = 12;
  const order = Array.from(
    { length: 20 },
    (_, c) => c < dims ? (c % 2) * dims / 2 + Math.floor(c / 2) : c,
  );
  const data = (x.data as Float32Array).map((_, n) => x.data[n - n % 20 + order[n % 20]!]!);
  const halves = await home(engine.applyRotary(placed(engine, x), { dims }));
  const neighbours = await home(
    engine.applyRotary(placed(engine, { data, shape: x.shape }), { dims, interleaved: true }),
  );
  neighbours.data.forEach((value, n) => {
    const want = halves.data[n - n % 20 + order[n % 20]!]!;
    assert.ok(Math.abs(value - want) < 1e-6, `[${n}] ${value}, ${want}`);
  });
});

Deno.test("positions of a tensor by sequence, and of views, are those of a flat array", () => {
  const x = plainTensor(7, [2, 5, 1, 4]) as HostTensor, flat = integers(10, -9, 30);
  const want = applyRotary(x, { positions: flat });
  const padded = new Int32Array(14);
  padded.set(flat.subarray(0, 5));
  padded.set(flat.subarray(5), 7);
  for (
    const positions of [
      { data: flat, shape: [2, 5] },
      { data: padded, shape: [2, 5], strides: [7, 1] },
    ]
  ) assert.deepEqual(applyRotary(x, { positions }), want);
  const shared = { data: flat.subarray(0, 5), shape: [5] };
  assert.deepEqual(
    applyRotary(x, { positions: shared }),
    applyRotary(x, { positions: Int32Array.of(...flat.subarray(0, 5), ...flat.subarray(0, 5)) }),
  );
});

Deno.test("tables of any storage and strides are those of an array", () => {
  const x = plainTensor(8, [1, 5, 1, 4]) as HostTensor,
    f16 = (f: (n: number) => number) =>
      encode(Float64Array.from({ length: 12 }, (_, n) => f(n)), "f16", "bits") as Uint16Array<
        ArrayBuffer
      >;
  const bits = { cos: f16(Math.cos), sin: f16(Math.sin) };
  const numbers = (data: Uint16Array<ArrayBuffer>) => Float32Array.from(decode(data, "f16"));
  const want = applyRotary(x, { cos: numbers(bits.cos), sin: numbers(bits.sin) });
  const spread = (data: Float32Array) => {
    const wide = new Float32Array(30);
    for (let n = 0; n < 12; n++) wide[5 * Math.floor(n / 2) + n % 2] = data[n]!;
    return { data: wide, shape: [6, 2], strides: [5, 1] };
  };
  const half = (data: Uint16Array<ArrayBuffer>) => ({ data, shape: [6, 2], dtype: "f16" }) as const;
  assert.deepEqual(applyRotary(x, { cos: half(bits.cos), sin: half(bits.sin) }), want);
  const strided = { cos: spread(numbers(bits.cos)), sin: spread(numbers(bits.sin)) };
  assert.deepEqual(applyRotary(x, { ...strided, base: 3 }), want, "and no base is looked at");
});

// --- the option ------------------------------------------------------------------------------------------------

const q = plainTensor(1, [2, 21, 4, 20]), k = plainTensor(2, [2, 37, 2, 20]);
const v = plainTensor(3, [2, 37, 2, 12]), dOut = plainTensor(4, [2, 21, 4, 12]);
const lengths = Int32Array.of(37, 30);
/** Of the rows of q, where key lengths move the last one. */
const positionsQ = Int32Array.from(
  { length: 42 },
  (_, n) => n % 21 + lengths[Math.floor(n / 21)]! - 21,
);

/** What is asked in a call, and of q and k before one that asks nothing; k undefined: it stays. */
interface Twin {
  readonly rotary: Rotary;
  readonly q: ApplyRotaryOptions;
  readonly k: ApplyRotaryOptions | undefined;
}

const neighbours = { interleaved: true, dims: 8 }, given = integers(74, 0, 99);
const twins: readonly Twin[] = [
  { rotary: {}, q: { positions: positionsQ }, k: {} },
  { rotary: neighbours, q: { ...neighbours, positions: positionsQ }, k: neighbours },
  { rotary: { keys: false, base: 77 }, q: { positions: positionsQ, base: 77 }, k: undefined },
  {
    rotary: { positionsQ: given.subarray(0, 21), positionsK: given },
    ...{ q: { positions: given.subarray(0, 21) }, k: { positions: given } },
  },
];

/** Results of a call that turns q and k, beside those of one on q and k that were turned before. */
async function bothWays(engine: Engine, twin: Twin) {
  const options = { causal: true, keyLengths: lengths } as const;
  const turn = async (x: TestTensor, more: ApplyRotaryOptions | undefined, inverse = false) =>
    more ? await home(engine.applyRotary(placed(engine, x), { ...more, inverse })) : x;
  const turned = { q: await turn(q, twin.q), k: await turn(k, twin.k), v };
  const before = await engine.attention(turned.q, turned.k, v, options);
  const back = await engine.attentionBackward(dOut, { ...turned, ...before }, options);
  const fused = { ...options, rotary: twin.rotary };
  const result = await engine.attention(q, k, v, fused);
  const gradients = await engine.attentionBackward(dOut, { q, k, v, ...result }, fused);
  const dq = await turn(await home(back.dq), twin.q, true);
  const dk = await turn(await home(back.dk), twin.k, true);
  return [
    await homes({ ...result, ...gradients }),
    await homes({ ...before, dq, dk, dv: back.dv }),
  ] as const;
}

onEngines("a call that turns q and k is one of turned q and k, gradients back", async (engine) => {
  const bound = engine.backend === "wasm" ? 0 : 3e-6; // on the CPU these are the same operations
  for (const twin of twins) {
    const [got, want] = await bothWays(engine, twin);
    for (const name of ["out", "lse", "dq", "dk", "dv"] as const) {
      const about = `${name} of ${Object.keys(twin.rotary)}`, { data } = want[name];
      got[name].data.forEach((value, n) => {
        assert.ok(Math.abs(value - data[n]!) <= bound, `${about}[${n}] ${value}, ${data[n]}`);
      });
    }
  }
});

onEngines("scores depend on how far apart positions are", async (engine) => {
  const at = (shift: number) => ({
    rotary: {
      positionsQ: Int32Array.from({ length: 21 }, (_, n) => n + 16 + shift),
      positionsK: Int32Array.from({ length: 37 }, (_, n) => n + shift),
    },
  });
  const want = await engine.attention(q, k, v, { rotary: {} });
  for (const shift of [0, 5, -400, 1e6, 2 ** 30]) {
    const { out } = await engine.attention(q, k, v, at(shift));
    out.data.forEach((value, n) => {
      assert.ok(Math.abs(value - want.out.data[n]!) < 5e-6, `shift ${shift}, out[${n}] ${value}`);
    });
  }
});

onEngines("decoding on a cache of turned keys is decoding on keys that turn", async (engine) => {
  const rows = 6, whole = await engine.attention(q, k, v, { causal: true, rotary: {} });
  const cache = await home(engine.applyRotary(placed(engine, k)));
  for (let n = 0; n < rows; n++) { // token by token, each with the keys that are there
    const at = 21 - rows + n, used = 37 - rows + n + 1;
    const one = {
      data: Float32Array.from([0, 1].flatMap((b) => [
        ...(q.data as Float32Array).subarray((b * 21 + at) * 80, (b * 21 + at + 1) * 80),
      ])),
      shape: [2, 1, 4, 20],
    };
    const { out } = await engine.attention(one, cache as HostTensor, v, {
      ...{ causal: true, keyLengths: used, rotary: { keys: false } },
    });
    out.data.forEach((value, m) => {
      const want = whole.out.data[(Math.floor(m / 48) * 21 + at) * 48 + m % 48]!;
      assert.ok(Math.abs(value - want) < 3e-6, `token ${n}, out[${m}] ${value}, ${want}`);
    });
  }
});

/** Both passes on resident tensors, of which nothing is left then. */
async function onResident(engine: Engine, dtype: "f32" | "f16", bound: number): Promise<void> {
  const options = { causal: true, rotary: { dims: 12 } } as const;
  const want = attentionSync(q as HostTensor, k as HostTensor, v as HostTensor, options);
  using all = new DisposableStack();
  const place = ({ data, shape }: TestTensor) => all.use(engine.tensor(data, shape, dtype));
  const [x, y, z] = mapTuple([q, k, v], place), out = await engine.attention(x, y, z, options);
  const saved = { q: x, k: y, v: z, ...out };
  const grads = await engine.attentionBackward(place(dOut), saved, options);
  for (const tensor of [out.out, out.lse, grads.dq, grads.dk, grads.dv]) all.use(tensor);
  assert.deepEqual([out.out.dtype, grads.dq.dtype, grads.dk.dtype], [dtype, dtype, dtype]);
  (await out.out.read("f32")).forEach((value, n) => {
    assert.ok(Math.abs(value - want.out.data[n]!) < bound, `out[${n}] ${value}`);
  });
}

onEngines("resident and 16-bit tensors turn too, and give their memory back", async (engine) => {
  const held: number[] = [];
  for (let round = 0; round < 2; round++) { // the first leaves the scratch of threads
    await onResident(engine, "f32", 3e-6);
    await onResident(engine, "f16", 6e-3);
    held.push(engine.memory.used);
  }
  assert.equal(held[1], held[0]);
}, "rest");

onEngines("the same call gives the same bits", async (engine) => {
  const options = { causal: true, rotary: { interleaved: true }, keyLengths: lengths } as const;
  const run = async () => {
    const result = await engine.attention(q, k, v, options);
    return { ...result, ...await engine.attentionBackward(dOut, { q, k, v, ...result }, options) };
  };
  assert.deepEqual(await run(), await run());
});

// --- errors ----------------------------------------------------------------------------------------------------

Deno.test("applyRotary() gives back what it took, also where its rows find no room", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1, memoryBudget: 2 ** 20 });
  const x = engine.tensor(plainTensor(1, [1, 64, 2, 16]) as HostTensor),
    room = engine.empty(x.shape);
  const { used } = engine.memory;
  engine.applyRotary(x).dispose();
  assert.equal(engine.memory.used, used);
  for (let n = 2 ** 18; n >= 16; n /= 2) {
    assert.throws(() => {
      while (true) engine.empty([n]);
    }, RangeError);
  }
  room.dispose(); // for the result alone
  const full = engine.memory.used;
  assert.throws(() => engine.applyRotary(x), RangeError);
  assert.equal(engine.memory.used, full);
});

Deno.test("keys that no query sees need no position in the tables", async () => {
  const q = plainTensor(1, [1, 2, 1, 4]) as HostTensor,
    k = plainTensor(2, [1, 5, 1, 4]) as HostTensor;
  const tables = { cos: new Float32Array(8).fill(0.6), sin: new Float32Array(8).fill(0.8) };
  const scores = async (...positions: number[]) => {
    const positionsK = Int32Array.from(positions), positionsQ = Int32Array.of(1, 2);
    const rotary = { ...tables, positionsQ, positionsK }, keyLengths = [3];
    return (await attentionScores(q, k, { stage: "raw", rotary, keyLengths })).data;
  };
  const want = await scores(0, 1, 2, 3, 3);
  for (const beyond of [-1, 4]) {
    const got = await scores(0, 1, 2, 3, beyond);
    for (const row of [0, 1]) {
      const seen = [5 * row, 5 * row + 4] as const;
      assert.deepEqual(got.subarray(...seen), want.subarray(...seen), `position ${beyond}`);
    }
  }
});

Deno.test("applyRotary() refuses bad arguments by name", () => {
  const x = plainTensor(1, [2, 5, 3, 8]) as HostTensor;
  const call = (options: object, y: unknown = x) => () =>
    applyRotary(y as HostTensor, options as ApplyRotaryOptions);
  const refused = (options: object, error: RegExp, y?: unknown) =>
    assert.throws(call(options, y), (thrown: Error) => {
      assert.match(`${thrown.name}: ${thrown.message}`, error);
      assert.match(thrown.message, /^Cannot run applyRotary: /);
      return true;
    });
  refused({}, /TypeError: .*x is null but must be a tensor/, null);
  refused(
    {},
    /TypeError: .*x has rank 3, shape \[5, 3, 8\], but rank 4 was wanted$/,
    plainTensor(1, [5, 3, 8]),
  );
  refused({}, /RangeError: .*x\.data has 7 elements/, {
    data: new Float32Array(7),
    shape: [2, 5, 3, 8],
  });
  refused({}, /RangeError: .*dims is undefined but headDim 9 is odd/, plainTensor(1, [1, 2, 1, 9]));
  refused({}, /RangeError: .*x has dim 0/, plainTensor(1, [1, 2, 1, 0]));
  refused({ dims: 3 }, /RangeError: .*dims is 3 .*from 2 to headDim = 8/);
  refused({ dims: 10 }, /RangeError: .*dims is 10/);
  refused({ base: 0 }, /RangeError: .*base is 0 .*positive/);
  refused({ theta: 1 }, /TypeError: .*unknown name "theta".*base, dims/);
  refused({ keys: false }, /TypeError: .*unknown name "keys"/);
  refused({ layout: "sbhd" }, /TypeError: .*layout is "sbhd"/);
  refused({ inverse: 1 }, /TypeError: .*inverse is 1 .*boolean/);
  refused({ positions: [0, 1, 2, 3, 4] }, /TypeError: .*positions is \[0, 1.*Int32Array of 5/);
  refused({ positions: new Int32Array(6) }, /RangeError: .*positions has 6 entries.*of 5.*of 10/);
  refused(
    { positions: { data: new Int32Array(10), shape: [1, 2, 5] } },
    /TypeError: .*positions has shape \[1, 2, 5\]/,
  );
  const tables = { cos: new Float32Array(16), sin: new Float32Array(16) };
  refused(tables, /RangeError: .*row 4 of x in sequence 0 has position 4 .*from 0 to 3/);
  for (const n of [12, 20]) { // of 3 positions and of 5
    const sin = new Float32Array(n), want = new RegExp(`sin has ${n / 4} positions but cos has 4`);
    refused({ ...tables, sin, positions: Int32Array.of(0, 1, 2, 2, 1) }, want);
  }
  refused({ ...tables, cos: new Float32Array(15) }, /RangeError: .*cos has 15 elements/);
  refused({ cos: tables.cos }, /TypeError: .*sin is undefined .*beside cos/);
  refused(
    { ...tables, positions: Int32Array.of(0, 1, 2, 3, -1) },
    /RangeError: .*positions\[4\] has position -1/,
  );
  refused({ engine: 3 }, /TypeError: .*engine is 3/);
});

Deno.test("what an engine does not have is refused: tables on it, and tensors of others", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  using other = await createEngine({ backend: "wasm", threads: 1 });
  const x = engine.tensor(new Float32Array(8), [1, 2, 1, 4]);
  const resident = engine.tensor(new Float32Array(8), [4, 2]);
  assert.throws(() => engine.applyRotary(x, { cos: resident, sin: resident } as never), (error) => {
    assert.ok(error instanceof UnsupportedError);
    assert.match(error.message, /cos as a resident tensor.*pass a host tensor/);
    return true;
  });
  assert.throws(() => other.applyRotary(x), /applyRotary: x belongs to another engine/);
  x.dispose();
  assert.throws(() => engine.applyRotary(x), /applyRotary: x was disposed/);
  other.dispose();
  assert.throws(() => other.applyRotary(plainTensor(1, [1, 2, 1, 4])), /engine was disposed/);
});
