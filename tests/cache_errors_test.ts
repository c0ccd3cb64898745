/** Caches refuse what they cannot do, by name and value, and nothing has changed then. */

import assert from "node:assert/strict";
import {
  attentionBackwardSync,
  attentionScores,
  createEngine,
  type KvCache,
  type KvCacheOptions,
  UnsupportedError,
} from "../mod.ts";
import { openGpu } from "./backends.ts";
import { plainTensor } from "./inputs.ts";

const tensor = (...shape: number[]) => plainTensor(1, shape);
const engine = await createEngine({ backend: "wasm", threads: 1 });
const good = { sequences: 3, kvHeads: 2, headDim: 8, valueDim: 6 };
const q = tensor(3, 1, 4, 8);

interface Bad {
  readonly about: string;
  readonly call: (cache: KvCache) => unknown;
  readonly error: typeof TypeError | typeof RangeError | typeof UnsupportedError;
  readonly wants: RegExp;
}

/** Whatever the type system would say. */
const wrong = (options: object) => options as unknown as KvCacheOptions;

const making: readonly [
  options: object | null,
  error: typeof TypeError | typeof RangeError,
  wants: RegExp,
][] = [
  [null, TypeError, /kvCache: options is null but must be/],
  [{ ...good, capacity: 4, pagesize: 4 }, TypeError, /unknown name "pagesize".*pageSize/],
  [good, TypeError, /capacity is undefined but it, or pageSize and pages, must be given/],
  [
    { ...good, capacity: 4, pages: 2 },
    TypeError,
    /capacity is 4 but pageSize or pages is given too/,
  ],
  [{ ...good, pageSize: 4 }, TypeError, /pages is undefined but must be a number/],
  [{ ...good, pages: 4 }, TypeError, /pageSize is undefined but must be a number/],
  [{ ...good, capacity: 0 }, RangeError, /capacity is 0 but must be an integer from 1/],
  [{ ...good, capacity: 4, sequences: 1.5 }, RangeError, /sequences is 1.5/],
  [{ ...good, capacity: 4, headDim: "8" }, TypeError, /headDim is "8" but must be a number/],
  [{ ...good, capacity: 4, kvHeads: 2 ** 31 }, RangeError, /kvHeads is 2147483648/],
  [
    { ...good, capacity: 4, dtype: "f64" },
    TypeError,
    /dtype is "f64" but must be one of "f32", "f16", "bf16", "i8"/,
  ],
  [{ ...good, capacity: 2 ** 30, kvHeads: 2 ** 20 }, RangeError, /more than \d+ bytes/],
];

Deno.test("bad options of kvCache are refused", () => {
  const { used } = engine.memory;
  for (const [options, error, wants] of making) {
    assert.throws(() => engine.kvCache(wrong(options!)), (thrown: Error) => {
      assert.ok(thrown instanceof error, `${thrown}`);
      assert.match(thrown.message, wants);
      return true;
    });
  }
  assert.equal(engine.memory.used, used);
});

const k = tensor(1, 2, 2, 8), v = tensor(1, 2, 2, 6), one = { sequences: [0] };

