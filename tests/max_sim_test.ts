/** maxSim() and maxSimBackward() against the oracle, and what holds between calls. */

import assert from "node:assert/strict";
import {
  createEngine,
  type Engine,
  type HostTensor,
  maxSim,
  maxSimBackward,
  maxSimBackwardSync,
  maxSimSync,
  type Tensor,
  type WebGpuTarget,
} from "../mod.ts";
import { assertClose } from "./assert_close.ts";
import { onEngines } from "./engines.ts";
import {
  expectGradients,
  expectMaxSim,
  makeInputs,
  type MaxSimCase,
  type MaxSimInputs,
  nameOf,
  type Place,
  placed,
  valuesOf,
} from "./max_sim_cases.ts";
import { maxSim as oracle, maxSimGradients, productOf } from "./reference/max_sim.ts";
import { partTest } from "./selection.ts";
import { forcedEngine, gpuEngine, gpuTest } from "./webgpu/support.ts";

const many = (count: number, length: (n: number) => number) =>
  Array.from({ length: count }, (_, n) => length(n));

/** Cases of one dim share the kernels of a GPU. */
const cases: readonly MaxSimCase[] = [
  { sets: 0, tokens: 32, dim: 128, lengths: [100, 37, 180, 1, 64] },
  { sets: 2, tokens: 9, dim: 128, lengths: [3, 0, 7, 7, 1, 0], behind: 3 },
  { sets: 3, tokens: 33, dim: 20, lengths: [5, 6, 7, 11, 12, 13, 0, 200] },
  { sets: 1, tokens: 1, dim: 20, lengths: [0, 0, 5, 0] },
  { sets: 0, tokens: 70, dim: 20, lengths: [400, 2, 3] },
  { sets: 2, tokens: 8, dim: 7, lengths: [6, 1, 2, 30] },
  { sets: 0, tokens: 5, dim: 1, lengths: [1, 2, 3, 4, 5] },
  { sets: 2, tokens: 12, dim: 20, lengths: [9, 40, 3], dtype: "f16" },
  { sets: 0, tokens: 12, dim: 20, lengths: [9, 40, 3], dtype: "bf16", behind: 1 },
  { sets: 2, tokens: 11, dim: 20, lengths: [50, 1, 0, 77, 6, 13], integers: true },
  { sets: 0, tokens: 32, dim: 128, lengths: [100, 0, 97, 5, 192], integers: true },
  { sets: 0, tokens: 16, dim: 20, lengths: many(1100, (n) => n % 7), integers: true },
];
/** Several regions of host memory; on the CPU alone, where a GPU in software takes long. */
const large: readonly MaxSimCase[] = [
  { sets: 0, tokens: 4, dim: 512, lengths: [700, 1500, 0, 2100, 3] },
  { sets: 2, tokens: 3, dim: 64, lengths: many(2000, (n) => 20 + n % 13), integers: true },
];

/** All that a case must give, on an engine. */
async function checkCase(
  engine: Engine,
  configuration: string,
  inputs: MaxSimInputs,
  place: Place,
): Promise<void> {
  const { c, problem, dScores, cuSeqlens } = inputs, { tokens, starts } = problem;
  const expected = expectMaxSim(inputs), tensors = placed(engine, inputs, place);
  const { queries, documents } = tensors;
  const subject = (result: string) => ({
    ...{ result, configuration: `${configuration}, ${place}`, caseName: nameOf(c), seed: 0 },
    rerun: "deno task test tests/max_sim_test.ts",
  });
  const { scores, keys, ...rest } = await maxSim(queries, documents, { cuSeqlens, engine });
  assert.deepEqual(rest, {});
  const shape = [...c.sets ? [c.sets] : [], starts.length - 1];
  assert.deepEqual([scores.shape, keys.shape], [shape, [...shape, tokens]]);
  assertClose(subject("scores"), await valuesOf(scores), expected.scores, shape);

  const chosen = Int32Array.from(await valuesOf(keys)),
    { results: { keys: want }, near } = expected;
  assert.ok("read" in keys || keys.data instanceof Int32Array);
  chosen.forEach((row, n) => {
    if (row === want[n]) return;
    const d = Math.floor(n / tokens) % (starts.length - 1),
      set = Math.floor(n / tokens / (starts.length - 1));
    assert.ok(
      row >= starts[d]! && row < starts[d + 1]!,
      `${nameOf(c)}: row ${row} of document ${d}`,
    );
    const product = (j: number) => productOf(problem, [set, n % tokens, j]);
    assert.ok(
      product(want[n]!) - product(row) < near,
      `${nameOf(c)}: row ${row}, ${want[n]} is larger`,
    );
  });

  const ds = place === "host" ? dScores : engine.tensor(dScores);
  const saved = { queries, documents, keys };
  const gradients = await maxSimBackward(ds, saved, { engine });
  const expectedGradients = expectGradients(inputs, chosen);
  for (const name of ["dQueries", "dDocuments"] as const) {
    const got = gradients[name], like = name === "dQueries" ? queries : documents;
    assert.deepEqual(got.shape, like.shape);
    assert.equal("read" in got, "read" in like, "it lives beside its operand");
    assertClose(subject(name), await valuesOf(got), expectedGradients[name], got.shape);
  }
  const made = [scores, keys, ds, ...Object.values(gradients)];
  for (const tensor of made) {
    if (typeof tensor === "object" && "dispose" in tensor) tensor.dispose();
  }
  tensors.dispose();
}

