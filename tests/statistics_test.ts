/** Statistics of rows: laws that need no oracle, what asking for them leaves alone, and rows that are repaired. */

import assert from "node:assert/strict";
import {
  attention,
  attentionBackward,
  createEngine,
  mergeAttention,
  type StatisticName,
} from "../mod.ts";
import { engineConfigurations, openGpu, type Session, syncConfiguration } from "./backends.ts";
import { type Case, defineCase } from "./case.ts";
import { fewRows } from "./selection.ts";
import { type Inputs, makeInputs, plainTensor } from "./inputs.ts";
import { expectForward, problemOf } from "./oracle.ts";
import { attentionF64 } from "./reference/attention_f64.ts";
import { STATISTICS, type TestTensor } from "./reference/problem.ts";
import { assertSameBits } from "./same_bits.ts";
import { type GpuPart, testSessions } from "./sessions.ts";
import { allowedError } from "./tolerance.ts";

const configurations = [...engineConfigurations, syncConfiguration];

/** Registers a test of every configuration. */
function onEngines(
  name: string,
  check: (session: Session) => Promise<void>,
  gpu: GpuPart = "core",
): void {
  testSessions(name, configurations, check, gpu);
}

const grouped: Partial<Case> = { batch: 2, queryHeads: 4, kvHeads: 2, lengthQ: 40, headDim: 12 };
/** Several tiles; KV splits on a GPU; decode, whole and in KV splits. */
const shapes: readonly Case[] = [
  { ...grouped, lengthK: 70 },
  { ...grouped, batch: 1, lengthK: 1100 },
  { ...fewRows, lengthK: 33 },
  { ...fewRows, lengthK: 2100 },
].map((fields) => defineCase({ ...fields, stats: true }));

/** On a GPU the core has those that are not decode shapes: their kernel is the longest of all. */
const shapesOf = (session: Session) => shapes.filter((c) => session.takes(c));

const near = (got: number, want: number, scale: number, about: string) =>
  assert.ok(Math.abs(got - want) <= 1e-6 * scale, `${about}: got ${got}, want ${want}`);

function zeros({ data, shape }: TestTensor): TestTensor {
  return { data: new Float32Array(data.length), shape };
}

onEngines(
  "equal scores: the entropy is ln n, every p is 1/n, the keys' mean is expected",
  async (session) => {
    for (const c of shapesOf(session)) {
      for (const options of [{}, { causal: true }, { window: { left: 4 } }] as const) {
        const made = makeInputs(c), q = zeros(made.q);
        const results = await session.forward({
          ...made,
          q,
          options: { ...made.options, ...options },
        });
        for (let row = 0; row < c.batch * c.queryHeads * c.lengthQ; row++) {
          const diagonal = row % c.lengthQ + c.lengthK - c.lengthQ,
            whole = !Object.keys(options).length;
          const last = whole ? c.lengthK - 1 : diagonal;
          const [low, high] = "window" in options
            ? [Math.max(0, diagonal - 4), c.lengthK - 1]
            : [0, last];
          const n = high - low + 1, about = `${n} keys of ${c.lengthK}, ${JSON.stringify(options)}`;
          near(results.entropy!.data[row]!, Math.log(n), 8, `entropy of ${about}`);
          near(results.maxProbability!.data[row]!, 1 / n, 1 / n, `p of ${about}`);
          near(results.expectedKey!.data[row]!, (low + high) / 2, high + 1, `key of ${about}`);
        }
      }
    }
  },
  "by case",
);

onEngines("one visible key: no entropy, probability 1, that key", async (session) => {
  for (const c of shapesOf(session)) {
    const made = makeInputs(c), options = { ...made.options, window: { left: 0, right: 0 } };
    const { entropy, maxProbability, expectedKey } = await session.forward({ ...made, options });
    for (let row = 0; row < c.batch * c.queryHeads * c.lengthQ; row++) {
      const key = row % c.lengthQ + c.lengthK - c.lengthQ;
      near(entropy!.data[row]!, 0, 1, `entropy of row ${row}`);
      near(maxProbability!.data[row]!, 1, 1, `p of row ${row}`);
      near(expectedKey!.data[row]!, key, key + 1, `key of row ${row}`);
    }
  }
}, "by case");

