/** attentionScores(), attentionTopKeys(), attentionColumnSums() against the oracle, and what holds between them. */

import assert from "node:assert/strict";
import {
  type AnyTensor,
  attentionColumnSums,
  attentionScores,
  attentionSync,
  attentionTopKeys,
  createEngine,
  type Engine,
  type HostTensor,
  type IndexRange,
  type WebGpuTarget,
} from "../mod.ts";
import { assertClose } from "./assert_close.ts";
import { type Case, caseName } from "./case.ts";
import {
  type ExpectedInside,
  expectInside,
  others,
  placer,
  rectangle,
  shared,
  stages,
  valuesOf,
} from "./inside_cases.ts";
import { type Inputs, makeInputs } from "./inputs.ts";
import { type Part, partTaken, runTakes } from "./selection.ts";
import { allowedError } from "./tolerance.ts";
import { absent, forcedEngine, gpuEngine } from "./webgpu/support.ts";

const RERUN = "deno task test tests/inside_test.ts";

/** The part of an axis that is asked for, beside all of it. */
const middle = (length: number): IndexRange => [Math.floor(length / 3), Math.ceil(length * 0.8)];

/** Checks all that a case can be asked for on an engine. */
async function checkCase(
  engine: Engine,
  configuration: string,
  { name, seed, q, k, options }: Inputs,
  expected: ExpectedInside,
  resident: boolean,
): Promise<void> {
  const place = placer(engine, resident), { problem } = expected;
  const [rq, rk, lse] = [place(q), place(k), place(expected.lse)];
  const { batch, queryHeads, lengthQ, lengthK } = problem;
  const subject = (result: string) => ({
    ...{ result, configuration, caseName: name, seed, rerun: RERUN },
  });
  for (const stage of stages) {
    for (const part of [false, true]) {
      const rows = part ? middle(lengthQ) : undefined, keys = part ? middle(lengthK) : undefined;
      const at: [IndexRange, IndexRange] = [rows ?? [0, lengthQ], keys ?? [0, lengthK]];
      const call = { ...options, engine, stage, ...(part && { rows, keys }) };
      const result = await attentionScores(
        rq,
        rk,
        stage === "probabilities" ? { ...call, lse } : call,
      );
      const shape = [batch, queryHeads, at[0][1] - at[0][0], at[1][1] - at[1][0]];
      assert.deepEqual(result.shape, shape);
      const want = expected.scores[stage], values = rectangle(want.values, problem, ...at);
      assertClose(subject(stage), await valuesOf(result), { ...want, values }, shape);
    }
  }
  const sums = await attentionColumnSums(rq, rk, lse, { ...options, engine });
  assert.deepEqual(sums.shape, [batch, queryHeads, lengthK]);
  assertClose(subject("column sums"), await valuesOf(sums), expected.sums, sums.shape);
  for (const count of new Set([1, Math.min(5, lengthK), lengthK])) {
    const rows = count === 1 ? middle(lengthQ) : undefined;
    const call = { ...options, engine, count, ...(rows && { rows }) };
    await checkTopKeys(await attentionTopKeys(rq, rk, lse, call), expected, count, rows);
  }
}

/** Checks the largest weights: those of the oracle in its order, where it can tell them apart. */
async function checkTopKeys(
  result: Awaited<ReturnType<typeof attentionTopKeys>>,
  { problem, scores: { probabilities: { values, ...rest }, masked } }: ExpectedInside,
  count: number,
  rows: IndexRange = [0, problem.lengthQ],
): Promise<void> {
  const { batch, queryHeads, lengthQ, lengthK } = problem, n = rows[1] - rows[0];
  const shape = [batch, queryHeads, n, count];
  assert.deepEqual([result.keys.shape, result.probabilities.shape], [shape, shape]);
  const keys = await valuesOf(result.keys as AnyTensor),
    found = await valuesOf(result.probabilities);
  const allowed = (want: number) => allowedError({ values, ...rest }, want);
  for (let row = 0; row < batch * queryHeads * n; row++) {
    const at = (Math.floor(row / n) * lengthQ + rows[0] + row % n) * lengthK;
    const p = values.subarray(at, at + lengthK), sorted = p.toSorted().reverse();
    const visible = masked.values.subarray(at, at + lengthK).filter((s) => s > -Infinity).length;
    const own = keys.subarray(row * count, (row + 1) * count).filter((key) => key >= 0);
    assert.equal(own.length, Math.min(count, visible), "as many keys as are visible");
    assert.equal(new Set(own).size, own.length, "each key once");
    for (let rank = 0; rank < count; rank++) {
      const got = found[row * count + rank]!, key = keys[row * count + rank]!;
      if (rank >= own.length) {
        assert.deepEqual([key, got], [-1, 0]);
        continue;
      }
      assert.ok(Math.abs(got - sorted[rank]!) <= allowed(sorted[rank]!), `rank ${rank}: ${got}`);
      assert.ok(Math.abs(got - p[key]!) <= allowed(p[key]!), `key ${key}: ${got}`);
    }
  }
}

