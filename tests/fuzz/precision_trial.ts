/** Calls in a precision: within its bound and of the same bits in every way that a call can be made, or refused by all. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type CallOptions,
  createEngine,
  type Engine,
  type HostTensor,
  type Precision,
  UnsupportedError,
} from "../../mod.ts";
import { type ForwardResult, hostForward } from "../backends.ts";
import { type Case, caseName, caseWork } from "../case.ts";
import { type Inputs, makeInputs } from "../inputs.ts";
import { type ExpectedResults, expectForward, expectHalves, expectIntegers } from "../oracle.ts";
import { randomCases } from "../random_cases.ts";
import { checkResults } from "../run_grid.ts";
import { assertSameBits } from "../same_bits.ts";
import { type OddElement, oddElements, withOdd } from "./odd_element.ts";
import { contentsOf, isUntouched, undocumented } from "./oracle.ts";
import { withinTime } from "./watchdog.ts";

/** What each precision must give. */
const EXPECTED: Readonly<Record<Precision, (inputs: Inputs) => ExpectedResults>> = {
  f32: expectForward,
  f16: expectHalves,
  int8: (inputs) => expectIntegers(inputs, "scores"),
  "int8-pv": (inputs) => expectIntegers(inputs, "scores and outputs"),
};

/** Times the bound of the grid, whose problems are always the same: of any number of them, some are further off. */
const TAIL = 2;

/** What a trial must give. */
function expectedOf(inputs: Inputs, precision: Precision): ExpectedResults {
  return Object.fromEntries(
    Object.entries(EXPECTED[precision](inputs)).map(([name, { bound, ...rest }]) =>
      [name, { ...rest, bound: TAIL * bound }] as const
    ),
  );
}

/** From so many queries on, no call has few rows. */
const MANY_QUERIES = 16;

/** A problem, and the precision that it is asked for. */
export interface PrecisionTrial {
  readonly problem: Case;
  readonly precision: Precision;
  readonly odd: OddElement;
  /** Share of the memory that the call would take; undefined: not tried. */
  readonly budget: number | undefined;
}

/** Steps of the oracle, which takes longer than what it judges. */
const WORK = 1e6;

/** On a GPU dims and options are kernels to compile: only lengths, heads and where pairs are hidden vary. */
const forGpu = (c: Case): Case => ({
  ...{ ...c, headDim: 20, valueDim: 20, dtype: "f32", storage: "bits", arrangement: "packed" },
  ...{ rotary: undefined, softcap: undefined, alibiSlopes: undefined, bias: undefined },
  ...{ mask: undefined, scoreMod: undefined, maskMod: undefined, blockMask: undefined },
  ...{ sink: undefined, dropout: undefined, stats: undefined },
});

/** Any trial for an engine, in what it has and has not. */
export function precisionTrials({ backend }: Engine): fc.Arbitrary<PrecisionTrial> {
  const problems = fc.tuple(randomCases, fc.boolean()).map(([c, stats]): Case => ({
    ...backend === "webgpu" ? forGpu(c) : { ...c, stats },
  })).filter((c) => caseWork(c) < WORK);
  return fc.record({
    problem: problems,
    precision: fc.constantFrom(...Object.keys(EXPECTED) as Precision[]),
    odd: oddElements,
    budget: fc.option(fc.double({ min: 0.3, max: 1, noNaN: true }), { nil: undefined }),
  });
}

/** What came of a call: results, or why there are none. */
type Outcome = ForwardResult | { readonly refused: string };

/** The ways to make a call. */
const WAYS: Readonly<
  Record<string, (engine: Engine, inputs: Inputs, options: CallOptions) => Promise<ForwardResult>>
> = {
  host: async (engine, { q, k, v }, options) =>
    await hostForward(await engine.attention(q, k, v, options)),
  again: async (engine, { q, k, v }, options) =>
    await hostForward(await engine.attention(q, k, v, options)),
  sync: async (engine, { q, k, v }, options) =>
    await hostForward(engine.attentionSync(q, k, v, options)),
  resident: async (engine, { q, k, v }, options) => {
    using places = new DisposableStack();
    const at = (tensor: HostTensor) => places.use(engine.tensor(tensor));
    return await hostForward(await engine.attention(at(q), at(k), at(v), options));
  },
  into: async (engine, inputs, options) => {
    const { q, k, v } = inputs, { out, lse } = engine.explain(q, k, v, options) && roomOf(inputs);
    const result = await engine.attention(q, k, v, { ...options, into: { out, lse } });
    assert.equal(result.out, out);
    return await hostForward(result);
  },
  verified: async (engine, { q, k, v }, options) => {
    const result = await engine.attention(q, k, v, { ...options, verify: { rows: 8 } });
    assert.ok(result.verified);
    return await hostForward(result);
  },
};

/** Host tensors that results fit into. */
function roomOf({ q, v, options }: Inputs): { out: HostTensor; lse: HostTensor } {
  const [batch, a, b] = q.shape as [number, number, number];
  const [heads, rows] = options.layout === "bhsd" ? [a, b] : [b, a];
  const shape = [...q.shape.slice(0, 3), v.shape[3]!], size = shape.reduce((x, y) => x * y, 1);
  const Data = q.data.constructor as Float32ArrayConstructor, { dtype } = q;
  return {
    out: { data: new Data(size), shape, ...dtype && { dtype } },
    lse: { data: new Float32Array(batch * heads * rows), shape: [batch, heads, rows] },
  };
}

/** Makes a call in a way. */
async function outcomeOf(about: string, run: () => Promise<ForwardResult>): Promise<Outcome> {
  try {
    return await withinTime(about, run);
  } catch (error) {
    const what = undocumented(error, new Set());
    if (what || !(error instanceof UnsupportedError)) {
      throw new Error(`${about}: ${what ?? "no call is wrong here"}`, { cause: error });
    }
    return { refused: error.message };
  }
}