onEngines("rows without keys have 0, with a sink too", async (session) => {
  for (const sink of [undefined, true]) {
    for (const c of shapes.slice(0, 3)) {
      const inputs = makeInputs({ ...c, sink, causal: { offset: -c.lengthQ + 1 } });
      if (!session.takes({ ...c, sink })) continue;
      const results = await session.forward(inputs);
      for (let row = 0; row < c.batch * c.queryHeads * c.lengthQ; row++) {
        const empty = row % c.lengthQ < c.lengthQ - 1;
        for (const name of STATISTICS) {
          const value = results[name]!.data[row]!;
          if (empty) assert.equal(value, 0, `${name} of row ${row}`);
        }
        if (!empty) assert.ok(results.maxProbability!.data[row]! > 0, `row ${row} has a key`);
      }
    }
  }
}, "by case");

onEngines("asking leaves out, lse and gradients as they are, bit for bit", async (session) => {
  for (const c of shapesOf(session)) {
    for (const options of [{}, { causal: true }] as const) {
      const asking = makeInputs({ ...c, ...options }), { stats: _, ...rest } = asking.options;
      const plain: Inputs = { ...asking, options: rest };
      const want = await session.forward(plain), got = await session.forward(asking);
      assertSameBits({ out: got.out, lse: got.lse }, want, "forward");
      assert.deepEqual(Object.keys(want), ["out", "lse"]);
      // a backward call is given the options of the forward call
      const back = await session.backward(asking, got);
      assertSameBits(back, await session.backward(plain, want), "backward");
    }
  }
}, "by case");

onEngines("what is asked for comes, and is the same alone", async (session) => {
  const inputs = makeInputs(shapes[0]!), all = await session.forward(inputs);
  for (const names of [["expectedKey"], ["maxProbability", "entropy"], []] as StatisticName[][]) {
    const got = await session.forward({ ...inputs, options: { ...inputs.options, stats: names } });
    assert.deepEqual(new Set(Object.keys(got)), new Set(["out", "lse", ...names]));
    for (const name of names) assert.deepEqual(got[name], all[name]);
  }
});

onEngines("dropout comes after", async (session) => {
  const c = shapes[0]!, inputs = makeInputs(c), dropped = makeInputs({ ...c, dropout: 0.5 });
  if (!session.takes({ ...c, dropout: 0.5 })) return;
  const options = { ...inputs.options, dropout: dropped.options.dropout! };
  const want = await session.forward(inputs), got = await session.forward({ ...inputs, options });
  for (const name of STATISTICS) assert.deepEqual(got[name], want[name]);
}, "by case");

/** Fails unless every statistic is what the oracle has; NaN where that has it. */
async function checkRepaired(session: Session, inputs: Inputs, about: string): Promise<number> {
  const got = await session.forward(inputs), expected = expectForward(inputs);
  let strange = 0;
  for (const name of STATISTICS) {
    const want = expected[name]!;
    want.values.forEach((value, row) => {
      const found = got[name]!.data[row]!;
      if (Number.isNaN(value)) strange++;
      const same = Number.isNaN(value)
        ? Number.isNaN(found)
        : Math.abs(found - value) <= Math.max(1e-5, allowedError(want, value));
      assert.ok(same, `${about}: ${name} of row ${row} is ${found}, wanted ${value}`);
    });
  }
  return strange;
}

