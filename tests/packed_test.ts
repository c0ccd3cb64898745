/** Packed sequences, on either side or both: what each sequence gives alone, and nothing else. */

import assert from "node:assert/strict";
import { attention, attentionSync, createEngine, type HostTensor } from "../mod.ts";
import { assertClose } from "./assert_close.ts";
import {
  bothPasses,
  engineConfigurations,
  residentConfigurations,
  type Session,
  syncConfiguration,
} from "./backends.ts";
import { type Case, defineCase } from "./case.ts";
import { plainTensor } from "./inputs.ts";
import {
  expectPacked,
  type Lengths,
  type PackedCase,
  type PackedExpected,
  type PackedInputs,
  packedInputs,
  startsOf,
} from "./packed.ts";
import { STATISTICS, type TestTensor } from "./reference/problem.ts";
import { canonical } from "./run_grid.ts";
import { fewRows, runTakes } from "./selection.ts";
import { testSessions } from "./sessions.ts";

const file = "tests/packed_test.ts";
const grouped: Partial<Case> = { queryHeads: 4, kvHeads: 2, headDim: 20, valueDim: 12 };
/** Several tiles, one, none on one side, the other, both. */
const mixed: Lengths = [[5, 9], [0, 4], [70, 131], [3, 0], [0, 0], [1, 1], [33, 20]];
const both = { queries: true, keys: true, lengths: mixed };

const cases: readonly PackedCase[] = [
  { name: "plain", ...both, fields: grouped },
  { name: "causal, rows behind", ...both, fields: { ...grouped, causal: true }, behind: 5 },
  { name: "window, dLse", ...both, fields: { ...grouped, window: { left: 20 }, dLse: true } },
  { name: "slopes of each sequence", ...both, fields: { ...grouped, alibiSlopes: "bh" } },
  { name: "sink, rows behind", ...both, fields: { ...grouped, sink: true }, behind: 2 },
  {
    name: "statistics, rows behind",
    ...{ ...both, fields: { ...grouped, causal: true, stats: true, dEntropy: true }, behind: 2 },
  },
  {
    name: "statistics, sink",
    ...{ ...both, fields: { ...grouped, stats: true, dEntropy: true, sink: true } },
  },
  {
    name: "decode, statistics",
    ...{ queries: true, keys: true, fields: { ...fewRows, causal: true, stats: true } },
    lengths: [[2, 700], [2, 9], [2, 1250], [2, 2]],
  },
  { name: "rotary", ...both, fields: { ...grouped, rotary: {}, causal: true } },
  {
    name: "rotary, keys in use",
    ...{ ...both, used: [9, 2, 100, 0, 0, 1, 0] },
    fields: { ...grouped, rotary: { interleaved: true, dims: 8 } },
  },
  {
    name: "rotary, positions of each, rows behind",
    ...{ ...both, behind: 4, fields: { ...grouped, rotary: { positions: "each" } } },
  },
  {
    name: "rotary, packed queries, a batch of keys",
    ...{ queries: true, keys: false, lengths: [[5, 60], [0, 60], [70, 60]] },
    fields: { ...grouped, rotary: {} },
  },
  {
    name: "decode, rotary, keys rotated already",
    ...{ queries: true, keys: true, fields: { ...fewRows, rotary: { keys: false } } },
    lengths: [[2, 700], [2, 9], [2, 1300], [2, 2]],
  },
  // some sequences have rows that fill panels, others have not; scratch is that of the call
  ...([
    [[5, 40], [3, 700], [5, 9], [4, 60], [1, 3]],
    [[4, 40], [3, 700], [1, 9], [2, 60], [0, 3]],
  ] as const).map((lengths, n): PackedCase => ({
    name: `decode of ${lengths[0][0]} rows and fewer, functions`,
    ...{ queries: true, keys: true, lengths },
    fields: { ...fewRows, causal: true, scoreMod: "softcap", maskMod: n ? "prefix" : undefined },
  })),
  { name: "softcap", ...both, fields: { ...grouped, softcap: 3 } },
  {
    name: "functions of scores and masks",
    ...both,
    fields: { ...grouped, scoreMod: "alibi", maskMod: "documents" },
  },
  {
    name: "functions and keys in use",
    ...both,
    used: [9, 2, 100, 0, 0, 1, 0],
    fields: { ...grouped, scoreMod: "softcap", maskMod: "prefix" },
  },
  {
    name: "block masks of sequences of one length",
    ...{ queries: true, keys: true, lengths: [[70, 90], [70, 90], [70, 90]], behind: 3 },
    fields: { ...grouped, blockMask: { made: "lists", size: [16, 32], mask: "documents" } },
  },
  {
    name: "block masks and keys in use",
    ...{ queries: true, keys: true, lengths: [[33, 60], [33, 60]], used: [60, 21] },
    fields: { ...grouped, blockMask: { made: "blocks", size: [8, 16], mask: "prefix" } },
  },
  { name: "f16, rows behind", ...both, fields: { ...grouped, dtype: "f16" }, behind: 3 },
  { name: "odd dims", ...both, fields: { ...grouped, headDim: 9, valueDim: 5 } },
  {
    name: "keys in use",
    ...both,
    used: [9, 2, 100, 0, 0, 1, 0],
    fields: { ...grouped, causal: true },
  },
  {
    name: "packed queries, a batch of keys",
    ...{ queries: true, keys: false, lengths: [[5, 60], [0, 60], [70, 60]], fields: grouped },
  },
  {
    name: "a batch of queries, packed keys",
    ...{ queries: false, keys: true, lengths: [[40, 9], [40, 0], [40, 131]], fields: grouped },
  },
  {
    name: "decode",
    ...{ queries: true, keys: true, fields: { ...fewRows, causal: true } },
    lengths: [[2, 700], [2, 9], [2, 1300], [2, 2]],
  },
  {
    name: "decode of different lengths",
    ...{ queries: true, keys: true, fields: { ...grouped, causal: true } },
    lengths: [[1, 300], [3, 900], [2, 5], [0, 10]],
  },
];