partTest("core", "the oracle's gradients agree with central differences", () => {
  const inputs = makeInputs({ sets: 2, tokens: 4, dim: 3, lengths: [5, 0, 7, 1], behind: 1 });
  const { problem } = inputs, ds = Float64Array.from(inputs.dScores.data);
  ds[1] = ds[5] = 0; // the loss is of documents that have rows
  const loss = () =>
    oracle(problem).scores.reduce((sum, score, n) => ds[n] === 0 ? sum : sum + ds[n]! * score, 0);
  const { dQueries, dRows } = maxSimGradients(problem, oracle(problem).keys, ds);
  for (const [values, gradient] of [[problem.queries, dQueries], [problem.rows, dRows]] as const) {
    values.forEach((value, n) => {
      const step = 1e-6;
      values[n] = value + step;
      const above = loss();
      values[n] = value - step;
      const difference = (above - loss()) / (2 * step);
      values[n] = value;
      assert.ok(
        Math.abs(difference - gradient[n]!) < 1e-7,
        `[${n}]: ${difference}, ${gradient[n]}`,
      );
    });
  }
});

partTest(
  "core",
  "the CPU gives what the oracle gives, on one thread and two, in both builds",
  async (t) => {
    using plain = await createEngine({ backend: "wasm", threads: 1, simd: "plain" });
    using threads = await createEngine({ backend: "wasm", threads: 2 });
    for (const c of [...cases, ...large]) {
      const inputs = makeInputs(c);
      await t.step(nameOf(c), async () => {
        await checkCase(plain, "wasm, 1 thread, plain", inputs, "host");
        await checkCase(threads, "wasm, 2 threads", inputs, "resident");
        await checkCase(threads, "wasm, 2 threads", inputs, "resident documents");
        await checkCase(threads, "wasm, 2 threads", inputs, "resident queries");
      });
    }
  },
);

/** Two formats of 16 bits are read in one way: the rest has the other. */
const isOfRest = ({ dtype }: MaxSimCase) => dtype === "bf16";

gpuTest("a GPU gives what the oracle gives in bfloat16", async () => {
  using engine = await gpuEngine();
  for (const c of cases.filter(isOfRest)) {
    for (const place of ["host", "resident"] as const) {
      await checkCase(engine, "webgpu", makeInputs(c), place);
    }
  }
}, { part: "rest" });

gpuTest("a GPU gives what the oracle gives", async (t) => {
  using engine = await gpuEngine();
  const { limits } = engine.target as WebGpuTarget;
  for (const c of cases.filter((c) => !isOfRest(c))) {
    await t.step(nameOf(c), async () => {
      const inputs = makeInputs(c);
      await checkCase(engine, "webgpu", inputs, "host");
      await checkCase(engine, "webgpu", inputs, "resident");
    });
  }
  const target = { limits: { ...limits, storageBinding: 65536 + limits.offsetAlignment } };
  const { engine: narrow } = await forcedEngine({ target });
  for (const c of [cases[2]!, cases[4]!, cases[9]!]) {
    await t.step(`by ranges: ${nameOf(c)}`, async () => {
      await checkCase(narrow, "webgpu by ranges", makeInputs(c), "host");
      await checkCase(narrow, "webgpu by ranges", makeInputs(c), "resident");
    });
  }
  narrow.dispose();
});

