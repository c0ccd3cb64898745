/** Features on the GPU against their definitions: a bias table for slopes, an extra key for a logit without a value. */

import assert from "node:assert/strict";
import type { AttentionOptions, HostTensor, Tensor } from "../../mod.ts";
import { decode, encode } from "../half.ts";
import { plainTensor } from "../inputs.ts";
import type { Shape4, TestTensor } from "../reference/problem.ts";
import {
  both,
  call,
  checkSink,
  checkSlopes,
  near,
  type Problem,
  sinks,
  values,
} from "./definitions.ts";
import { deviceOf, forcedEngine, gpuEngine, gpuTest } from "./support.ts";
import { homes, place } from "./tensors.ts";
import { mapTuple } from "../tuples.ts";

// --- ALiBi -------------------------------------------------------------------------------------------------

const mask = (lengthQ: number, lengthK: number) => ({
  data: Uint8Array.from({ length: lengthQ * lengthK }, (_, n) => n % 5 === 0 ? 0 : 1),
  shape: [lengthQ, lengthK],
});

/** What slopes and sinks meet; one text serves many cases, of other tests too. */
const meetings: Readonly<Record<string, Partial<Problem>>> = {
  plain: {},
  "window, offsets": {
    options: { causal: { offset: Int32Array.of(3, 30) }, window: { left: 9 } },
  },
  "key lengths": { options: { keyLengths: Int32Array.of(0, 29) } },
  "few queries": { lengthQ: 2, lengthK: 700, dim: 20, options: { causal: true } },
  "KV splits": { batch: 1, heads: 2, kvHeads: 1, lengthQ: 20, lengthK: 1100 },
};

/** What other features they meet. */
const others: typeof meetings = {
  "causal, softcap": { options: { causal: true, softcap: 3 } },
  "bias, mask": { options: { bias: plainTensor(9, [21, 37]) as HostTensor, mask: mask(21, 37) } },
  "one query, no groups": { heads: 8, lengthQ: 1, lengthK: 700, options: { causal: true } },
  "KV splits of one head": { batch: 1, heads: 1, kvHeads: 1, lengthQ: 20, lengthK: 1100 },
};

gpuTest("slopes are a bias of distances", async (t) => {
  using engine = await gpuEngine();
  for (const [name, sizes] of Object.entries(meetings)) {
    await t.step(name, () => checkSlopes(engine, call(sizes), name !== "plain"));
  }
}, { part: "rest" });

gpuTest("slopes are a bias of distances beside other features", async (t) => {
  using engine = await gpuEngine();
  for (const [name, sizes] of Object.entries(others)) {
    await t.step(name, () => checkSlopes(engine, call(sizes), true));
  }
}, { part: "rest" });

// --- sink --------------------------------------------------------------------------------------------------

gpuTest("a sink joins the denominator once", async (t) => {
  using engine = await gpuEngine();
  for (const [name, sizes] of Object.entries(meetings)) {
    const c = call(sizes);
    await t.step(name, () => checkSink(engine, c, sinks(c.heads)));
  }
  await t.step("no keys", () => checkSink(engine, call({ lengthK: 0 }), sinks(4)));
}, { part: "rest" });

gpuTest("a sink joins the denominator once beside other features", async (t) => {
  using engine = await gpuEngine();
  for (const [name, sizes] of Object.entries(others)) {
    const c = call(sizes);
    await t.step(name, () => checkSink(engine, c, sinks(c.heads)));
  }
}, { part: "rest" });

gpuTest("a sink is an extra key without a value, which has its score from a bias", async () => {
  using engine = await gpuEngine();
  const c = call({}), { batch, heads, lengthQ, lengthK, kvHeads, dim } = c, sink = sinks(heads);
  const extended = ({ data }: TestTensor) => {
    const wide = new Float32Array(batch * kvHeads * (lengthK + 1) * dim), n = lengthK * dim;
    for (let p = 0; p < batch * kvHeads; p++) {
      wide.set((data as Float32Array).subarray(p * n, (p + 1) * n), p * (n + dim));
    }
    return { data: wide, shape: [batch, kvHeads, lengthK + 1, dim] };
  };
  const table = new Float32Array(heads * lengthQ * (lengthK + 1));
  table.forEach((_, n) => {
    if (n % (lengthK + 1) === lengthK) {
      table[n] = sink[Math.floor(n / ((lengthK + 1) * lengthQ))]!;
    }
  });
  const bias = { data: table, shape: [heads, lengthQ, lengthK + 1] };
  const longer = { ...c, k: extended(c.k), v: extended(c.v), lengthK: lengthK + 1 };
  const want = await both(engine, longer, { bias });
  const got = await both(engine, c, { sink: { data: sink, shape: [heads] } });
  for (const name of ["out", "lse", "dq"]) near(got[name]!, values(want[name]!), 1e-5, name);
  const dSink = new Float64Array(heads);
  values(want.dBias!).forEach((x, n) => {
    if (n % (lengthK + 1) === lengthK) dSink[Math.floor(n / ((lengthK + 1) * lengthQ))]! += x;
  });
  near(got.dSink!, dSink, 2e-5, "dSink");
}, { part: "rest" });