/** Results with a number for each row. */
const ROWS = ["lse", ...STATISTICS] as readonly string[];

/** The part of a result that belongs to sequence n, as a tensor of its own. */
function partOf(tensor: TestTensor, name: string, c: PackedCase, n: number): TestTensor {
  const { data, shape } = tensor, last = shape.length - 1;
  const ofKeys = name === "dk" || name === "dv", packed = ofKeys ? c.keys : c.queries;
  if (name === "dAlibiSlopes") {
    return { data: data.subarray(n * shape[1]!, (n + 1) * shape[1]!), shape: [shape[1]!] };
  }
  const lengths = c.lengths.map(([q, k]) => ofKeys ? k : q), starts = startsOf(lengths);
  const rows = lengths[n]!, begin = starts[n]!;
  if (!packed) {
    const size = data.length / shape[0]!;
    return {
      ...tensor,
      data: data.subarray(n * size, (n + 1) * size),
      shape: [1, ...shape.slice(1)],
    };
  }
  if (ROWS.includes(name)) {
    const [heads, all] = shape as [number, number];
    const part = Float32Array.from(
      { length: heads * rows },
      (_, at) => data[Math.floor(at / rows) * all + begin + at % rows]!,
    );
    return { data: part, shape: [1, heads, rows] };
  }
  const row = shape[last - 1]! * shape[last]!;
  const part = data.subarray(begin * row, (begin + rows) * row);
  return { ...tensor, data: part, shape: [1, rows, ...shape.slice(1)] };
}

/** Rows behind the last sequence hold nothing. */
function checkBehind(results: Readonly<Record<string, TestTensor>>, c: PackedCase): void {
  for (const [name, { data, shape }] of Object.entries(results)) {
    if (!c.behind || !["out", "dq", "dk", "dv", ...ROWS].includes(name)) continue;
    const ofRows = ROWS.includes(name), empty = name === "lse" ? -Infinity : 0;
    const rows = ofRows ? shape[1]! : shape[0]!;
    const place = (at: number) => ofRows ? at % rows : Math.floor(at / (data.length / rows));
    const bad = data.findIndex((x, at) => place(at) >= rows - c.behind! && x !== empty);
    assert.equal(bad, -1, `${name}[${bad}] behind the sequences is ${data[bad]}`);
  }
}

const made = new Map<PackedCase, PackedInputs & { readonly expected: PackedExpected[] }>();

/** What a case needs, made once for all configurations. */
function madeOf(c: PackedCase) {
  let found = made.get(c);
  if (!found) {
    const packed = packedInputs(c);
    made.set(c, found = { ...packed, expected: expectPacked(packed) });
  }
  return found;
}