/** On a cache whose sequence 0 holds 5 rows, 1 none, 2 three; pages of 4, five in all. */
const bad: readonly Bad[] = [
  ...([
    [
      "k with other heads",
      () => [tensor(1, 2, 3, 8), v, one],
      RangeError,
      /k has kvHeads 3 but the cache has 2/,
    ],
    [
      "k with another dim",
      () => [tensor(1, 2, 2, 9), v, one],
      RangeError,
      /k has headDim 9 but the cache has 8/,
    ],
    [
      "v with another dim",
      () => [k, tensor(1, 2, 2, 8), one],
      RangeError,
      /v has valueDim 8 but the cache has 6/,
    ],
    [
      "v with other rows",
      () => [k, tensor(1, 3, 2, 6), one],
      RangeError,
      /v has 1 x 3 rows but k has 1 x 2/,
    ],
    [
      "v with another batch",
      () => [k, tensor(2, 2, 2, 6), one],
      RangeError,
      /v has 2 x 2 rows but k has 1 x 2/,
    ],
    ["k that is none", () => [7, v, one], TypeError, /k is 7 but must be a tensor/],
    [
      "bytes",
      () => [{ data: new Int8Array(32), shape: [1, 2, 2, 8] }, v, one],
      UnsupportedError,
      /k of dtype "i8"/,
    ],
    ["keys of a cache", (c: KvCache) => [c.keys, v, one], TypeError, /k is the keys of a cache/],
    [
      "a batch of another size",
      () => [k, v, { sequences: [0, 1] }],
      RangeError,
      /k has batch 1 but sequences has 2 entries/,
    ],
    [
      "a batch that is larger",
      () => [tensor(2, 2, 2, 8), tensor(2, 2, 2, 6), one],
      RangeError,
      /k has batch 2 but sequences has 1 entries/,
    ],
    [
      "all sequences by default",
      () => [k, v],
      RangeError,
      /k has batch 1 but sequences has 3 entries/,
    ],
    [
      "a sequence that is not there",
      () => [k, v, { sequences: [3] }],
      RangeError,
      /sequences\[0\] is 3 but the cache has the sequences 0 to 2/,
    ],
    [
      "a sequence that is no number",
      () => [k, v, { sequences: ["0"] }],
      RangeError,
      /sequences\[0\] is "0"/,
    ],
    [
      "a number for sequences",
      () => [k, v, { sequences: 0 }],
      TypeError,
      /sequences is 0 but must be an array/,
    ],
    [
      "a sequence twice",
      () => [tensor(2, 2, 2, 8), tensor(2, 2, 2, 6), { sequences: [1, 1] }],
      RangeError,
      /sequences has 1 twice/,
    ],
    [
      "an unknown option",
      () => [k, v, { sequence: 0 }],
      TypeError,
      /unknown name "sequence", wanted one of sequences/,
    ],
    ["options that are none", () => [k, v, 3], TypeError, /options is 3 but must be an object/],
    [
      "starts that fall",
      () => [tensor(4, 2, 8), tensor(4, 2, 6), { sequences: [0, 1], cuSeqlens: [0, 3, 2] }],
      RangeError,
      /cuSeqlens\[2\] is 2 but must be an integer from 3 to the 4 rows of k/,
    ],
    [
      "starts past the rows",
      () => [tensor(4, 2, 8), tensor(4, 2, 6), { ...one, cuSeqlens: [0, 5] }],
      RangeError,
      /cuSeqlens\[1\] is 5/,
    ],
    [
      "starts that do not begin",
      () => [tensor(4, 2, 8), tensor(4, 2, 6), { ...one, cuSeqlens: [1, 4] }],
      RangeError,
      /cuSeqlens\[0\] is 1 but must be 0/,
    ],
    [
      "starts of fewer sequences",
      () => [tensor(4, 2, 8), tensor(4, 2, 6), { cuSeqlens: [0, 4] }],
      RangeError,
      /cuSeqlens has 2 entries but 3 sequences need 4/,
    ],
    [
      "packed rows without starts",
      () => [tensor(4, 2, 8), tensor(4, 2, 6), one],
      TypeError,
      /rank 3/,
    ],
    [
      "more rows than there are pages for",
      () => [tensor(1, 9, 2, 8), tensor(1, 9, 2, 6), { sequences: [1] }],
      RangeError,
      /holds 8 rows and 9 more were asked for, which need 3 pages of 4 rows, but 2 of 5 pages are free/,
    ],
  ] as const).map(([about, args, error, wants]): Bad => ({
    about: `append: ${about}`,
    call: (cache) => Reflect.apply(cache.append, cache, args(cache) as never),
    error,
    wants,
  })),
  {
    about: "length of a sequence that is not there",
    call: (c) => c.length(-1),
    error: RangeError,
    wants: /length: sequence is -1/,
  },
  {
    about: "truncating to more",
    call: (c) => c.truncate(0, 6),
    error: RangeError,
    wants: /length is 6 but must be an integer from 0 to the 5 rows of sequence 0/,
  },
  {
    about: "truncating to less than nothing",
    call: (c) => c.truncate(0, -1),
    error: RangeError,
    wants: /length is -1/,
  },
  {
    about: "freeing what is not there",
    call: (c) => c.free(7),
    error: RangeError,
    wants: /free: sequence is 7/,
  },
  {
    about: "forking what is not there",
    call: (c) => c.fork(NaN),
    error: RangeError,
    wants: /fork: sequence is NaN/,
  },
  {
    about: "exporting what is not there",
    call: (c) => c.export(3),
    error: RangeError,
    wants: /export: sequence is 3/,
  },
  {
    about: "exporting rows that are not there",
    call: (c) => c.export(2, 0, 1000),
    error: RangeError,
    wants: /export: end is 1000 but must be an integer from 0 to \d+$/,
  },
  {
    about: "exporting from behind the end",
    call: (c) => c.export(2, 3, 2),
    error: RangeError,
    wants: /export: first is 3 but must be an integer from 0 to 2$/,
  },
  {
    about: "importing nothing",
    call: (c) => c.import(undefined as never),
    error: TypeError,
    wants: /state is undefined but must be what export returned/,
  },
  {
    about: "importing a length that is none",
    call: (c) => c.import({ length: -1 } as never),
    error: RangeError,
    wants: /state.length is -1/,
  },
  {
    about: "importing behind more rows than the state has",
    call: async (c) => await c.import(await c.export(2), 0),
    ...{ error: RangeError, wants: /state.length is 3 but sequence 0 holds 5 rows, with which/ },
  },
  {
    about: "importing behind a sequence that is none",
    call: async (c) => await c.import(await c.export(2), 7),
    ...{ error: RangeError, wants: /import: sequence is 7 but the cache has the sequences 0 to 2/ },
  },
  {
    about: "importing rows of another shape",
    call: async (c) => await c.import({ ...await c.export(0), length: 4 }),
    ...{ error: RangeError, wants: /keys.rows has shape \[5, 2, 8\] but \[4, 2, 8\] was wanted/ },
  },
  {
    about: "importing rows that lie apart",
    call: async (c) => {
      const state = await c.export(0), { rows } = state.keys;
      await c.import({ ...state, keys: { rows: { ...rows, strides: [16, 8, 1] } } });
    },
    ...{ error: TypeError, wants: /keys.rows has strides but must be row-major/ },
  },
  {
    about: "writing the keys",
    call: (c) => c.keys.write(new Float32Array(1)),
    error: TypeError,
    wants: /the keys of a cache are written by its append/,
  },
  {
    about: "disposing of the values",
    call: (c) => c.values.dispose(),
    error: TypeError,
    wants: /the values of a cache go with it/,
  },
  {
    about: "keys as q",
    call: (c) => engine.attention(c.keys, c.keys, c.values),
    error: TypeError,
    wants: /q is the keys of a cache but only k and v/,
  },
  {
    about: "values as k",
    call: (c) => engine.attention(q, c.values, c.values),
    error: TypeError,
    wants: /k is the values of a cache but its keys were wanted/,
  },
  {
    about: "keys beside a tensor",
    call: (c) => engine.attention(q, c.keys, tensor(3, 5, 2, 6)),
    error: TypeError,
    wants: /k belongs to a cache but v does not/,
  },
  {
    about: "a tensor beside values",
    call: (c) => engine.attention(q, tensor(3, 5, 2, 8), c.values),
    error: TypeError,
    wants: /v belongs to a cache but k does not/,
  },
  {
    about: "two caches",
    call: (c) => {
      using other = engine.kvCache({ ...good, capacity: 4 });
      return engine.attentionSync(q, c.keys, other.values);
    },
    ...{ error: TypeError, wants: /k and v belong to two caches/ },
  },
  {
    about: "sequences without a cache",
    call: () => engine.attention(q, tensor(3, 5, 2, 8), tensor(3, 5, 2, 6), one),
    error: TypeError,
    wants: /sequences is .* but k is not the keys of a cache/,
  },
  {
    about: "a batch that is not the sequences",
    call: (c) => engine.attention(q, c.keys, c.values, one),
    error: RangeError,
    wants: /k has batch 1 but q has batch 3/,
  },
  {
    about: "packed queries of other sequences",
    call: (c) =>
      engine.attention(tensor(4, 4, 8), c.keys, c.values, { ...one, cuSeqlensQ: [0, 2, 4] }),
    error: RangeError,
    wants: /k has batch 1 but 2 was wanted/,
  },
  {
    about: "starts of keys",
    call: (c) => engine.attention(q, c.keys, c.values, { cuSeqlensK: [0, 5, 5, 8] }),
    error: TypeError,
    wants: /knows its lengths: leave cuSeqlensK out/,
  },
  {
    about: "key lengths past the rows",
    call: (c) => engine.attention(q, c.keys, c.values, { keyLengths: [5, 1, 3] }),
    error: RangeError,
    wants: /keyLengths\[1\] is 1 but must be from 0 to the rows of that sequence = 0/,
  },
  {
    about: "rotating keys that are read",
    call: (c) => engine.attention(q, c.keys, c.values, { rotary: {} }),
    error: UnsupportedError,
    wants: /rotary of the keys of a cache as they are read.*append\(k, v, \{ rotary \}\)/,
  },
  {
    about: "rotating by an unknown key",
    call: (c) => c.append(k, v, { ...one, rotary: { theta: 3 } as never }),
    ...{ error: TypeError, wants: /rotary has the unknown key "theta"/ },
  },
  {
    about: "rotating an odd number of columns",
    call: (c) => c.append(k, v, { ...one, rotary: { dims: 3 } }),
    ...{ error: RangeError, wants: /rotary.dims is 3 but must be an even integer/ },
  },
  {
    about: "positions of other rows",
    call: (c) => c.append(k, v, { ...one, rotary: { positions: Int32Array.of(1) } }),
    ...{ error: RangeError, wants: /rotary.positions has 1 entries/ },
  },
  {
    about: "a gradient",
    call: (c) =>
      attentionBackwardSync(tensor(3, 1, 4, 6), {
        q,
        k: c.keys,
        v: c.values,
        out: tensor(3, 1, 4, 6),
        lse: tensor(3, 4, 1),
      }, { engine }),
    ...{
      error: UnsupportedError,
      wants: /attentionBackward through a cache is not supported.*keep k and v as tensors/,
    },
  },
  {
    about: "looking inside another engine's",
    call: (c) => attentionScores(q, c.keys, { stage: "raw", engine: other }),
    error: TypeError,
    wants: /k belongs to another engine/,
  },
];

