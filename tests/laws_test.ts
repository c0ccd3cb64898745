/** Laws of attention that need no oracle: they hold between results of the library itself. */

import assert from "node:assert/strict";
import { masks } from "../mod.ts";
import {
  type BackwardResult,
  bothPasses,
  engineConfigurations,
  type ForwardResult,
} from "./backends.ts";
import type { Session } from "./backends.ts";
import { type Case, defineCase } from "./case.ts";
import { type Inputs, makeInputs } from "./inputs.ts";
import { slopes } from "./mods.ts";
import { startsOf } from "./packed.ts";
import type { MaskFunction } from "./reference/functions.ts";
import {
  type Layout,
  readOperand,
  readPacked,
  type ReferenceOptions,
  type Shape4,
  type TestTensor,
} from "./reference/problem.ts";
import { everything } from "./selection.ts";
import { type GpuPart, sharedSessions, testSessions } from "./sessions.ts";

/** Registers a law, checked on every configuration. */
function law(
  name: string,
  check: (session: Session) => Promise<void>,
  gpu: GpuPart = "core",
): void {
  testSessions(name, engineConfigurations, check, gpu);
}

const grouped: Partial<Case> = { batch: 2, queryHeads: 4, kvHeads: 2, lengthQ: 45, lengthK: 70 };

/** Elementwise options do not disturb Σ q∘dq = Σ k∘dk: both are Σ (q·k)·d(q·k). */
const elementwise: readonly Partial<Case>[] = [
  {},
  { causal: true, dLse: true },
  { rotary: { dims: 8 }, causal: true },
  { softcap: 3, window: { left: 20, right: 4 } },
  { bias: "1hqk", mask: { axes: "b1qk", pattern: "random" } },
  { keyLengths: [50, 1], amplitude: 5 },
  { alibiSlopes: "bh", causal: { offset: 9 } },
  { scoreMod: "softcap", maskMod: "prefix" },
  { ...everything, causal: true },
];

/** A case with its inputs for each of some options that a session takes. */
function* taken(
  session: Session,
  options: readonly Partial<Case>[],
): Generator<{ c: Case; inputs: Inputs }> {
  for (const more of options) {
    const c = defineCase({ ...grouped, ...more });
    if (session.takes(c)) yield { c, inputs: makeInputs(c) };
  }
}

law("the sum of q∘dq equals the sum of k∘dk", async (session) => {
  for (const { inputs } of taken(session, elementwise)) {
    const { dq, dk } = await gradients(session, inputs);
    const [left, right] = [dotProduct(inputs.q, dq), dotProduct(inputs.k, dk)];
    const error = Math.abs(left.sum - right.sum);
    assert.ok(error < 1e-6 * (left.size + right.size), `${left.sum}, ${right.sum}: ${inputs.name}`);
  }
}, "by case");

law("the order of the keys does not matter", async (session) => {
  const inputs = makeInputs(defineCase({ ...grouped, bias: "b11k" }));
  const order = Array.from({ length: 70 }, (_, j) => (j * 27 + 5) % 70);
  const bias = inputs.options.bias;
  assert.ok(bias);
  const permuted: Inputs = {
    ...inputs,
    k: permuteAxis(inputs.k, 1, order),
    v: permuteAxis(inputs.v, 1, order),
    options: { bias: permuteAxis(bias, 3, order) },
  };
  const [plain, shuffled] = [
    await bothPasses(session, inputs),
    await bothPasses(session, permuted),
  ];
  assertNear(shuffled.out, plain.out);
  assertNear(shuffled.lse, plain.lse);
  assertNear(shuffled.dq, plain.dq);
  assertNear(shuffled.dk, permuteAxis(plain.dk, 1, order));
  assertNear(shuffled.dv, permuteAxis(plain.dv, 1, order));
}, "rest");

