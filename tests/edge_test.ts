/** The edge semantics of the contract: empty rows, NaN and infinity, untouched inputs. */

import assert from "node:assert/strict";
import {
  type BackwardResult,
  bothPasses,
  engineConfigurations,
  type ForwardResult,
} from "./backends.ts";
import { type Session, syncConfiguration } from "./backends.ts";
import { type Case, caseName, defineCase } from "./case.ts";
import { type Inputs, makeInputs } from "./inputs.ts";
import { problemOf } from "./oracle.ts";
import { attentionBackwardF64, attentionF64 } from "./reference/attention_f64.ts";
import { readOperand, type Shape4, type TestTensor } from "./reference/problem.ts";
import { canonical } from "./run_grid.ts";
import { everything, runTakes } from "./selection.ts";
import { type GpuPart, testSessions } from "./sessions.ts";
import { mapTuple } from "./tuples.ts";

function edge(
  name: string,
  check: (session: Session) => Promise<void>,
  gpu: GpuPart = "core",
): void {
  testSessions(name, [...engineConfigurations, syncConfiguration], check, gpu);
}

type Results = ForwardResult & BackwardResult;

/** What each option hides, in a shape of several tiles: the whole of some rows, and parts of others. */
const hiding: readonly Partial<Case>[] = [
  { causal: true },
  { causal: true, lengthQ: 150, lengthK: 70 },
  { causal: { offset: -20 } },
  { window: { left: 12, right: 3 } },
  { keyLengths: [30, 0] },
  { keyLengths: [97, 65], causal: true },
  { mask: { axes: "b1qk", pattern: "empty rows" } },
  { mask: { axes: "qk", pattern: "blocks" } },
  { mask: { axes: "b11k", pattern: "padding" } },
  { blockMask: { made: "lists", size: [16, 32], mask: "documents" } },
  { blockMask: { made: "blocks", size: [24, 40], mask: "heads" }, causal: { offset: -20 } },
  { bias: "1hqk", biasHoles: true },
  { bias: "k", biasHoles: true, softcap: 4 },
  { alibiSlopes: "bh", causal: { offset: -20 } },
  { alibiSlopes: "h", keyLengths: [97, 40], softcap: 4 },
  { ...everything, window: { left: 40 } },
];

/** Decode shapes take another path. */
const shapes: readonly Partial<Case>[] = [
  { batch: 2, queryHeads: 4, kvHeads: 2, lengthQ: 90, lengthK: 97, headDim: 20 },
  { batch: 2, queryHeads: 4, kvHeads: 2, lengthQ: 2, lengthK: 300, headDim: 20 },
];

const poisons = [NaN, Infinity, -Infinity];

edge("what masked positions hold does not matter, forward and backward", async (session) => {
  for (const options of hiding) {
    for (const shape of shapes) {
      const c = defineCase({ ...shape, ...options });
      if (!session.takes(c)) continue;
      const { inputs, poisoned } = poisonedOf(c);
      const want = await bothPasses(session, inputs);
      if (poisoned) assertSame(c, await bothPasses(session, poisoned), want);
    }
  }
}, "rest");

edge("a row that sees nothing has out 0, lse −∞ and gradients 0", async (session) => {
  for (const options of [...hiding, { mask: { axes: "1111", pattern: "nothing" } } as const]) {
    const c = defineCase({ ...shapes[0], ...options, dLse: true });
    if (!session.takes(c)) continue;
    const { inputs, visible } = seenOf(c);
    const results = await bothPasses(session, inputs);
    const [out, dq] = mapTuple([results.out, results.dq], (t) => readOperand(t, c.layout));
    for (let row = 0; row < c.batch * c.queryHeads * c.lengthQ; row++) {
      if (visible.subarray(row * c.lengthK, (row + 1) * c.lengthK).includes(1)) continue;
      assert.equal(results.lse.data[row], -Infinity, caseName(c));
      const zeros = [...rowOf(out, row, c.valueDim), ...rowOf(dq, row, c.headDim)];
      assert.ok(zeros.every((x) => x === 0), `row ${row} is ${zeros}: ${caseName(c)}`);
    }
    assert.ok(results.dk.data.every(Number.isFinite) && results.dv.data.every(Number.isFinite));
  }
}, "rest");