const other = await createEngine({ backend: "wasm", threads: 1 });

/** Sequence 0 holds 5 rows, 1 none, 2 three; three of five pages are taken. */
function filled(): KvCache {
  const cache = engine.kvCache({ ...good, pageSize: 4, pages: 5 });
  cache.append(tensor(1, 5, 2, 8), tensor(1, 5, 2, 6), { sequences: [0] });
  cache.append(tensor(1, 3, 2, 8), tensor(1, 3, 2, 6), { sequences: [2] });
  return cache;
}

Deno.test("bad calls on a cache are refused and change nothing", async (t) => {
  using cache = filled();
  const states = async () => [await cache.export(0), await cache.export(2)];
  const before = await states();
  for (const { about, call, error, wants } of bad) {
    await t.step(about, async () => {
      await assert.rejects(async () => await call(cache), (thrown: Error) => {
        assert.ok(thrown instanceof error, `${thrown}`);
        assert.match(thrown.message, wants);
        return true;
      });
      assert.deepEqual([...cache.lengths], [5, 0, 3]);
      assert.equal(cache.freePages, 2);
    });
  }
  assert.deepEqual(await states(), before);
});

Deno.test("a sequence with room of its own says how much is left", () => {
  using cache = engine.kvCache({ ...good, capacity: 4 });
  cache.append(tensor(1, 3, 2, 8), tensor(1, 3, 2, 6), { sequences: [1] });
  assert.throws(
    () => cache.append(k, v, { sequences: [1] }),
    /sequence 1 holds 3 rows and 2 more were asked for, but 1 of its capacity 4 are free/,
  );
  assert.equal(cache.freePages, 2);
});

