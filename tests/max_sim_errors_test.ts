/** Bad calls of late interaction are refused before any work, with the argument, its value and what was wanted. */

import assert from "node:assert/strict";
import {
  createEngine,
  type HostTensor,
  maxSim,
  maxSimBackward,
  maxSimBackwardSync,
  maxSimSync,
} from "../mod.ts";
import { gpuEngine, gpuTest } from "./webgpu/support.ts";

const floats = (...shape: number[]): HostTensor => ({
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
  shape,
});
const queries = floats(2, 3, 4), documents = floats(9, 4), cuSeqlens = [0, 4, 9];
const keys = { data: new Int32Array(2 * 2 * 3), shape: [2, 2, 3] }, dScores = floats(2, 2);

type ErrorClass = typeof TypeError | typeof RangeError;

const forward: readonly [
  queries: unknown,
  documents: unknown,
  options: unknown,
  ErrorClass,
  RegExp,
][] = [
  [null, documents, { cuSeqlens }, TypeError, /queries is null but must be a tensor/],
  [
    floats(3),
    documents,
    { cuSeqlens },
    TypeError,
    /queries has rank 1, shape \[3\], but rank 2 or 3/,
  ],
  [queries, floats(3, 3, 4), { cuSeqlens }, TypeError, /documents has rank 3, .* but rank 2 was/],
  [queries, floats(9, 5), { cuSeqlens }, RangeError, /documents has dim 5 but queries has dim 4/],
  [floats(3, 0), floats(9, 0), { cuSeqlens }, RangeError, /queries has dim 0 but it must be at/],
  [queries, documents, null, TypeError, /options is null but must be an object/],
  [queries, documents, undefined, TypeError, /options is undefined but must be an object/],
  [queries, documents, {}, TypeError, /cuSeqlens is undefined but must be an array or Int32Array/],
  [queries, documents, { cuSeqlens: 3 }, TypeError, /cuSeqlens is 3 but must be an array or/],
  [queries, documents, { cuSeqlens: [] }, RangeError, /cuSeqlens has no entries but must be an/],
  [queries, documents, { cuSeqlens: [1, 2] }, RangeError, /cuSeqlens\[0\] is 1 but must be 0/],
  [
    queries,
    documents,
    { cuSeqlens: [0, 5, 4] },
    RangeError,
    /cuSeqlens\[2\] is 4 but must be at least/,
  ],
  [
    queries,
    documents,
    { cuSeqlens: [0, 0.5] },
    RangeError,
    /cuSeqlens\[1\] is 0.5 but must be an int/,
  ],
  [
    queries,
    documents,
    { cuSeqlens: [0, 10] },
    RangeError,
    /cuSeqlens ends at row 10 but documents has 9/,
  ],
  [queries, documents, { cuSeqlens, causal: true }, TypeError, /unknown name "causal"/],
  [queries, documents, { cuSeqlens, into: {} }, TypeError, /unknown name "into"|into/],
  [
    queries,
    documents,
    { cuSeqlens, signal: 3 },
    TypeError,
    /signal is 3 but must be an AbortSignal/,
  ],
  [
    { ...queries, data: new Float32Array(3) },
    documents,
    { cuSeqlens },
    RangeError,
    /queries.data has 3/,
  ],
  [
    { data: new Int8Array(24), shape: [2, 3, 4] },
    ...[documents, { cuSeqlens }] as const,
    ...[Error as unknown as ErrorClass, /queries of dtype "i8"/] as const,
  ],
];

for (const [q, k, options, error, want] of forward) {
  Deno.test(`refused: maxSim, ${want}`, async () => {
    const check = (thrown: Error) => {
      if (error !== Error as unknown as ErrorClass) {
        assert.ok(thrown instanceof error || thrown.name === "UnsupportedError", thrown.stack);
        if (thrown.name !== "UnsupportedError") {
          assert.match(thrown.message, /^Cannot run maxSim: /);
        }
      }
      assert.match(thrown.message, want);
      return true;
    };
    await assert.rejects(() => maxSim(q as HostTensor, k as HostTensor, options as never), check);
    assert.throws(() => maxSimSync(q as HostTensor, k as HostTensor, options as never), check);
  });
}

const saved = { queries, documents, keys };
const backward: readonly [
  dScores: unknown,
  saved: unknown,
  options: unknown,
  ErrorClass,
  RegExp,
][] = [
  [dScores, null, {}, TypeError, /saved is null but must be \{ queries, documents, keys \}/],
  [null, saved, {}, TypeError, /dScores is null but must be a tensor/],
  [floats(2, 3), saved, {}, RangeError, /dScores has shape \[2, 3\] but must have \[2, 2\]/],
  [
    { data: new Float64Array(4), shape: [2, 2] },
    ...[saved, {}, TypeError, /dScores.data is a Float64Array but must be a Float32Array/] as const,
  ],
  [dScores, { queries, documents }, {}, TypeError, /saved.keys is undefined but must be a tensor/],
  [
    dScores,
    { ...saved, keys: floats(2, 2, 3) },
    ...[{}, TypeError, /saved.keys.data is a Float32Array but must be a Int32Array/] as const,
  ],
  [
    dScores,
    { ...saved, keys: { data: new Int32Array(8), shape: [2, 2, 2] } },
    ...[{}, RangeError, /saved.keys has shape \[2, 2, 2\] but must have \[2, 2, 3\]/] as const,
  ],
  [
    dScores,
    { ...saved, keys: { data: new Int32Array(8), shape: [2, 4] } },
    ...[{}, TypeError, /saved.keys has rank 2, shape \[2, 4\], but rank 3 was wanted/] as const,
  ],
  [
    dScores,
    { ...saved, keys: { ...keys, data: keys.data.with(5, 9) } },
    ...[{}, RangeError, /saved.keys has the row 9 but documents has 9 rows/] as const,
  ],
  [
    dScores,
    { ...saved, keys: { ...keys, data: keys.data.with(5, -2) } },
    ...[{}, RangeError, /saved.keys has the row -2 but documents has 9 rows/] as const,
  ],
  [dScores, { ...saved, queries: floats(3) }, {}, TypeError, /queries has rank 1/],
  [dScores, saved, { cuSeqlens }, TypeError, /unknown name "cuSeqlens"/],
];