/** An engine with what is asked of it: all cases or those that share kernels, and where operands are. */
interface Subject {
  readonly name: string;
  readonly engine: Engine;
  readonly all: boolean;
  readonly places: readonly ("host" | "resident")[];
}

let opened: Promise<readonly Subject[]> | undefined;

/** The engines of this file: a GPU makes each kernel once. */
async function open(): Promise<readonly Subject[]> {
  const plain = await createEngine({ backend: "wasm", threads: 1, simd: "plain" });
  const threads = await createEngine({ backend: "wasm", threads: 2 });
  const subjects: Subject[] = [
    { name: "wasm, 1 thread", engine: plain, all: true, places: ["host"] },
    { name: "wasm, 2 threads", engine: threads, all: true, places: ["resident"] },
  ];
  if (absent) {
    console.log(`not run on webgpu: ${absent}`);
    return subjects;
  }
  const engine = await gpuEngine(), { limits } = engine.target as WebGpuTarget;
  const target = { limits: { ...limits, storageBinding: 4096 } };
  const { engine: narrow } = await forcedEngine({ target });
  return [
    ...subjects,
    { name: "webgpu", engine, all: false, places: ["host", "resident"] },
    { name: "webgpu, by regions", engine: narrow, all: false, places: ["host"] },
  ];
}

Deno.test.afterAll(async () => {
  for (const { engine } of await opened ?? []) engine.dispose();
});

function test(
  name: string,
  fn: (t: Deno.TestContext, on: readonly Subject[]) => Promise<void>,
  ignore = false,
) {
  Deno.test({
    ...{ name, ignore, sanitizeOps: false, sanitizeResources: false },
    fn: async (t) => await fn(t, await (opened ??= open())),
  });
}

/** A test on an engine of each kind; `gpu`: the part in which a GPU is one. */
function onEngines(name: string, fn: (engine: Engine) => Promise<void>, gpu: Part = "core"): void {
  test(name, async (t, subjects) => {
    for (const { name, engine } of subjects) {
      const part = name.startsWith("webgpu") ? gpu : "core";
      if (name !== "wasm, 1 thread" && runTakes(part)) await t.step(name, () => fn(engine));
    }
  }, !runTakes("core") && !runTakes(gpu));
}

/** On a GPU the core has the cases without functions, and regions are in the rest. */
const partOf = ({ softcap, scoreMod }: Case, subject: string): Part =>
  softcap || scoreMod || subject !== "webgpu" ? "rest" : "core";

test("looking inside agrees with the oracle", async (t, subjects) => {
  for (const c of [...shared, ...others]) {
    await t.step(caseName(c), async () => {
      const inputs = makeInputs(c), expected = expectInside(inputs);
      for (const { name, engine, all, places } of subjects) {
        if (!all && (!shared.includes(c) || !partTaken(partOf(c, name)))) continue;
        if (all && !runTakes("core")) continue;
        for (const place of places) {
          const resident = place === "resident" && c.arrangement === "packed";
          await checkCase(engine, name, inputs, expected, resident);
        }
      }
    });
  }
});

/** Inputs of a case in which every third query has biases about a level. */
function biasedRows(c: Case, level: number): Inputs {
  const inputs = makeInputs(c), bias = inputs.options.bias!, { lengthQ, lengthK } = c;
  const data = (bias.data as Float32Array).map((x, n) =>
    Math.floor(n / lengthK) % lengthQ % 3 === 0 && x > -Infinity ? Math.fround(level + x) : x
  );
  return { ...inputs, options: { ...inputs.options, bias: { ...bias, data } } };
}

// an lse of that size is rounded by far more than 1 in float32
for (const level of [0, -1e5, -1e9, -3.4028234663852886e38]) {
  const name = `weights of a row add up to 1, those of a key to its sum: biases of ${level}`;
  onEngines(name, async (engine) => {
    const c = shared.find(({ sink }) => sink)!, { q, k, v, options } = biasedRows(c, level);
    const call = { ...options, engine }, { lse } = attentionSync(q, k, v, options);
    const p = await valuesOf(await attentionScores(q, k, { ...call, stage: "probabilities", lse }));
    const sums = await valuesOf(await attentionColumnSums(q, k, lse, call));
    const top = await attentionTopKeys(q, k, lse, { ...call, count: c.lengthK });
    const ranked = await valuesOf(top.probabilities);
    const { lengthQ, lengthK, queryHeads } = c, columns = new Float64Array(sums.length);
    lse.data.forEach((lse, row) => {
      const head = Math.floor(row / lengthQ), sink = options.sink!.data[head % queryHeads]!;
      const at = [row * lengthK, (row + 1) * lengthK] as const, weights = p.subarray(...at);
      const sum = weights.reduce((a, b) => a + b, lse === -Infinity ? 1 : Math.exp(sink - lse));
      assert.ok(Math.abs(sum - 1) < 2e-6, `row ${row}: ${sum}`);
      weights.forEach((x, j) => columns[head * lengthK + j]! += x);
      const sorted = weights.toSorted().reverse();
      ranked.subarray(...at).forEach((x, n) => assert.ok(Math.abs(x - sorted[n]!) < 1e-6));
    });
    columns.forEach((x, n) => assert.ok(Math.abs(x - sums[n]!) < 4e-6));
  }, "rest");
}