Deno.test("all sequences hold rows: nothing can be forked or imported", async () => {
  using cache = engine.kvCache({ ...good, sequences: 2, capacity: 4 });
  cache.append(tensor(2, 1, 2, 8), tensor(2, 1, 2, 6));
  await assert.rejects(() => cache.fork(0), /all 2 sequences of the cache hold rows.*free one/);
  const state = await cache.export(0);
  await assert.rejects(() => cache.import(state), /all 2 sequences of the cache hold rows/);
  using bytes = engine.kvCache({ ...good, capacity: 4, dtype: "i8" });
  await assert.rejects(
    () => bytes.import(state),
    /keys.rows has dtype "f32" but the cache has "i8"/,
  );
});

Deno.test("a state of bytes has a scale for each row", async () => {
  using cache = engine.kvCache({ ...good, capacity: 4, dtype: "i8" });
  cache.append(tensor(1, 3, 2, 8), tensor(1, 3, 2, 6), { sequences: [1] });
  const state = await cache.export(1), { rows } = state.values;
  for (const scales of [undefined, new Float32Array(5), new Float32Array(7), new Array(6)]) {
    const bad = { ...state, values: { rows, scales } } as never;
    await assert.rejects(() => cache.import(bad), /values.scales is .* a Float32Array of 6 scales/);
  }
  assert.equal(cache.freePages, 2);
});