/** The bits of what a call gives. */
async function bitsOf(engine: Engine, inputs: MaxSimInputs): Promise<number[][]> {
  const { queries, documents, cuSeqlens, dScores } = inputs;
  const { scores, keys } = await engine.maxSim(queries, documents, { cuSeqlens });
  const saved = { queries, documents, keys };
  const { dQueries, dDocuments } = await engine.maxSimBackward(dScores, saved);
  return [scores, keys, dQueries, dDocuments].map(({ data }) => [...data as Float32Array]);
}

onEngines("the same bits from run to run", async (engine) => {
  const inputs = makeInputs(cases[2]!), first = await bitsOf(engine, inputs);
  for (let n = 0; n < 3; n++) assert.deepEqual(await bitsOf(engine, inputs), first);
});

partTest("core", "the same bits on one thread, two and at once", async () => {
  using one = await createEngine({ backend: "wasm", threads: 1 });
  using two = await createEngine({ backend: "wasm", threads: 2 });
  for (const c of [cases[0]!, cases[2]!, large[0]!]) {
    const inputs = makeInputs(c), { queries, documents, cuSeqlens, dScores } = inputs;
    const first = await bitsOf(one, inputs);
    assert.deepEqual(await bitsOf(two, inputs), first);
    const { scores, keys } = maxSimSync(queries, documents, { cuSeqlens, engine: two });
    const saved = { queries, documents, keys };
    const { dQueries, dDocuments } = maxSimBackwardSync(dScores, saved, { engine: two });
    const sync = [scores, keys, dQueries, dDocuments].map(({ data }) => [...data as Float32Array]);
    assert.deepEqual(sync, first);
  }
});

onEngines("each document and each set of queries alone gives the same bits", async (engine) => {
  const inputs = makeInputs({ sets: 2, tokens: 9, dim: 20, lengths: [7, 0, 30, 6, 1, 12] });
  const { queries, documents, cuSeqlens, problem: { tokens, dim } } = inputs;
  const whole = await engine.maxSim(queries, documents, { cuSeqlens });
  for (let set = 0; set < 2; set++) {
    const part = (queries.data as Float32Array).subarray(
      set * tokens * dim,
      (set + 1) * tokens * dim,
    );
    for (let d = 0; d + 1 < cuSeqlens.length; d++) {
      const [first, end] = [cuSeqlens[d]!, cuSeqlens[d + 1]!];
      const rows = (documents.data as Float32Array).subarray(first * dim, end * dim);
      const { scores, keys } = await engine.maxSim(
        { data: part, shape: [tokens, dim] },
        { data: rows, shape: [end - first, dim] },
        { cuSeqlens: [0, end - first] },
      );
      const at = set * (cuSeqlens.length - 1) + d;
      assert.equal(scores.data[0], whole.scores.data[at], `set ${set}, document ${d}`);
      const own = [...keys.data].map((row) => row < 0 ? row : row + first);
      assert.deepEqual(own, [...whole.keys.data.subarray(at * tokens, (at + 1) * tokens)]);
    }
  }
});

const matrix = (shape: number[], values: number[]) => ({ data: Float32Array.from(values), shape });

onEngines("equal products are taken by the lower row, the zeros too", async (engine) => {
  const queries = matrix([3, 2], [1, 1, 0, 0, -1, 0]);
  const documents = matrix([7, 2], [2, 0, 0, 2, 1, 1, 2, 0, -1, 3, -0, 0, 0, 0]);
  const { scores, keys } = await engine.maxSim(queries, documents, { cuSeqlens: [0, 5, 7] });
  assert.deepEqual([...keys.data], [0, 0, 4, 5, 5, 5]);
  assert.deepEqual([...scores.data].map(Math.abs), [3, 0]);
});