/** Where a single bad number is put: operand, [sequence, row, head, dim]. */
const places = [
  ...(["q", "k", "v", "dOut"] as const).map((operand) => ({ operand, at: [0, 40, 1, 3] })),
  { operand: "k", at: [1, 0, 0, 0] },
  { operand: "v", at: [1, 96, 1, 19] },
] as const;

edge("NaN that is visible reaches exactly the elements that depend on it", async (session) => {
  for (const [n, options] of [{}, ...hiding].entries()) {
    for (const [m, { operand, at }] of places.entries()) {
      const c = defineCase({ ...shapes[0], ...options, lengthQ: 90, lengthK: 97 });
      // half of the places meet each option in the core
      if (!session.takes(c) || !(runTakes("rest") || (n + m) % 2 === 0)) continue;
      const inputs = makeInputs(c);
      const bad = { ...inputs, [operand]: put(inputs[operand], at, NaN) };
      assertSameNaN(c, bad, await bothPasses(session, bad), `${operand} at ${at}`);
    }
  }
}, "rest");

edge("NaN late in a long block of queries reaches exactly what depends on it", async (session) => {
  const c = defineCase({ lengthQ: 300, lengthK: 60, headDim: 12, causal: true });
  for (const operand of ["q", "dOut"] as const) {
    for (const row of [127, 200, 299]) {
      const inputs = makeInputs(c);
      const bad = { ...inputs, [operand]: put(inputs[operand], [0, row, 0, 3], NaN) };
      assertSameNaN(c, bad, await bothPasses(session, bad), `${operand} at ${row}`);
    }
  }
});

edge("one infinite score takes all the weight", async (session) => {
  for (const options of [{}, { alibiSlopes: "h", sink: true }] as const) {
    for (const shape of shapes) {
      const c = defineCase({ ...shape, ...options, bias: "1hqk" });
      if (!session.takes(c)) continue;
      const inputs = withBias(makeInputs(c), [[0, Infinity]]);
      const { out, lse } = await session.forward(inputs);
      assert.equal(lse.data[0], Infinity);
      const key = 7; // of query 0, see withBias
      const got = rowOf(readOperand(out, "bshd"), 0, c.valueDim);
      const want = rowOf(readOperand(inputs.v, "bshd"), key, c.valueDim);
      got.forEach((x, d) => assert.ok(Math.abs(x - want[d]!) < 1e-6, `${x}, want ${want[d]}`));
      assert.ok(out.data.every(Number.isFinite), "the other rows stay finite");
    }
  }
}, "by case");

edge("one infinite score has the gradients of the limit", async (session) => {
  const c = defineCase({ ...shapes[0], bias: "1hqk" });
  const inputs = withBias(makeInputs(c), [[0, Infinity]]);
  const { dq, dk, dv } = await bothPasses(session, inputs);
  assert.ok(rowOf(readOperand(dq, "bshd"), 0, c.headDim).every((x) => Math.abs(x) < 1e-6));
  assert.ok(dk.data.every(Number.isFinite), "dk stays finite");
  assert.ok(dv.data.every(Number.isFinite), "dv stays finite");
}, "rest");

edge("two infinite scores give NaN in their row and only there", async (session) => {
  for (const shape of shapes) {
    const c = defineCase({ ...shape, bias: "1hqk" });
    const inputs = withBias(makeInputs(c), [[0, Infinity], [1, Infinity]]);
    const { out, lse } = await session.forward(inputs);
    const values = readOperand(out, "bshd");
    assert.ok(Number.isNaN(lse.data[0]));
    assert.ok(rowOf(values, 0, c.valueDim).every(Number.isNaN));
    assert.ok(rowOf(values, 1, c.valueDim).every(Number.isFinite));
  }
}, "rest");