Deno.test("a cache that was disposed of, or whose engine was", async () => {
  const { used } = engine.memory, cache = filled();
  cache.dispose();
  cache.dispose();
  assert.equal(engine.memory.used, used);
  assert.equal(cache.bytes, 0);
  assert.throws(() => cache.append(k, v, one), /Cannot run append: the cache was disposed/);
  await assert.rejects(() => cache.fork(0), /the cache was disposed/);
  await assert.rejects(
    () => engine.attention(q, cache.keys, cache.values),
    /k belongs to a cache that was disposed/,
  );
  const gone = await createEngine({ backend: "wasm", threads: 1 });
  const orphan = gone.kvCache({ ...good, capacity: 4 });
  gone.dispose();
  assert.throws(() => orphan.append(k, v, one), /Cannot run append: the engine was disposed/);
  assert.throws(() => gone.kvCache({ ...good, capacity: 4 }), /the engine was disposed/);
});

Deno.test("a cache that finds no memory leaves none behind", async () => {
  using small = await createEngine({ backend: "wasm", threads: 1, memoryBudget: 2 ** 20 });
  const { used } = small.memory;
  assert.throws(() => small.kvCache({ ...good, capacity: 9000 }), RangeError);
  assert.equal(small.memory.used, used);
  // room for its keys alone
  assert.throws(() => small.kvCache({ ...good, capacity: 3000 }), RangeError);
  assert.equal(small.memory.used, used);
  small.kvCache({ ...good, capacity: 100 }).dispose();
});

/** An engine with so little memory that rows find no room on their way into a cache of 768 KiB. */
const little = { memoryBudget: 2 ** 20 };
const large = { sequences: 3, kvHeads: 2, headDim: 64, pageSize: 64, pages: 12 };

for (const backend of ["wasm", "webgpu"] as const) {
  Deno.test(`rows that could not be stored are not counted, ${backend}`, async () => {
    const opened = backend === "wasm"
      ? await createEngine({ backend, threads: 1, ...little })
      : await openGpu(little);
    if ("absent" in opened) return;
    using tight = opened;
    using cache = tight.kvCache(large);
    const rows = (n: number) => tensor(1, n, 2, 64);
    cache.append(rows(70), rows(70), { sequences: [0] });
    assert.equal(await cache.fork(0), 1); // shares a page that an append would copy
    const before = [[...cache.lengths], cache.freePages];
    const [first, twin] = [await cache.export(0), await cache.export(1)];
    assert.throws(() => cache.append(rows(600), rows(600), { sequences: [1] }), RangeError);
    assert.deepEqual([[...cache.lengths], cache.freePages], before);
    assert.deepEqual([await cache.export(0), await cache.export(1)], [first, twin]);
    // both share the page still, and neither writes what the other has
    cache.append(rows(1), rows(1), { sequences: [1] });
    assert.equal(cache.freePages, before[1] as number - 1);
    assert.deepEqual(await cache.export(0), first);
    assert.deepEqual([...cache.lengths], [70, 71, 0]);
  });
}

Deno.test("tensors of another engine do not enter a cache", async () => {
  using cache = filled();
  using foreign = other.tensor(new Float32Array(32), [1, 2, 2, 8]);
  assert.throws(() => cache.append(foreign, v, one), /k belongs to another engine/);
  const gpu = await openGpu();
  if ("absent" in gpu) return;
  using _ = gpu;
  const big = { ...good, sequences: 64, kvHeads: 8, headDim: 128, capacity: 2 ** 20 };
  assert.throws(() => gpu.kvCache(big), /would have \d+ bytes but the GPU binds at most \d+/);
});