async function check(session: Session, c: PackedCase, configuration: string): Promise<void> {
  const { inputs, expected: all } = madeOf(c);
  const results = await bothPasses(session, inputs) as unknown as Readonly<
    Record<string, TestTensor>
  >;
  for (const { name, expected, sequence } of all) {
    const got = results[name];
    assert.ok(got, `no ${name}`);
    const part = sequence === undefined ? got : partOf(got, name, c, sequence);
    const subject = { result: `${name} of sequence ${sequence ?? "all"}`, configuration };
    const about = { caseName: c.name, seed: 0, rerun: `deno task test ${file}` };
    assertClose({ ...subject, ...about }, canonical(part, name, "bshd"), expected, part.shape);
  }
  checkBehind(results, c);
}

/** A GPU has them on tensors of its own in the rest. */
const places = runTakes("rest") ? residentConfigurations : residentConfigurations.slice(0, 1);

testSessions(
  "packed sequences give what each gives alone, forward and backward",
  [...engineConfigurations, ...places, syncConfiguration],
  async (session, configuration) => {
    for (const c of cases) {
      // a GPU compiles a kernel for each kind: the core has those that other tests share
      const one = defineCase({ ...c.fields, lengthQ: 33, lengthK: 20 });
      if (!session.takes(c.lengths[0]![0] > 2 ? one : { ...one, lengthQ: 2 })) continue;
      await check(session, c, configuration);
    }
  },
  "by case",
);

Deno.test("one packed sequence gives the bits of a call without packing", () => {
  const q = plainTensor(1, [1, 40, 4, 16]), k = plainTensor(2, [1, 70, 2, 16]);
  const want = attentionSync(q, k, k, { causal: true });
  const flat = ({ data, shape }: TestTensor) => ({ data, shape: shape.slice(1) });
  const options = { causal: true, cuSeqlensQ: [0, 40], cuSeqlensK: [0, 70] };
  const got = attentionSync(flat(q), flat(k), flat(k), options);
  assert.deepEqual([[...got.out.shape], [...got.lse.shape]], [[40, 4, 16], [4, 40]]);
  assert.deepEqual(got.out.data, want.out.data);
  assert.deepEqual(got.lse.data, want.lse.data);
});

Deno.test("packed sequences agree with padded ones and their key lengths", async () => {
  const lengths = [30, 1, 17], starts = startsOf(lengths);
  const packed = plainTensor(5, [48, 2, 16]), padded = new Float32Array(3 * 30 * 2 * 16);
  lengths.forEach((n, b) => {
    padded.set(
      (packed.data as Float32Array).subarray(starts[b]! * 32, (starts[b]! + n) * 32),
      b * 960,
    );
  });
  const cu = { cuSeqlensQ: starts, cuSeqlensK: starts }, x = packed as HostTensor;
  const { out } = await attention(x, x, x, cu);
  const y: HostTensor = { data: padded, shape: [3, 30, 2, 16] };
  const want = await attention(y, y, y, { keyLengths: lengths });
  lengths.forEach((n, b) => {
    for (let at = 0; at < n * 32; at++) {
      const [a, w] = [out.data[starts[b]! * 32 + at]!, want.out.data[b * 960 + at]!];
      assert.ok(Math.abs(a - w) <= 1e-6, `sequence ${b}: ${a}, padded ${w}`);
    }
  });
});

testSessions(
  "dropout counts sequences, queries and keys as a batch does",
  [...engineConfigurations, ...places, syncConfiguration],
  async (session) => {
    const q = plainTensor(1, [3, 20, 4, 20]), k = plainTensor(2, [3, 30, 2, 20]);
    const dropout = { probability: 0.4, seed: 5 },
      flat = ({ data, shape }: TestTensor) => ({
        data,
        shape: [shape[0]! * shape[1]!, ...shape.slice(2)],
      });
    const packed = { cuSeqlensQ: [0, 20, 40, 60], cuSeqlensK: [0, 30, 60, 90] };
    const batch = { q, k, v: k, options: { dropout } };
    const want = await session.forward(batch), both = { dropout, ...packed };
    const got = await session.forward({ q: flat(q), k: flat(k), v: flat(k), options: both });
    got.out.data.forEach((x, n) => {
      assert.ok(Math.abs(x - want.out.data[n]!) < 1e-5, `out[${n}]`);
    });
  },
  "rest",
);