onEngines("rows that are repaired: NaN, infinity, hidden poison", async (session) => {
  for (const c of [shapes[0]!, shapes[2]!].filter((c) => session.takes(c))) {
    const put = (name: "q" | "k" | "v", at: number, x: number): Inputs => {
      const inputs = makeInputs({ ...c, causal: true }),
        data = Float32Array.from(inputs[name].data);
      data[at] = x;
      return { ...inputs, [name]: { ...inputs[name], data } };
    };
    const last = c.kvHeads * c.headDim * c.lengthK - 1;
    assert.ok(await checkRepaired(session, put("q", 3, NaN), "NaN in q") > 0);
    assert.ok(await checkRepaired(session, put("k", 5, NaN), "NaN in k") > 0);
    // seen by the last row alone; the others are computed again without it
    assert.ok(await checkRepaired(session, put("k", last, NaN), "NaN in the last key") > 0);
    await checkRepaired(session, put("v", last, Infinity), "infinity in the last value");
    // one score of a row is infinite, or one is minus infinity
    const { scores } = attentionF64(problemOf(put("k", 5, Infinity)));
    assert.ok(scores.includes(Infinity));
    await checkRepaired(session, put("k", 5, Infinity), "infinity in k");
  }
}, "by case");

onEngines(
  "an lse of a large size: gradients of the entropy are those of a small one",
  async (session) => {
    // a bias that is the same for all keys moves lse and changes no probability
    const c = defineCase({
      ...grouped,
      batch: 1,
      lengthK: 70,
      bias: "qk",
      stats: true,
      dEntropy: true,
    });
    if (!session.takes(c)) return;
    const inputs = makeInputs(c),
      flat = (level: number): Inputs => {
        const bias = {
          data: new Float32Array(c.lengthQ * c.lengthK).fill(level),
          shape: [c.lengthQ, c.lengthK],
        };
        return { ...inputs, options: { ...inputs.options, bias } };
      };
    const run = async (level: number) => {
      const saved = await session.forward(flat(level));
      return await session.backward(flat(level), saved);
    };
    const want = await run(0);
    for (const level of [2 ** 14, -(2 ** 16)]) {
      const got = await run(level);
      for (const name of ["dq", "dk", "dv"] as const) {
        got[name].data.forEach((x, n) => {
          const off = Math.abs(x - want[name].data[n]!); // scores have lost the bits that the bias took
          assert.ok(
            off < Math.abs(level) * 1e-6,
            `${name}[${n}] of ${level}: ${x}, ${want[name].data[n]}`,
          );
        });
      }
    }
  },
  "by case",
);

Deno.test("statistics are resident where q is, and belong to its engine", async () => {
  for (const engine of [await createEngine({ backend: "wasm", threads: 1 }), await openGpu()]) {
    if ("absent" in engine) continue;
    using _ = engine;
    const c = defineCase({ ...grouped, batch: 1, lengthK: 70 });
    const [q, k, v, dOut] = (["q", "k", "v", "dOut"] as const).map((name) => makeInputs(c)[name]);
    const place = ({ data, shape }: TestTensor) => engine.tensor(data, shape);
    const [rq, rk, rv] = [place(q!), place(k!), place(v!)];
    const resident = await attention(rq, rk, rv, { stats: STATISTICS });
    const host = await engine.attention(q!, k!, v!, { stats: STATISTICS });
    const lse = resident.stats!.entropy!;
    assert.deepEqual(await lse.read(), host.stats!.entropy!.data);
    const dEntropy = plainTensor(1, lse.shape);
    const saved = { q: rq, k: rk, v: rv, ...resident };
    const got = await engine.attentionBackward(place(dOut!), saved, { dEntropy: place(dEntropy) });
    const want = await engine.attentionBackward(dOut!, { q: q!, k: k!, v: v!, ...host }, {
      dEntropy,
    });
    assert.deepEqual(await got.dq.read(), want.dq.data);
    assert.deepEqual(await got.dk.read(), want.dk.data);
    // no other tensor of the call says where it runs
    const { dq } = await attentionBackward(
      dOut!,
      { q: q!, k: k!, v: v!, ...host, stats: resident.stats! },
      { dEntropy },
    );
    assert.deepEqual(dq.data, want.dq.data);
  }
});

Deno.test("a merge takes parts with statistics and has none", async () => {
  const { q, k, v } = makeInputs(shapes[0]!);
  const part = await attention(q, k, v, { stats: ["entropy"] });
  assert.deepEqual(Object.keys(mergeAttention([part, part])).sort(), ["lse", "out"]);
});