edge("a row that sees nothing but the sink has out 0 and lse = sink", async (session) => {
  for (const options of [...hiding, { mask: { axes: "1111", pattern: "nothing" } } as const]) {
    for (const shape of shapes) {
      const c = defineCase({ ...shape, ...options, sink: true, dLse: true });
      if (!session.takes(c)) continue;
      const { inputs, visible } = seenOf(c), sink = inputs.options.sink!;
      const results = await bothPasses(session, inputs), out = readOperand(results.out, c.layout);
      for (let row = 0; row < c.batch * c.queryHeads * c.lengthQ; row++) {
        if (visible.subarray(row * c.lengthK, (row + 1) * c.lengthK).includes(1)) continue;
        const head = Math.floor(row / c.lengthQ) % c.queryHeads;
        const error = Math.abs(results.lse.data[row]! - sink.data[head]!);
        assert.ok(error < 1e-6, `lse ${results.lse.data[row]}, sink ${sink.data[head]}`);
        assert.ok(rowOf(out, row, c.valueDim).every((x) => x === 0), caseName(c));
      }
      assert.ok(results.dSink!.data.every(Number.isFinite), caseName(c));
    }
  }
}, "rest");

edge("a sink of −∞ is none, one of +∞ takes all the weight, one of NaN spoils", async (session) => {
  for (const shape of shapes) {
    const c = defineCase({ ...shape, causal: true });
    const inputs = makeInputs(c), heads = [c.queryHeads];
    const withSink = (value: number) => ({
      ...inputs,
      options: {
        ...inputs.options,
        sink: { data: new Float32Array(c.queryHeads).fill(value), shape: heads },
      },
    });
    const none = await bothPasses(session, withSink(-Infinity));
    const { dSink, ...others } = none;
    assertSame(c, others, await bothPasses(session, inputs));
    assert.ok(dSink!.data.every((x) => x === 0));
    const all = await session.forward(withSink(Infinity));
    assert.ok(all.out.data.every((x) => x === 0), "out");
    assert.ok(all.lse.data.every((x) => x === Infinity), "lse");
    const spoiled = await session.forward(withSink(NaN));
    assert.ok(spoiled.lse.data.every(Number.isNaN), "lse of NaN");
  }
}, "rest");

edge("inputs are never written and results alias nothing", async (session) => {
  // what functions are cannot be cloned
  for (const options of hiding.filter(({ blockMask }) => !blockMask)) {
    const c = defineCase({ ...shapes[0], ...options, dLse: true });
    if (!session.takes(c)) continue;
    const inputs = makeInputs(c);
    const inputsBefore = structuredClone(inputs);
    const { out, lse } = await session.forward(inputs);
    const resultsBefore = structuredClone({ out, lse });
    const gradients = await session.backward(inputs, { out, lse });
    assertUnchanged(inputs, inputsBefore, "inputs");
    assertUnchanged({ out, lse }, resultsBefore, "results");
    const { q, k, v, dOut, dLse, options: { bias, alibiSlopes } } = inputs;
    const given = [q, k, v, dOut, dLse, bias, alibiSlopes].map((tensor) => tensor?.data.buffer);
    const made = [out, lse, ...Object.values<TestTensor>({ ...gradients })]
      .map(({ data }) => data.buffer);
    assert.ok(!made.some((buffer) => given.includes(buffer)), "a result shares an input's buffer");
    const givenShapes = [q, k, v, dOut].map(({ shape }) => shape);
    const resultShapes = [out, ...Object.values<TestTensor>({ ...gradients })].map((t) => t.shape);
    assert.ok(!resultShapes.some((shape) => givenShapes.includes(shape)), "a shape is an input's");
  }
}, "by case");