Deno.test("rows without keys, and one row behind the last sequence, are written too", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const q = engine.tensor(plainTensor(1, [11, 2, 8]) as HostTensor);
  const k = engine.tensor(plainTensor(2, [5, 2, 8]) as HostTensor), starts = [0, 4, 10];
  for (const cuSeqlensK of [[0, 5, 5], [0, 2, 5]]) {
    for (const shape of [[11, 2, 8], [2, 11]]) { // what lies where results will
      engine.tensor(new Float32Array(shape.reduce((n, size) => n * size)).fill(9), shape).dispose();
    }
    const { out, lse } = await engine.attention(q, k, k, { cuSeqlensQ: starts, cuSeqlensK });
    const [rows, sums] = [await out.read(), await lse.read()];
    const first = cuSeqlensK[1] === 5 ? 4 : 10; // the first row that sees no key
    assert.ok(rows.subarray(16 * first).every((x) => x === 0));
    for (const head of [0, 11]) {
      assert.ok(sums.subarray(head, head + first).every((x) => Number.isFinite(x)));
      assert.ok(sums.subarray(head + first, head + 11).every((x) => x === -Infinity));
    }
    for (const one of [out, lse]) one.dispose();
  }
});

Deno.test("starts that are none, and tensors that do not fit them, are refused by name", () => {
  const x = plainTensor(1, [10, 2, 8]), y = plainTensor(1, [1, 10, 2, 8]);
  const call = (options: object, q = x, k = x) => () =>
    attentionSync(q as HostTensor, k as HostTensor, k as HostTensor, options);
  const refused = (options: object, error: RegExp, q = x, k = x) =>
    assert.throws(call(options, q, k), error);
  const starts = [0, 4, 10];
  refused(
    { cuSeqlensQ: [1, 10], cuSeqlensK: starts },
    /RangeError.*cuSeqlensQ\[0\] is 1.*must be 0/,
  );
  refused(
    { cuSeqlensQ: [0, 6, 4], cuSeqlensK: starts },
    /RangeError.*cuSeqlensQ\[2\] is 4.*at least cuSeqlensQ\[1\] = 6/,
  );
  refused(
    { cuSeqlensQ: [0, -1, 10], cuSeqlensK: starts },
    /RangeError.*cuSeqlensQ\[1\] is -1.*at least cuSeqlensQ\[0\] = 0/,
  );
  refused({ cuSeqlensQ: starts, cuSeqlensK: [0, 4, 11] }, /cuSeqlensK ends at row 11 but k has 10/);
  refused(
    { cuSeqlensQ: starts, cuSeqlensK: [0, 10] },
    /cuSeqlensK has 2 entries.*cuSeqlensQ has 3/,
  );
  refused({ cuSeqlensQ: [], cuSeqlensK: starts }, /cuSeqlensQ has no entries/);
  refused({ cuSeqlensQ: [0, 1.5], cuSeqlensK: [0, 1] }, /cuSeqlensQ\[1\] is 1.5.*integer/);
  refused({ cuSeqlensQ: 10, cuSeqlensK: starts }, /TypeError.*cuSeqlensQ is 10.*Int32Array/);
  refused({ cuSeqlensQ: starts }, /k has rank 3.*cuSeqlensK/);
  refused(
    { cuSeqlensQ: starts, cuSeqlensK: starts },
    /q has rank 4.*cuSeqlensQ.*\[rows, heads, dim\]/,
    y,
  );
  refused({ cuSeqlensQ: starts }, /k has batch 1 but 2 was wanted/, x, y);
  refused(
    { cuSeqlensQ: starts, cuSeqlensK: starts, keyLengths: [5, 6] },
    /keyLengths\[0\] is 5.*from 0 to.*= 4/,
  );
  const bias = plainTensor(2, [10, 10]), mask = { data: new Uint8Array(100), shape: [10, 10] };
  const all = { cuSeqlensQ: starts, cuSeqlensK: starts };
  refused({ ...all, bias }, /UnsupportedError.*bias of packed sequences.*scoreMod/);
  refused({ ...all, mask }, /UnsupportedError.*mask of packed sequences.*maskMod/);
  refused({ ...all, alibiSlopes: plainTensor(3, [3, 2]) }, /alibiSlopes has shape \[3, 2\]/);
  assert.equal(call(all)().out.shape.length, 3);
});