law(
  "a constant added to the bias moves lse by it and leaves out and gradients",
  async (session) => {
    const inputs = makeInputs(defineCase({ ...grouped, bias: "1hqk", causal: true }));
    const bias = inputs.options.bias;
    assert.ok(bias);
    const raised = { data: Float32Array.from(bias.data, (x) => x + 4), shape: bias.shape };
    const plain = await bothPasses(session, inputs);
    const moved = await bothPasses(session, {
      ...inputs,
      options: { ...inputs.options, bias: raised },
    });
    for (const name of ["out", "dq", "dk", "dv", "dBias"] as const) {
      assertNear(moved[name], plain[name], 4e-6);
    }
    const shifted = { ...plain.lse, data: Float32Array.from(plain.lse.data, (x) => x + 4) };
    assertNear(moved.lse, shifted);
  },
  "rest",
);

law("values of 1 give an out of 1 wherever something is visible", async (session) => {
  // so small a probability drops no pair
  const seeing = elementwise.map((options) => ({
    ...{ ...options, keyLengths: undefined },
    dropout: options.dropout && 1e-12,
  }));
  for (const { inputs } of taken(session, [...seeing, { dtype: "f16", causal: "top-left" }])) {
    const ones = inputs.v.data.slice().fill(inputs.v.data instanceof Uint16Array ? 0x3c00 : 1);
    const { out } = await session.forward({ ...inputs, v: { ...inputs.v, data: ones } });
    // numerator and denominator sum the same 70 terms in different orders: a few roundings apart
    readPacked(out).forEach((x) => assert.ok(Math.abs(x - 1) < 1e-6, `${x}: ${inputs.name}`));
  }
}, "by case");

law("each row of dBias sums to 0", async (session) => {
  const both = [{}, { softcap: 9 }].map((more) => ({
    bias: "bhqk",
    window: { left: 30 },
    ...more,
  }));
  for (const { c, inputs } of taken(session, both)) {
    const { dBias } = await gradients(session, inputs);
    assert.ok(dBias);
    const values = readPacked(dBias);
    for (let row = 0; row < values.length; row += c.lengthK) {
      const ds = values.subarray(row, row + c.lengthK);
      const size = ds.reduce((sum, x) => sum + Math.abs(x), 0);
      const sum = ds.reduce((sum, x) => sum + x, 0);
      assert.ok(Math.abs(sum) <= 2e-6 * (size + 1), `row at ${row} sums to ${sum}, size ${size}`);
    }
  }
}, "by case");

/** Options that change nothing: a window wider than the sequence, and every way to say "off". */
const neutral = [
  ...[{}, { left: 1000 }, { right: 1000 }, { left: 70, right: 70 }].map((window) => ({ window })),
  { window: { left: Infinity, right: Infinity } },
  { softcap: 1e4 },
  { mask: { data: Uint8Array.of(1), shape: [1, 1, 1, 1] } },
  { bias: { data: new Float32Array(4 * 45 * 70), shape: [1, 4, 45, 70] } },
  { keyLengths: Int32Array.of(70, 70), causal: { offset: 70 } },
];

law(
  "a window wider than the sequence is no window, and likewise other options",
  async (session) => {
    const inputs = makeInputs(defineCase(grouped));
    const want = await bothPasses(session, inputs);
    for (const options of neutral) {
      assertAllNear(await bothPasses(session, { ...inputs, options }), want);
    }
  },
  "rest",
);

law("keyLengths equal tensors cut to those lengths", async (session) => {
  const keyLengths = [70, 33];
  for (const causal of [undefined, true] as const) {
    const inputs = makeInputs(defineCase({ ...grouped, keyLengths, causal }));
    const padded = await bothPasses(session, inputs);
    for (const [b, length] of keyLengths.entries()) {
      const options = causal ? { causal } : {};
      const cut = await bothPasses(session, { ...sequence(inputs, b, length), options });
      for (const name of ["out", "dq"] as const) {
        assertNear(slice(padded[name], 0, b, b + 1), cut[name]);
      }
      assertNear(slice(padded.lse, 0, b, b + 1), cut.lse);
      for (const name of ["dk", "dv"] as const) {
        const whole = slice(padded[name], 0, b, b + 1);
        assertNear(slice(whole, 1, 0, length), cut[name]);
        assert.ok(readPacked(slice(whole, 1, length, 70)).every((x) => x === 0), "after the end");
      }
    }
  }
});