/** The same values at every depth; arrays of numbers by their bytes, which is many times faster than element by element. */
function assertUnchanged(got: unknown, want: unknown, about: string): void {
  if (ArrayBuffer.isView(want)) {
    assert.ok(ArrayBuffer.isView(got), about);
    const [a, b] = [got, want].map((x) => new Uint8Array(x.buffer, x.byteOffset, x.byteLength));
    assert.equal(a!.length, b!.length, about);
    for (let n = 0; n < a!.length; n++) if (a![n] !== b![n]) assert.fail(`byte ${n} of ${about}`);
  } else if (typeof want === "object" && want !== null) {
    assert.deepEqual(Object.keys(got as object), Object.keys(want), about);
    for (const [name, value] of Object.entries(want)) {
      assertUnchanged((got as Record<string, unknown>)[name], value, `${name} of ${about}`);
    }
  } else assert.equal(got, want, about);
}

edge("results of one call are not changed by the next", async (session) => {
  const c = defineCase(shapes[0]!);
  const inputs = makeInputs(c);
  const results = await bothPasses(session, inputs);
  const before = structuredClone(results);
  await bothPasses(session, makeInputs({ ...c, causal: true }));
  assertUnchanged(results, before, "results");
});

edge("operands may share one buffer", async (session) => {
  const c = defineCase({ batch: 1, queryHeads: 2, lengthQ: 40, headDim: 16 });
  const inputs = makeInputs(c);
  // Packed projections, as most models make them: [row, (q, k, v), head, dim] in one array.
  const shared = new Float32Array(3 * inputs.q.data.length);
  const strides = [40 * 96, 96, 16, 1];
  const [q, k, v] = mapTuple([inputs.q, inputs.k, inputs.v], (tensor, n) => {
    tensor.data.forEach((x, at) => shared[Math.floor(at / 32) * 96 + n * 32 + at % 32] = x);
    return { data: shared.subarray(n * 32), shape: tensor.shape, strides };
  });
  assertSame(
    c,
    await bothPasses(session, { ...inputs, q, k, v }),
    await bothPasses(session, inputs),
  );
});

const seen = new Map<string, { readonly inputs: Inputs; readonly visible: Uint8Array }>();

/** Inputs of a case and which pairs it sees: made once for all configurations. */
function seenOf(c: Case) {
  const name = caseName(c);
  let made = seen.get(name);
  if (!made) {
    const inputs = makeInputs(c);
    seen.set(name, made = { inputs, visible: attentionF64(problemOf(inputs)).visible });
  }
  return made;
}

const ofCases = new Map<
  string,
  { readonly inputs: Inputs; readonly poisoned: Inputs | undefined }
>();

/** Inputs of a case, as they are and with what is hidden poisoned: made once for all configurations. */
function poisonedOf(c: Case) {
  let made = ofCases.get(caseName(c));
  if (!made) {
    const inputs = makeInputs(c);
    ofCases.set(caseName(c), made = { inputs, poisoned: poisonHidden(c, inputs) });
  }
  return made;
}