/** Rows whose first column is given: products are exact. */
function column(...values: number[]): HostTensor<Float32Array> {
  const data = new Float32Array(16 * values.length);
  values.forEach((x, n) => data[16 * n] = x);
  return { data, shape: [1, values.length, 1, 16] };
}

onEngines("of equal scores the lower keys are taken, in their order", async (engine) => {
  const values = Array.from({ length: 90 }, (_, j) => j % 4);
  const q = column(...values.map(() => 1)), k = column(...values), { lse } = attentionSync(q, k, k);
  const { keys } = await attentionTopKeys(q, k, lse, { engine, count: 30 });
  const of = (x: number) => [...values.keys()].filter((j) => values[j] === x);
  const best = [...of(3), ...of(2)].slice(0, 30), found = await valuesOf(keys);
  for (let row = 0; row < 90; row++) {
    assert.deepEqual([...found.subarray(row * 30, row * 30 + 30)], best);
  }
});

onEngines("what is not finite stays in its own pairs", async (engine) => {
  const q = column(1, 2), k = column(0, Infinity, NaN, -1);
  const call = { engine, softmaxScale: 1, causal: { offset: 1 } };
  const at = async (stage: "raw" | "masked" | "probabilities", lse?: HostTensor) => {
    const options = { ...call, stage, ...(lse && { lse }) };
    return [...await valuesOf(await attentionScores(q, k, options))];
  };
  assert.deepEqual(await at("raw"), [0, Infinity, NaN, -1, 0, Infinity, NaN, -2]);
  assert.deepEqual(await at("masked"), [
    0,
    Infinity,
    -Infinity,
    -Infinity,
    0,
    Infinity,
    NaN,
    -Infinity,
  ]);
  const lse = { data: Float32Array.of(Infinity, NaN), shape: [1, 1, 2] };
  assert.deepEqual(await at("probabilities", lse), [0, 1, 0, 0, NaN, NaN, NaN, 0]);
  const none = { data: Float32Array.of(-Infinity, 0), shape: [1, 1, 2] };
  const p = (await at("probabilities", none)).map((x) => Number(x.toFixed(5)));
  assert.deepEqual(p, [Infinity, Infinity, 0, 0, 1, Infinity, NaN, 0]);
  const top = await attentionTopKeys(q, k, lse, { ...call, count: 2 });
  assert.deepEqual([...await valuesOf(top.keys)], [1, 0, 2, 1]);
  assert.deepEqual([...await valuesOf(top.probabilities)], [1, 0, NaN, NaN]);
  const sums = await valuesOf(await attentionColumnSums(q, k, lse, call));
  assert.deepEqual([...sums], [NaN, NaN, NaN, 0]);
});

onEngines("empty axes and ranges give empty results, and sums of 0", async (engine) => {
  const tensor = (rows: number, heads = 2) => ({
    data: new Float32Array(rows * heads * 4),
    shape: [1, rows, heads, 4],
  });
  const lse = (rows: number) => ({ data: new Float32Array(2 * rows), shape: [1, 2, rows] });
  const shapes = [
    (await attentionScores(tensor(3), tensor(5), { engine, stage: "raw", rows: [2, 2] })).shape,
    (await attentionScores(tensor(3), tensor(5), { engine, stage: "raw", keys: [5, 5] })).shape,
    (await attentionScores(tensor(3), tensor(0), { engine, stage: "masked" })).shape,
    (await attentionTopKeys(tensor(0), tensor(5), lse(0), { engine, count: 3 })).keys.shape,
    (await attentionColumnSums(tensor(3), tensor(0), lse(3), { engine })).shape,
  ];
  assert.deepEqual(shapes, [[1, 2, 0, 5], [1, 2, 3, 0], [1, 2, 3, 0], [1, 2, 0, 3], [1, 2, 0]]);
  const sums = await attentionColumnSums(tensor(0), tensor(5), lse(0), { engine });
  assert.deepEqual([...await valuesOf(sums)], new Array(10).fill(0));
});

onEngines("scores that rise from key to key, which all are the largest so far", async (engine) => {
  const { limits } = engine.target as Partial<WebGpuTarget>, length = 9000;
  const count = Math.min(4000, (limits?.storageBinding ?? Infinity) / 8); // the result is bound too
  const data = new Float32Array(16 * length);
  for (let j = 0; j < length; j++) data[16 * j] = j / length;
  const k = { data, shape: [1, length, 1, 16] },
    q = column(1),
    lse = { data: new Float32Array(1), shape: [1, 1, 1] };
  const { keys } = await attentionTopKeys(q, k, lse, { engine, count });
  const want = Float64Array.from({ length: count }, (_, n) => length - 1 - n);
  assert.deepEqual(await valuesOf(keys), want);
});