onEngines("documents without rows, queries that are none, nothing at all", async (engine) => {
  const some = matrix([2, 3], [1, 2, 3, 4, 5, 6]), none = matrix([0, 3], []);
  const result = async (q: HostTensor, k: HostTensor, cuSeqlens: number[]) => {
    const { scores, keys } = await engine.maxSim(q, k, { cuSeqlens });
    const dScores = { data: new Float32Array(scores.data.length).fill(1), shape: scores.shape };
    const saved = { queries: q, documents: k, keys };
    const { dQueries, dDocuments } = await engine.maxSimBackward(dScores, saved);
    assert.ok([...dQueries.data as Float32Array].every(Number.isFinite));
    assert.ok([...dDocuments.data as Float32Array].every(Number.isFinite));
    return [scores.shape, [...scores.data], keys.shape, [...keys.data]];
  };
  const empty = -Infinity;
  assert.deepEqual(await result(some, none, [0, 0, 0]), [[2], [empty, empty], [2, 2], [
    -1,
    -1,
    -1,
    -1,
  ]]);
  assert.deepEqual(await result(some, some, [0, 0, 2]), [
    [2],
    [empty, 14 + 32 + 32 + 77 - 14 - 32],
    [2, 2],
    [-1, -1, 1, 1],
  ]);
  assert.deepEqual(await result(none, some, [0, 1, 2]), [[2], [0, 0], [2, 0], []]);
  assert.deepEqual(await result(none, some, [0, 0, 2]), [[2], [0, 0], [2, 0], []]);
  assert.deepEqual(await result(some, some, [0]), [[0], [], [0, 2], []]);
  const noSets = { data: new Float32Array(), shape: [0, 2, 3] };
  assert.deepEqual(await result(noSets, some, [0, 2]), [[0, 1], [], [0, 1, 2], []]);
});

onEngines("a product that is NaN is the largest, in its own document alone", async (engine) => {
  for (const length of [3, 40]) {
    const rows = Array.from({ length: 3 * length * 2 }, (_, n) => n % 7 - 3);
    rows[(length + 1) * 2] = NaN, rows[(length + 2) * 2] = NaN; // rows 1 and 2 of document 1
    const queries = matrix([2, 2], [1, 0, 1, 1]), documents = matrix([3 * length, 2], rows);
    const cuSeqlens = [0, length, 2 * length, 3 * length];
    const { scores, keys } = await engine.maxSim(queries, documents, { cuSeqlens });
    const finite = await engine.maxSim(queries, matrix([3 * length, 2], rows.map((x) => x || 0)), {
      cuSeqlens,
    });
    assert.deepEqual([scores.data[0], scores.data[2]], [
      finite.scores.data[0],
      finite.scores.data[2],
    ]);
    assert.ok(Number.isNaN(scores.data[1]));
    assert.deepEqual([...keys.data.subarray(2, 4)], [length + 1, length + 1]);
  }
});

onEngines("infinite products", async (engine) => {
  const queries = matrix([1, 1], [1]);
  const documents = matrix([6, 1], [-Infinity, -Infinity, 1, Infinity, Infinity, -Infinity]);
  const { scores, keys } = await engine.maxSim(queries, documents, { cuSeqlens: [0, 2, 6] });
  assert.deepEqual([...scores.data], [-Infinity, Infinity]);
  assert.deepEqual([...keys.data], [0, 3]);
});

onEngines(
  "products that are not finite, at every place of documents of many lengths",
  async (engine) => {
    // each document has ones, and at one place something else; or nothing but minus infinity
    const lengths = [1, 2, 5, 6, 7, 10, 13, 16, 17], documents: number[][] = [];
    for (const length of lengths) {
      documents.push(new Array<number>(length).fill(-Infinity));
      for (const bad of [NaN, Infinity, -Infinity]) {
        for (let at = 0; at < length; at++) {
          documents.push(Array.from({ length }, (_, n) => n === at ? bad : 1));
        }
      }
    }
    const tokens = 9, rows = documents.flat();
    const starts = documents.reduce((all, { length }) => [...all, all.at(-1)! + length], [0]);
    const { scores, keys } = await engine.maxSim(
      matrix([tokens, 1], new Array<number>(tokens).fill(1)),
      matrix([rows.length, 1], rows),
      { cuSeqlens: starts },
    );
    const want = oracle({
      ...{ sets: 1, tokens, dim: 1, starts },
      ...{ queries: new Float64Array(tokens).fill(1), rows: Float64Array.from(rows) },
    });
    assert.deepEqual([...scores.data], [...want.scores]);
    assert.deepEqual([...keys.data], [...want.keys]);
  },
);