gpuTest(
  "infinite sinks take all, NaN spreads, and very low ones hold rows without keys",
  async () => {
    using engine = await gpuEngine();
    for (const sizes of [{}, { lengthQ: 4, lengthK: 300, dim: 20 }]) {
      const c = call({ ...sizes, options: { keyLengths: Int32Array.of(0, 30) } });
      const sink = { data: Float32Array.of(Infinity, NaN, -1e35, 0), shape: [4] };
      const { out, lse, dSink } = await both(engine, c, { sink }), spoilt = values(dSink!);
      const rows = c.lengthQ, first = (b: number, h: number) => (b * 4 + h) * rows;
      const o = values(out), l = values(lse);
      for (const b of [0, 1]) {
        assert.equal(o[first(b, 0) * c.dim], 0, "out beside an infinite sink");
        assert.equal(l[first(b, 0)], Infinity);
        assert.ok(Number.isNaN(l[first(b, 1)]), "lse beside NaN");
      }
      assert.equal(o[first(0, 1) * c.dim], 0, "a row without keys is 0 whatever the sink is");
      assert.ok(Number.isNaN(o[first(1, 1) * c.dim]), "out beside NaN");
      assert.equal(l[first(0, 2)], Math.fround(-1e35));
      assert.equal(l[first(0, 3)], 0);
      assert.ok(Number.isNaN(spoilt[1]));
      assert.ok(spoilt.every((x, h) => h === 1 || Number.isFinite(x)), `${spoilt}`);
    }
  },
  { part: "rest" },
);

/** Slopes and sinks of four heads. */
const extras = {
  alibiSlopes: plainTensor(6, [4], 0.2) as HostTensor,
  sink: { data: sinks(4), shape: [4] },
};

gpuTest("rows that hidden NaN spoil are repaired with slopes and sinks", async () => {
  using engine = await gpuEngine();
  const lengths = Int32Array.of(12, 30), c = call({ options: { keyLengths: lengths } });
  const poisoned = ({ data, shape }: TestTensor): TestTensor => {
    const [, kvHeads, rows, dim] = shape as Shape4,
      spoilt = Float32Array.from(data as Float32Array);
    spoilt.forEach((_, n) => {
      const row = Math.floor(n / dim) % rows, b = Math.floor(n / (dim * rows * kvHeads));
      if (row >= lengths[b]!) spoilt[n] = NaN;
    });
    return { data: spoilt, shape };
  };
  // the window ends within a tile
  const options = { ...extras, window: { right: 2 } };
  const spoilt = { ...c, k: poisoned(c.k), v: poisoned(c.v) };
  const got = await both(engine, spoilt, options), want = await both(engine, c, options);
  for (const [name, tensor] of Object.entries(want)) near(got[name]!, values(tensor), 1e-5, name);
  // one NaN that some rows of a tile see: the others must not
  const one = Float32Array.from(c.v.data as Float32Array);
  one[11 * c.dim] = NaN; // key 11 of the first sequence and kv head
  const { out } = await both(engine, { ...c, v: { ...c.v, data: one } }, options);
  const clean = values(want.out!), nan = values(out).filter(Number.isNaN).length;
  values(out).forEach((x, n) => {
    assert.ok(Number.isNaN(x) || Math.abs(x - clean[n]!) < 1e-5, `out[${n}] is ${x}`);
  });
  assert.ok(nan > 0 && nan < 2 * c.lengthQ, `${nan} values of out are NaN`);
}, { part: "rest" });

// --- where tensors live, and how much of them fits -----------------------------------------------------------

/** What slopes and sinks are beside in the kernels of many tests. */
const besides = (lengthK = 37): AttentionOptions => ({
  softcap: 5,
  bias: plainTensor(9, [1, 4, 21, lengthK]) as HostTensor,
  mask: mask(21, lengthK),
  dropout: { probability: 0.25, seed: 3 },
});