law("ALiBi is a bias of minus slope times distance, its gradient the sum", async (session) => {
  const all = ([{}, { causal: true }, { causal: "top-left", softcap: 9 }] as const)
    .map((more) => ({ ...more, alibiSlopes: "bh" as const }));
  for (const { c, inputs } of taken(session, all)) {
    const slopes = inputs.options.alibiSlopes!;
    const offset = c.causal === "top-left" ? 0 : c.lengthK - c.lengthQ;
    const distances = Float32Array.from(
      { length: c.lengthQ * c.lengthK },
      (_, n) => Math.abs(Math.floor(n / c.lengthK) + offset - n % c.lengthK),
    );
    const heads = c.batch * c.queryHeads, pairs = distances.length;
    const bias = {
      data: Float32Array.from(
        { length: heads * pairs },
        (_, n) => -slopes.data[Math.floor(n / pairs)]! * distances[n % pairs]!,
      ),
      shape: [c.batch, c.queryHeads, c.lengthQ, c.lengthK],
    };
    const { alibiSlopes: _, ...rest } = inputs.options;
    const [alibi, table] = [
      await bothPasses(session, inputs),
      await bothPasses(session, { ...inputs, options: { ...rest, bias } }),
    ];
    const { dAlibiSlopes, ...own } = alibi, { dBias, ...twin } = table;
    assertAllNear(own, twin, 4e-6);
    const ds = readPacked(dBias!);
    const sums = Float32Array.from({ length: heads }, (_, head) => {
      let sum = 0;
      distances.forEach((distance, n) => sum -= ds[head * pairs + n]! * distance);
      return sum;
    });
    assertNear(dAlibiSlopes, { data: sums, shape: slopes.shape }, 1e-5);
  }
}, "by case");

/** Cases of functions stand for calls with like functions: a session takes those or none. */
const withFunctions = (session: Session, more: Partial<Case>) =>
  session.takes(defineCase({ ...grouped, ...more }));

law("ALiBi is a function of scores", async (session) => {
  for (const causal of [undefined, "top-left"] as const) {
    const c = defineCase({ ...grouped, scoreMod: "alibi", causal });
    if (!session.takes(c)) continue;
    const inputs = makeInputs(c), { scoreMod: _, ...rest } = inputs.options;
    const alibiSlopes = { data: slopes.slice(0, c.queryHeads), shape: [c.queryHeads] };
    const options = { ...rest, alibiSlopes };
    const { dAlibiSlopes: _1, ...twin } = await bothPasses(session, { ...inputs, options });
    assertAllNear(await bothPasses(session, inputs), twin, 4e-6);
  }
}, "by case");

law("a causal mask is causal", async (session) => {
  if (!withFunctions(session, { maskMod: "prefix" })) return;
  const inputs = makeInputs(defineCase({ ...grouped, lengthQ: 130, causal: true }));
  const maskMod = masks.causal() as MaskFunction;
  const { causal: _, ...rest } = inputs.options;
  const masked = await bothPasses(session, { ...inputs, options: { ...rest, maskMod } });
  assertAllNear(masked, await bothPasses(session, inputs));
}, "by case");

law("a mask of documents gives what packed sequences give", async (session) => {
  if (!withFunctions(session, { maskMod: "documents" })) return;
  const lengths = [40, 1, 130, 29], starts = startsOf(lengths), rows = starts.at(-1)!;
  const ids = Int32Array.from(lengths.flatMap((n, id) => Array<number>(n).fill(id)));
  const inputs = makeInputs(defineCase({ ...grouped, batch: 1, lengthQ: rows, lengthK: rows }));
  const maskMod = masks.documents(ids) as MaskFunction;
  const masked = await bothPasses(session, { ...inputs, options: { maskMod } });
  const flat = (tensor: TestTensor) => ({ ...tensor, shape: tensor.shape.slice(1) });
  const { q, k, v, dOut } = inputs;
  const packed = await bothPasses(session, {
    ...inputs,
    ...{ q: flat(q), k: flat(k), v: flat(v), dOut: flat(dOut) },
    options: { cuSeqlensQ: starts, cuSeqlensK: starts } as ReferenceOptions,
  });
  for (const name of ["out", "lse", "dq", "dk", "dv"] as const) {
    assertNear(flat(masked[name]), packed[name], 4e-6);
  }
}, "by case");