for (const [given, from, options, error, want] of backward) {
  Deno.test(`refused: maxSimBackward, ${want}`, async () => {
    const check = (thrown: Error) => {
      assert.equal(thrown.constructor, error, thrown.stack);
      assert.match(thrown.message, /^Cannot run maxSimBackward: /);
      assert.match(thrown.message, want);
      return true;
    };
    await assert.rejects(
      () => maxSimBackward(given as HostTensor, from as never, options as never),
      check,
    );
    assert.throws(
      () => maxSimBackwardSync(given as HostTensor, from as never, options as never),
      check,
    );
  });
}

Deno.test("resident keys that are no rows are refused where they are", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const q = engine.tensor(queries), all = engine.tensor(floats(9, 4));
  const { keys } = await engine.maxSim(q, all, { cuSeqlens: [0, 0, 9] });
  const few = engine.tensor(floats(2, 4));
  all.write(new Float32Array(36).map((_, n) => n));
  q.write(new Float32Array(24).fill(1));
  const { keys: last } = await engine.maxSim(q, all, { cuSeqlens: [0, 0, 9] });
  const call = (keys: typeof last) =>
    engine.maxSimBackward(dScores, { queries: q, documents: few, keys });
  await call(keys); // row 0 of zeros
  await assert.rejects(() => call(engine.tensor(floats(2, 2, 3)) as never), {
    name: "TypeError",
    message: 'Cannot run maxSimBackward: saved.keys has dtype "f32" but must be "i32"',
  });
  await assert.rejects(() => call(last), {
    name: "RangeError",
    message: "Cannot run maxSimBackward: saved.keys has the row 8 but documents has 2 rows",
  });
});

Deno.test("what happens to arguments later is told by their names too", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  using other = await createEngine({ backend: "wasm", threads: 1 });
  const rows = { data: new Float32Array(8).fill(1), shape: [4, 2] };
  const options = { cuSeqlens: Int32Array.of(0, 4) };
  const elsewhere = other.tensor(rows.data, rows.shape),
    here = engine.tensor(rows.data, rows.shape);
  await assert.rejects(engine.maxSim(rows, elsewhere, options), /documents belongs to another/);
  const waiting = engine.maxSim(rows, here, options);
  here.dispose();
  await assert.rejects(waiting, /documents was disposed while the call waited/);
  const queries = { data: new Float32Array(8), shape: [4, 2] };
  const call = engine.maxSim(queries, rows, options);
  structuredClone(queries.data, { transfer: [queries.data.buffer] });
  await assert.rejects(call, /queries\.data has 0 elements now but 8 are read/);
});

Deno.test("a signal ends a call, and so does a disposed engine", async () => {
  const reason = new Error("enough"), signal = AbortSignal.abort(reason);
  await assert.rejects(() => maxSim(queries, documents, { cuSeqlens, signal }), reason);
  await assert.rejects(() => maxSimBackward(dScores, saved, { signal }), reason);
  const engine = await createEngine({ backend: "wasm", threads: 1 });
  engine.dispose();
  await assert.rejects(() => engine.maxSim(queries, documents, { cuSeqlens }), {
    message: "Cannot run maxSim: the engine was disposed",
  });
});

Deno.test("gradients on the CPU say how far they are, and a signal ends them there", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const sets = 4, many = floats(sets, 1, 4), scores = floats(sets, 2);
  const { keys } = await engine.maxSim(many, documents, { cuSeqlens });
  const of = { queries: many, documents, keys }, { used } = engine.memory;
  const shares: number[] = [], controller = new AbortController();
  const signal = Object.assign(controller.signal, {
    progress(share: number) {
      shares.push(share);
      if (share === 0.5) controller.abort();
    },
  });
  await assert.rejects(() => engine.maxSimBackward(scores, of, { signal }), { name: "AbortError" });
  assert.deepEqual(shares, [0.25, 0.5]);
  assert.equal(engine.memory.used, used);
});

gpuTest(
  "what needs a GPU to be awaited is refused at once; so is what no binding holds",
  async () => {
    const engine = await gpuEngine(), q = engine.tensor(queries);
    assert.throws(() => engine.maxSimSync(q, documents, { cuSeqlens }), {
      name: "UnsupportedError",
      message: /maxSimSync of tensors in GPU memory is not supported/,
    });
    engine.dispose();
  },
);