/** Runs a trial, and again while scratch grows; `outcomes` counts what came of them. */
export async function runPrecisionTrial(
  engine: Engine,
  trial: PrecisionTrial,
  outcomes: Map<string, number> = new Map(),
): Promise<void> {
  let left = 0;
  for (let again = 0; again < 3; again++) {
    const before = engine.memory.used;
    const outcome = await attempt(engine, trial);
    if (again === 0) outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    left = engine.memory.used - before;
    if (left <= 0) return;
  }
  throw new Error(`${left} bytes of memory are left`);
}

async function attempt(
  engine: Engine,
  { problem, precision, odd, budget }: PrecisionTrial,
): Promise<string> {
  const inputs = makeInputs(problem),
    { q, k, v } = inputs,
    about = `${precision} of ${caseName(problem)}`;
  const options: CallOptions = { ...inputs.options, precision };
  const contents = contentsOf(inputs, new Set());
  const outcomes = new Map<string, Outcome>();
  for (const [way, call] of Object.entries(WAYS)) {
    if (way === "sync" && engine.backend !== "wasm") continue; // it is the CPU's
    const named = `${way}, ${about}`;
    outcomes.set(way, await outcomeOf(named, () => call(engine, inputs, options)));
  }
  assert.ok(isUntouched(contents), `${about}: an input was written`);
  const explained = await outcomeOf(`explain, ${about}`, () => {
    assert.equal(engine.explain(q, k, v, options).precision, precision);
    return Promise.resolve({} as ForwardResult);
  });
  const first = outcomes.get("host")!;
  if ("refused" in first) {
    for (const [way, outcome] of [...outcomes, ["explain", explained] as const]) {
      assert.deepEqual(outcome, first, `${way}, ${about}`);
    }
    const listed = engine.precisions.includes(precision);
    assert.ok(!listed || problem.lengthQ < MANY_QUERIES, `${about}: ${first.refused}`);
    return `${precision} refused`;
  }
  assert.ok(!("refused" in explained), `explain, ${about}`);
  assert.ok(engine.precisions.includes(precision), `${about}: it is not listed`);
  const expected = expectedOf(inputs, precision);
  checkResults(problem, inputs, engine.backend, about, first, expected);
  for (const [way, outcome] of outcomes) {
    assert.ok(!("refused" in outcome), `${way}, ${about}: refused`);
    assertSameBits(outcome, first, `${way}, ${about}`);
  }
  await checkOdd(engine, inputs, options, odd);
  await checkBackward(engine, inputs, first, precision);
  if (budget === undefined || engine.backend !== "wasm") return precision;
  const short = await withLess(engine, inputs, options, budget);
  if (short) checkResults(problem, inputs, `budget ${budget}`, about, short, expected);
  return `${precision} in ${short ? "less memory" : "too little memory"}`;
}

/** The results of a call on an engine that has less memory than it would take; undefined where it needs more. */
async function withLess(
  engine: Engine,
  { q, k, v }: Inputs,
  options: CallOptions,
  share: number,
): Promise<ForwardResult | undefined> {
  const { peakBytes } = engine.explain(q, k, v, options);
  const memoryBudget = Math.max(65536, Math.floor(share * peakBytes));
  using short = await createEngine({ backend: "wasm", threads: 1, memoryBudget });
  try {
    const result = await hostForward(await short.attention(q, k, v, options));
    const { peak } = short.memory;
    assert.ok(peak <= memoryBudget, `${peak} bytes of ${memoryBudget} were in use`);
    return result;
  } catch (error) {
    assert.ok(error instanceof RangeError && /memoryBudget/.test(error.message), `${error}`);
    return undefined;
  }
}

/** A number that a precision has not makes no other results infinite, or none, than it does in float32. */
async function checkOdd(
  engine: Engine,
  inputs: Inputs,
  options: CallOptions,
  odd: OddElement,
): Promise<void> {
  const given = withOdd(inputs, odd);
  if (!given) return;
  const { q, k, v } = given, about = `${options.precision} of ${inputs.name}, ${Deno.inspect(odd)}`;
  const call = async (precision: Precision | undefined) =>
    await hostForward(await engine.attention(q, k, v, { ...options, precision }));
  const [got, want] = [await call(options.precision), await call("f32")];
  for (const name of ["out", "lse"] as const) {
    const [a, b] = [got[name].data, want[name].data].map(kinds);
    assert.equal(a!.findIndex((kind, n) => kind !== b![n]), -1, `${name} of ${about}`);
  }
}

/** Which of the elements are finite, infinite, or none. */
function kinds(data: ForwardResult["out"]["data"]): number[] {
  const bits = data instanceof Uint16Array; // bf16
  return Array.from(
    data,
    (x) => bits ? Number((x & 0x7f80) === 0x7f80) : Number.isFinite(x) ? 0 : 1,
  );
}

/** Gradients in a precision: right and of the same bits, or refused. */
async function checkBackward(
  engine: Engine,
  inputs: Inputs,
  saved: ForwardResult,
  precision: Precision,
): Promise<void> {
  const { q, k, v, dOut, dLse, options } = inputs, { out, lse } = saved;
  const call = async () =>
    await engine.attentionBackward(dOut, { q, k, v, out, lse }, {
      ...{ ...options, precision, verify: { rows: 4 } },
      ...dLse && { dLse },
    });
  try {
    const one = await call(), two = await call();
    assert.ok(one.verified);
    for (const name of ["dq", "dk", "dv"] as const) assert.deepEqual(one[name], two[name], name);
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    assert.notEqual(precision, "f32");
  }
}