law("a sink is one more key with a value of 0 whose score is the sink", async (session) => {
  const c = defineCase({ ...grouped, sink: true, bias: "1hqk" });
  const inputs = makeInputs(c), { sink, bias } = inputs.options;
  assert.ok(sink && bias);
  const { batch, queryHeads, kvHeads, lengthQ, lengthK, headDim } = c;
  const longer = (tensor: TestTensor): TestTensor => { // a key of zeros at the end
    const row = kvHeads * headDim, data = new Float32Array(batch * (lengthK + 1) * row);
    for (let b = 0; b < batch; b++) {
      const from = tensor.data.subarray(b * lengthK * row, (b + 1) * lengthK * row);
      data.set(from as Float32Array<ArrayBuffer>, b * (lengthK + 1) * row);
    }
    return { data, shape: [batch, lengthK + 1, kvHeads, headDim] };
  };
  const table = {
    data: Float32Array.from({ length: queryHeads * lengthQ * (lengthK + 1) }, (_, n) => {
      const j = n % (lengthK + 1), row = Math.floor(n / (lengthK + 1));
      return j === lengthK ? sink.data[Math.floor(row / lengthQ)]! : bias.data[row * lengthK + j]!;
    }),
    shape: [1, queryHeads, lengthQ, lengthK + 1],
  };
  const twin = await bothPasses(session, {
    ...inputs,
    ...{ k: longer(inputs.k), v: longer(inputs.v), options: { bias: table } },
  });
  const own = await bothPasses(session, inputs);
  for (const name of ["out", "lse", "dq"] as const) assertNear(own[name], twin[name], 4e-6);
  for (const name of ["dk", "dv"] as const) {
    assertNear(own[name], slice(twin[name], 1, 0, lengthK), 4e-6);
  }
  const ds = readPacked(twin.dBias!);
  const sums = Float32Array.from({ length: queryHeads }, (_, head) => {
    let sum = 0;
    for (let i = 0; i < lengthQ; i++) {
      sum += ds[((head * lengthQ) + i) * (lengthK + 1) + lengthK]!;
    }
    return sum;
  });
  assertNear(own.dSink, { data: sums, shape: [queryHeads] }, 1e-5);
}, "rest");

law("layouts give the same results", async (session) => {
  for (const { inputs } of taken(session, elementwise)) {
    const bshd = await bothPasses(session, inputs);
    const swap = (tensor: TestTensor) => swapLayout(tensor);
    const { q, k, v, dOut } = inputs;
    const bhsd = await bothPasses(session, {
      ...inputs,
      ...{ q: swap(q), k: swap(k), v: swap(v), dOut: swap(dOut) },
      options: { ...inputs.options, layout: "bhsd" },
    });
    for (const name of ["out", "dq", "dk", "dv"] as const) {
      assertNear(swapLayout(bhsd[name]), bshd[name]);
    }
    assertNear(bhsd.lse, bshd.lse);
  }
}, "by case");

law("twice dOut gives exactly twice the gradients, twice v exactly twice out", async (session) => {
  const inputs = makeInputs(defineCase({ ...grouped, causal: true, bias: "1hqk" }));
  const twice = (tensor: TestTensor) => ({
    ...tensor,
    data: Float32Array.from(tensor.data, (x) => 2 * x),
  });
  const saved = await session.forward(inputs);
  const once = await session.backward(inputs, saved);
  const doubled = await session.backward({ ...inputs, dOut: twice(inputs.dOut) }, saved);
  for (const name of ["dq", "dk", "dv"] as const) {
    assert.deepEqual(doubled[name].data, twice(once[name]).data, name);
  }
  const { out } = await session.forward({ ...inputs, v: twice(inputs.v) });
  assert.deepEqual(out.data, twice(saved.out).data);
}, "rest");

