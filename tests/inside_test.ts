/** attentionScores(), attentionTopKeys(), attentionColumnSums() against the oracle, and what holds between them. */

import assert from "node:assert/strict";
import {
  attention,
  attentionColumnSums,
  attentionScores,
  attentionTopKeys,
  createEngine,
  type Engine,
  type IndexRange,
} from "../mod.ts";
import { assertClose } from "./assert_close.ts";
import { openGpu } from "./backends.ts";
import { type Case, caseName, defineCase } from "./case.ts";
import { onEngines } from "./engines.ts";
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
import { everything } from "./selection.ts";
import { allowedError } from "./tolerance.ts";

const RERUN = "deno task test tests/inside_test.ts";

/** The part of an axis that is asked for, beside all of it. */
const middle = (length: number): IndexRange => [Math.floor(length / 3), Math.ceil(length * 0.8)];

/** Checks all that a case can be asked for on an engine. */
async function checkCase(
  engine: Engine,
  { name, seed, q, k, options }: Inputs,
  expected: ExpectedInside,
  resident = false,
): Promise<void> {
  const place = placer(engine, resident), { problem } = expected;
  const [rq, rk, lse] = [place(q), place(k), place(expected.lse)];
  const { batch, queryHeads, lengthQ, lengthK } = problem;
  const subject = (result: string) => ({
    ...{ result, configuration: `${engine.reason}`, caseName: name, seed, rerun: RERUN },
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
  const keys = await valuesOf(result.keys), found = await valuesOf(result.probabilities);
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

function test(name: string, fn: (t: Deno.TestContext) => Promise<void>): void {
  Deno.test({ name, sanitizeOps: false, sanitizeResources: false, fn });
}

test("looking inside agrees with the oracle", async (t) => {
  using one = await createEngine({ backend: "wasm", threads: 1, simd: "plain" });
  using two = await createEngine({ backend: "wasm", threads: 2 });
  const gpu = await openGpu();
  if ("absent" in gpu) console.log(`not run on webgpu: ${gpu.absent}`);
  const check = async (c: Case, onGpu: boolean) => {
    const inputs = makeInputs(c), expected = expectInside(inputs);
    await checkCase(one, inputs, expected);
    await checkCase(two, inputs, expected, c.arrangement === "packed");
    if (!onGpu || "absent" in gpu) return;
    await checkCase(gpu, inputs, expected);
    await checkCase(gpu, inputs, expected, true);
  };
  for (const c of shared) await t.step(caseName(c), () => check(c, true));
  for (const c of others) await t.step(caseName(c), () => check(c, false));
  if (!("absent" in gpu)) gpu.dispose();
});

onEngines(
  "weights of a row and the sink's share add up to 1, those of a key to its sum",
  async (engine) => {
    const c = defineCase({
      queryHeads: 4,
      kvHeads: 2,
      batch: 2,
      ...everything,
      sink: true,
      causal: true,
    });
    const { q, k, v, options } = makeInputs(c), call = { ...options, engine };
    const { lse } = await attention(q, k, v, call);
    const p = await valuesOf(await attentionScores(q, k, { ...call, stage: "probabilities", lse }));
    const sums = await valuesOf(await attentionColumnSums(q, k, lse, call));
    const rows = await valuesOf(lse), sink = options.sink!.data, { lengthQ, lengthK } = c;
    const columns = new Float64Array(sums.length);
    rows.forEach((lse, row) => {
      const head = Math.floor(row / lengthQ), share = Math.exp(sink[head % 4]! - lse);
      const weights = p.subarray(row * lengthK, (row + 1) * lengthK);
      assert.ok(Math.abs(weights.reduce((a, b) => a + b, share) - 1) < 2e-6);
      weights.forEach((x, j) => columns[head * lengthK + j]! += x);
    });
    columns.forEach((x, n) => assert.ok(Math.abs(x - sums[n]!) < 4e-6));
  },
);

onEngines("of equal scores the lower keys are taken, in their order", async (engine) => {
  const q = { data: new Float32Array(30).fill(1), shape: [1, 30, 1, 1] };
  const k = { data: Float32Array.from({ length: 90 }, (_, j) => j % 4), shape: [1, 90, 1, 1] };
  const { lse } = await attention(q, k, k, { engine });
  const { keys } = await attentionTopKeys(q, k, lse, { engine, count: 30 });
  const best = [3, 2].flatMap((x) => [...k.data.keys()].filter((j) => k.data[j] === x)).slice(
    0,
    30,
  );
  const found = await valuesOf(keys);
  for (let row = 0; row < 30; row++) {
    assert.deepEqual([...found.subarray(row * 30, row * 30 + 30)], best);
  }
});

onEngines("what is not finite stays in its own pairs", async (engine) => {
  const q = { data: Float32Array.of(1, 2), shape: [1, 2, 1, 1] };
  const k = { data: Float32Array.of(0, NaN, Infinity, 1), shape: [1, 4, 1, 1] };
  const mask = { data: Uint8Array.of(1, 1, 0, 1, 1, 0, 1, 1), shape: [2, 4] };
  const call = { engine, softmaxScale: 1, mask };
  const raw = await valuesOf(await attentionScores(q, k, { ...call, stage: "raw" }));
  assert.deepEqual([...raw], [0, NaN, Infinity, 1, 0, NaN, Infinity, 2]);
  const masked = await valuesOf(await attentionScores(q, k, { ...call, stage: "masked" }));
  assert.deepEqual([...masked], [0, NaN, -Infinity, 1, 0, -Infinity, Infinity, 2]);
  const lse = { data: Float32Array.of(NaN, Infinity), shape: [1, 1, 2] };
  const options = { ...call, stage: "probabilities" as const, lse };
  const p = await valuesOf(await attentionScores(q, k, options));
  assert.deepEqual([...p], [NaN, NaN, 0, NaN, 0, 0, 1, 0]);
  const top = await attentionTopKeys(q, k, lse, { ...call, count: 2 });
  assert.deepEqual([...await valuesOf(top.keys)], [1, 3, 2, 3]);
  assert.deepEqual([...await valuesOf(top.probabilities)], [NaN, NaN, 1, 0]);
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