/** Fills every row of q, k, v and dOut that takes part in nothing with NaN and infinities; none: undefined. */
function poisonHidden(c: Case, inputs: Inputs): Inputs | undefined {
  const { visible } = attentionF64(problemOf(inputs));
  const usedQueries = new Set<string>();
  const usedKeys = new Set<string>();
  visible.forEach((isVisible, n) => {
    if (!isVisible) return;
    const [row, j] = [Math.floor(n / c.lengthK), n % c.lengthK];
    const [sequenceHead, i] = [Math.floor(row / c.lengthQ), row % c.lengthQ];
    const [b, h] = [Math.floor(sequenceHead / c.queryHeads), sequenceHead % c.queryHeads];
    usedQueries.add(`${b} ${i} ${h}`);
    usedKeys.add(`${b} ${j} ${Math.floor(h * c.kvHeads / c.queryHeads)}`);
  });
  let poisoned = 0;
  const poison = (tensor: TestTensor, used: ReadonlySet<string>) => {
    const [, rows, heads, dim] = tensor.shape as Shape4;
    const data = tensor.data.map((x, n) => {
      const row = Math.floor(n / dim);
      const place = `${Math.floor(row / heads / rows)} ${Math.floor(row / heads) % rows} ${
        row % heads
      }`;
      return used.has(place) ? x : poisons[poisoned++ % poisons.length]!;
    });
    return { ...tensor, data };
  };
  const { q, k, v, dOut } = inputs;
  const result = {
    ...inputs,
    ...{ q: poison(q, usedQueries), dOut: poison(dOut, usedQueries) },
    ...{ k: poison(k, usedKeys), v: poison(v, usedKeys) },
  };
  return poisoned > 0 ? result : undefined;
}

/** A copy of a packed tensor with one element replaced. */
function put(tensor: TestTensor, at: readonly number[], value: number): TestTensor {
  const { shape } = tensor;
  const data = tensor.data.slice();
  data[at.reduce((place, index, axis) => place * shape[axis]! + index, 0)] = value;
  return { ...tensor, data };
}

/** Replaces the bias of query 0 at keys 7, 8, … of every head, all batches. */
function withBias(inputs: Inputs, entries: readonly (readonly [number, number])[]): Inputs {
  let bias = inputs.options.bias;
  assert.ok(bias);
  for (const [n, value] of entries) {
    for (let head = 0; head < bias.shape[1]!; head++) bias = put(bias, [0, head, 0, 7 + n], value);
  }
  return { ...inputs, options: { ...inputs.options, bias } };
}

function rowOf(values: Float64Array, row: number, dim: number): Float64Array {
  return values.subarray(row * dim, (row + 1) * dim);
}

/** Equal up to the roundings that another path through the library may make. */
function assertSame(c: Case, got: Results, want: Results): void {
  const wanted: Readonly<Record<string, TestTensor>> = { ...want };
  for (const [name, tensor] of Object.entries<TestTensor | undefined>({ ...got })) {
    if (!tensor) continue;
    const values = canonical(tensor, name, c.layout);
    canonical(wanted[name]!, name, c.layout).forEach((x, n) => {
      const near = x === values[n] || Math.abs(x - values[n]!) <= 1e-5 * (1 + Math.abs(x));
      if (!near) assert.fail(`${name}[${n}] is ${values[n]}, want ${x}: ${caseName(c)}`);
    });
  }
}

/** Oracle results by case and place of the NaN, so that each is computed once for all configurations. */
const oracleResults = new Map<string, Readonly<Record<string, Float64Array | undefined>>>();

/** NaN where the oracle has it and nowhere else. */
function assertSameNaN(c: Case, inputs: Inputs, got: Results, place: string): void {
  const about = `NaN in ${place}: ${caseName(c)}`;
  let wanted = oracleResults.get(about);
  if (!wanted) {
    const problem = problemOf(inputs);
    const forward = attentionF64(problem);
    const backward = attentionBackwardF64(problem, forward, readOperand(inputs.dOut, c.layout));
    const { dp: _, delta: __, ...gradients } = backward;
    wanted = { out: forward.out, lse: forward.lse, ...gradients };
    oracleResults.set(about, wanted);
  }
  const results: Readonly<Record<string, TestTensor>> = { ...got };
  for (const [name, want] of Object.entries(wanted)) {
    if (!want) continue;
    const values = canonical(results[name]!, name, c.layout);
    const at = want.findIndex((x, n) => Number.isNaN(x) !== Number.isNaN(values[n]));
    assert.equal(at, -1, `${name}[${at}] is ${values[at]}, want ${want[at]}, ${about}`);
  }
}