law("grouped heads equal kv heads repeated, with their gradients summed", async (session) => {
  const inputs = makeInputs(defineCase(grouped));
  const repeat = [0, 0, 1, 1];
  const repeated: Inputs = {
    ...inputs,
    k: permuteAxis(inputs.k, 2, repeat),
    v: permuteAxis(inputs.v, 2, repeat),
  };
  const [shared, apart] = [await bothPasses(session, inputs), await bothPasses(session, repeated)];
  for (const name of ["out", "lse", "dq"] as const) assertNear(shared[name], apart[name]);
  for (const name of ["dk", "dv"] as const) {
    const even = readPacked(permuteAxis(apart[name], 2, [0, 2]));
    const odd = readPacked(permuteAxis(apart[name], 2, [1, 3]));
    assertNear(shared[name], {
      ...shared[name],
      data: Float32Array.from(even, (x, n) => x + odd[n]!),
    });
  }
});

const firstOnly = sharedSessions(engineConfigurations.slice(0, 1));

law("threads and builds agree", async (session) => {
  for (const first of (await firstOnly()).values()) {
    for (const { inputs } of taken(session, elementwise)) {
      assertAllNear(await bothPasses(session, inputs), await bothPasses(first, inputs), 4e-6);
    }
  }
}, "by case");

async function gradients(session: Session, inputs: Inputs): Promise<BackwardResult> {
  return await session.backward(inputs, await session.forward(inputs));
}

/** Σ a∘b, and Σ |a∘b| to measure its error by. */
function dotProduct(a: TestTensor, b: TestTensor): { sum: number; size: number } {
  const [left, right] = [readPacked(a), readPacked(b)];
  const products = left.map((x, n) => x * right[n]!);
  return {
    sum: products.reduce((sum, x) => sum + x, 0),
    size: products.reduce((sum, x) => sum + Math.abs(x), 0),
  };
}

function assertAllNear(
  got: ForwardResult & BackwardResult,
  want: ForwardResult & BackwardResult,
  tolerance?: number,
): void {
  for (const name of ["out", "lse", "dq", "dk", "dv", "dBias", "dAlibiSlopes", "dSink"] as const) {
    if (want[name]) assertNear(got[name], want[name], tolerance);
  }
}

/** Two results of the library, equal but for the order of roundings: relative to the largest element. */
function assertNear(
  got: TestTensor | undefined,
  want: TestTensor | undefined,
  tolerance = 2e-6,
): void {
  assert.ok(got && want);
  assert.deepEqual([...got.shape], [...want.shape]);
  const [a, b] = [readPacked(got), readPacked(want)];
  const size = b.reduce((max, x) => Number.isFinite(x) ? Math.max(max, Math.abs(x)) : max, 1);
  a.forEach((x, n) => {
    const near = x === b[n] || Math.abs(x - b[n]!) <= tolerance * size;
    assert.ok(near, `element ${n}: ${x}, want ${b[n]}`);
  });
}

/** A packed tensor with the entries of one axis taken in the given order. */
function permuteAxis(tensor: TestTensor, axis: number, order: readonly number[]): TestTensor {
  const { shape } = tensor;
  const inner = shape.slice(axis + 1).reduce((product, size) => product * size, 1);
  const newShape = shape.with(axis, order.length);
  const length = newShape.reduce((product, size) => product * size, 1);
  const data = Float32Array.from({ length }, (_, n) => {
    const [block, rest] = [Math.floor(n / (inner * order.length)), n % (inner * order.length)];
    const entry = order[Math.floor(rest / inner)]!;
    return tensor.data[(block * shape[axis]! + entry) * inner + rest % inner]!;
  });
  return { data, shape: newShape };
}

function slice(tensor: TestTensor, axis: number, from: number, to: number): TestTensor {
  return permuteAxis(tensor, axis, Array.from({ length: to - from }, (_, n) => from + n));
}

/** One sequence of a batch in layout bshd, its keys cut. */
function sequence(inputs: Inputs, b: number, length: number): Inputs {
  const one = (tensor: TestTensor) => slice(tensor, 0, b, b + 1);
  const cut = (tensor: TestTensor) => slice(one(tensor), 1, 0, length);
  const { q, k, v, dOut } = inputs;
  return { ...inputs, q: one(q), k: cut(k), v: cut(v), dOut: one(dOut) };
}

function swapLayout(tensor: TestTensor, from: Layout = "bshd"): TestTensor {
  const [batch, rows, heads, dim] = tensor.shape as Shape4;
  return {
    data: Float32Array.from(readOperand(tensor, from)),
    shape: [batch, heads, rows, dim],
  };
}