gpuTest("resident slopes and sinks give the same bits, in a caller's pass as well", async () => {
  using engine = await gpuEngine();
  const device = deviceOf(engine);
  for (const sizes of [{}, { lengthK: 0 }] as Partial<Problem>[]) {
    const c = call({ ...sizes, options: besides(sizes.lengthK) });
    const options = { ...c.options, dLse: c.dLse };
    const slopes = plainTensor(6, [2, 4], 0.2), sink = { data: sinks(4), shape: [4] };
    const want = await both(engine, c, { alibiSlopes: slopes as HostTensor, sink });
    const resident = {
      alibiSlopes: place(engine, slopes),
      sink: place(engine, sink as TestTensor),
    };
    const got = await both(engine, c, resident);
    const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass();
    const [q, k, v, dOut] = mapTuple([c.q, c.k, c.v, c.dOut], (tensor) => place(engine, tensor));
    const forward = engine.encode(pass, q, k, v, { ...c.options, ...resident });
    const saved = { q, k, v, ...forward };
    const back = engine.encodeBackward(pass, dOut, saved, { ...options, ...resident } as never);
    pass.end();
    device.queue.submit([encoder.finish()]);
    const encoded = await homes({ ...forward, ...back } as unknown as Record<string, Tensor>);
    for (const [name, tensor] of Object.entries(want)) {
      assert.deepEqual(got[name]!.data, tensor.data, `${name}, resident`);
      assert.deepEqual(encoded[name]!.data, tensor.data, `${name}, encoded`);
    }
  }
});

gpuTest("regions of every axis share slopes and add one sink", async (t) => {
  const limits = { storageBinding: 12288 };
  const { engine } = await forcedEngine({ defaultLimits: true, limits });
  const regions: Readonly<Record<string, Partial<Problem>>> = {
    "by keys and rows": { batch: 1, lengthQ: 130, lengthK: 140, options: { causal: true } },
    "by sequences": { batch: 5, heads: 2, kvHeads: 1, lengthQ: 40, lengthK: 45 },
    "by heads of a group": { batch: 1, heads: 6, kvHeads: 1, lengthQ: 41, lengthK: 50 },
    "few queries": { batch: 1, lengthQ: 2, lengthK: 700, dim: 20 },
  };
  for (const [name, sizes] of Object.entries(regions)) {
    const c = call(sizes);
    await t.step(`slopes, ${name}`, () => checkSlopes(engine, c, name === "by sequences"));
    await t.step(`sink, ${name}`, () => checkSink(engine, c, sinks(c.heads), 2));
  }
  assert.equal(engine.memory.used, 0);
  engine.dispose();
}, { part: "rest" });

gpuTest(
  "tiles for hardware agree with those for software, all features of scores at once",
  async () => {
    const c = call({
      ...{ lengthQ: 70, lengthK: 90 },
      options: {
        ...{ softcap: 4, causal: true, mask: mask(70, 90), dropout: { probability: 0.2, seed: 8 } },
        bias: plainTensor(9, [4, 70, 90]) as HostTensor,
      },
    });
    const { engine } = await forcedEngine({
      target: { software: false },
      limits: { workgroupBytes: 49152 },
    });
    const got = await both(engine, c, extras);
    engine.dispose();
    using software = await gpuEngine();
    for (const [name, tensor] of Object.entries(await both(software, c, extras))) {
      near(got[name]!, values(tensor), 2e-5, name);
    }
  },
  { part: "rest" },
);

gpuTest("16 bits, odd columns and no groups: the same call in 32 bits", async () => {
  using engine = await gpuEngine();
  const c = call({ kvHeads: 4, dim: 33 }), operands = ["q", "k", "v", "dOut"] as const;
  const each = (make: (tensor: TestTensor) => TestTensor, from: typeof c) => ({
    ...from,
    ...Object.fromEntries(operands.map((name) => [name, make(from[name])])),
  });
  const half = each(({ data, shape }) => {
    return { data: encode(decode(data, "f32"), "f16", "bits"), shape, dtype: "f16" };
  }, c);
  const full = each(({ data, shape }) => {
    return { data: Float32Array.from(decode(data, "f16")), shape };
  }, half);
  const got = await both(engine, half, extras), want = await both(engine, full, extras);
  for (const [name, tensor] of Object.entries(want)) {
    near(got[name]!, values(tensor), name === "lse" ? 1e-6 : 3e-3, name);
  }
}, { part: "rest" });