onEngines("a gradient of 0 adds nothing, whatever rows hold", async (engine) => {
  const queries = matrix([1, 2], [1, 1]), documents = matrix([2, 2], [1, 2, NaN, NaN]);
  const { keys } = await engine.maxSim(queries, documents, { cuSeqlens: [0, 1, 2] });
  const saved = { queries, documents, keys }, dScores = matrix([2], [3, 0]);
  const { dQueries, dDocuments } = await engine.maxSimBackward(dScores, saved);
  assert.deepEqual([...dQueries.data], [3, 6]);
  assert.deepEqual([...dDocuments.data], [3, 3, 0, 0]);
});

onEngines("strided tensors, and results that live where the queries live", async (engine) => {
  const dense = makeInputs({ sets: 2, tokens: 5, dim: 6, lengths: [4, 9] });
  const { queries, documents, cuSeqlens } = dense,
    want = await engine.maxSim(queries, documents, { cuSeqlens });
  /** Rows of eight numbers, the last two of which are NaN. */
  const wide = ({ data, shape }: HostTensor): HostTensor => {
    const rows = data.length / 6, spread = new Float32Array(rows * 8).fill(NaN);
    for (let n = 0; n < data.length; n++) {
      spread[Math.floor(n / 6) * 8 + n % 6] = (data as Float32Array)[n]!;
    }
    const strides = shape.length === 3 ? [5 * 8, 8, 1] : [8, 1];
    return { data: spread, shape, strides };
  };
  const got = await engine.maxSim(wide(queries), wide(documents), { cuSeqlens });
  assert.deepEqual(got.scores.data, want.scores.data);
  const q = engine.tensor(queries), resident = await engine.maxSim(q, documents, { cuSeqlens });
  assert.deepEqual(await resident.scores.read(), want.scores.data);
  assert.ok(await resident.keys.read() instanceof Int32Array);
  assert.equal(resident.keys.dtype, "i32");
  const mixed = await engine.maxSim(queries, engine.tensor(documents), { cuSeqlens });
  assert.deepEqual([mixed.scores.data, mixed.keys.data], [want.scores.data, want.keys.data]);
});

onEngines("memory goes back", async (engine) => {
  const inputs = makeInputs(cases[2]!), { documents, queries, cuSeqlens, dScores } = inputs;
  const round = async () => {
    const k = engine.tensor(documents), q = engine.tensor(queries);
    const { scores, keys } = await engine.maxSim(q, k, { cuSeqlens });
    const saved = { queries: q, documents: k, keys };
    const { dQueries, dDocuments } = await engine.maxSimBackward(dScores, saved);
    for (const tensor of [k, q, scores, keys, dQueries, dDocuments] as Tensor[]) tensor.dispose();
  };
  await round();
  const { used } = engine.memory;
  for (let n = 0; n < 3; n++) await round();
  assert.equal(engine.memory.used, used);
});

partTest("core", "calls of one engine do not disturb each other", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 2 });
  const all = [cases[0]!, cases[2]!, cases[9]!].map(makeInputs);
  const alone: number[][] = [];
  for (const { queries, documents, cuSeqlens } of all) {
    alone.push([...(await engine.maxSim(queries, documents, { cuSeqlens })).scores.data]);
  }
  const together = await Promise.all(
    all.map(({ queries, documents, cuSeqlens }) =>
      engine.maxSim(queries, documents, { cuSeqlens })
    ),
  );
  assert.deepEqual(together.map(({ scores }) => [...scores.data]), alone);
});

partTest("core", "the calls of the CPU's entry are the same", async () => {
  const wasm = await import("../src/wasm.ts");
  const { queries, documents, cuSeqlens, dScores } = makeInputs(cases[1]!);
  const { scores, keys } = await wasm.maxSim(queries, documents, { cuSeqlens });
  assert.deepEqual(wasm.maxSimSync(queries, documents, { cuSeqlens }).scores.data, scores.data);
  const saved = { queries, documents, keys };
  const { dQueries } = await wasm.maxSimBackward(dScores, saved);
  assert.deepEqual(wasm.maxSimBackwardSync(dScores, saved).dQueries.data, dQueries.data);
});
