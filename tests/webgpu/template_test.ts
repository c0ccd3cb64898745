/** Calls of a form that is known run with the plan of the first: the bits are those of a call that is planned anew. */

import assert from "node:assert/strict";
import {
  type AnyTensor,
  type AttentionOptions,
  type Engine,
  type HostTensor,
  scoreMod,
} from "../../mod.ts";
import { describeForward } from "../../src/problem/problem.ts";
import { formOf } from "../../src/webgpu/dispatch/template.ts";
import { plainTensor } from "../inputs.ts";
import { decode, encode } from "../half.ts";
import type { TestTensor } from "../reference/problem.ts";
import { mapTuple } from "../tuples.ts";
import { gpuEngine, gpuTest } from "./support.ts";
import { homes, place, sameBits } from "./tensors.ts";

type Inputs = readonly [q: TestTensor, k: TestTensor, v: TestTensor, dOut: TestTensor];

/** Inputs of two sequences, four heads over two; `seed` tells them apart. */
function inputs(seed: number, lengthK = 70): Inputs {
  const one = (n: number, length: number, heads: number) =>
    plainTensor(10 * seed + n, [2, length, heads, 32]);
  return [one(1, 40, 4), one(2, lengthK, 2), one(3, lengthK, 2), one(4, 40, 4)];
}

/** The same numbers in 16 bits. */
const halved = ({ data, shape }: TestTensor): TestTensor => (
  { data: encode(decode(data, "f32"), "f16"), shape, dtype: "f16" }
);

/** Both passes, on inputs in GPU memory or in that of the host. */
async function both(engine: Engine, given: Inputs, options: AttentionOptions, resident: boolean) {
  using places = new DisposableStack();
  const known = new Map<TestTensor, AnyTensor>(); // one tensor may be two operands
  const put = (x: TestTensor): AnyTensor => {
    const there = known.get(x) ?? (resident ? places.use(place(engine, x)) : x as HostTensor);
    known.set(x, there);
    return there;
  };
  const [q, k, v, dOut] = mapTuple(given, put);
  const forward = await engine.attention(q, k, v, options);
  const back = await engine.attentionBackward(dOut, { q, k, v, ...forward }, options);
  const { stats, ...rows } = forward, results = { ...rows, ...stats, ...back };
  const got = await homes(results);
  for (const x of Object.values(results) as AnyTensor[]) if ("dispose" in x) x.dispose();
  return got;
}

const variants: Readonly<Record<string, AttentionOptions>> = {
  "no option": {},
  causal: { causal: true },
  "a window, a softcap, a scale": { window: { left: 20, right: 4 }, softcap: 3, softmaxScale: 0.3 },
  "key lengths": { keyLengths: [50, 33] },
  dropout: { dropout: { probability: 0.3, seed: 5 } },
  statistics: { stats: ["entropy", "maxProbability"] },
};

for (const [name, options] of Object.entries(variants)) {
  gpuTest(`a second call of a form has the bits of a first: ${name}`, async () => {
    using engine = await gpuEngine();
    const { used } = engine.memory,
      twice = inputs(3),
      shared = [twice[0], twice[1], twice[1], twice[3]];
    const calls = [
      inputs(1),
      inputs(2),
      shared as unknown as Inputs,
      inputs(4),
      inputs(5, 50),
      twice,
    ];
    for (const [n, one] of calls.entries()) {
      const got = await both(engine, one, options, true);
      const want = await both(engine, one, options, false);
      for (const [of, tensor] of Object.entries(got)) {
        sameBits(tensor, want[of]!, `${of}, call ${n}`);
      }
      assert.equal(engine.memory.used, used, "what a call took it gives back");
    }
  }, { part: options.softcap || options.dropout ? "rest" : "core" });
}

gpuTest(
  "a second call of a form has the bits of a first: 16 bits, whose results are narrowed",
  async () => {
    using engine = await gpuEngine();
    for (const seed of [1, 2, 3]) {
      const given = mapTuple(inputs(seed), halved);
      const got = await both(engine, given, {}, true), want = await both(engine, given, {}, false);
      for (const [of, tensor] of Object.entries(got)) sameBits(tensor, want[of]!, `${of}, ${seed}`);
    }
  },
);

gpuTest(
  "a call of a known form joins a caller's pass, and calls of its own know those forms",
  async () => {
    using engine = await gpuEngine();
    const device = engine.device as unknown as GPUDevice, { used } = engine.memory;
    for (const seed of [1, 2, 3]) {
      const given = inputs(seed), [q, k, v, dOut] = given;
      const want = await both(engine, given, { causal: true }, false);
      if (seed === 3) await both(engine, inputs(4), { causal: true }, true);
      using places = new DisposableStack();
      const [rq, rk, rv, rd] = mapTuple([q, k, v, dOut], (x) => places.use(place(engine, x)));
      const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass();
      const forward = engine.encode(pass as never, rq, rk, rv, { causal: true });
      const saved = { q: rq, k: rk, v: rv, ...forward };
      const back = engine.encodeBackward(pass as never, rd, saved, { causal: true });
      pass.end();
      device.queue.submit([encoder.finish()]);
      const got = await homes({ ...forward, ...back });
      for (const [of, tensor] of Object.entries(got)) sameBits(tensor, want[of]!, `${of}, ${seed}`);
      for (const x of [...Object.values(forward), ...Object.values(back)]) x.dispose();
    }
    assert.equal(engine.memory.used, used);
  },
);

gpuTest(
  "caches: the form knows which pages they have, of how many, and how many keys",
  async () => {
    using engine = await gpuEngine();
    const sizes = { sequences: 2, kvHeads: 2, headDim: 32, pageSize: 8, pages: 16 };
    const row = (seed: number, n: number) => plainTensor(seed, [1, n, 2, 32]) as HostTensor;
    const fill = (order: readonly number[], pages: number) => {
      const cache = engine.kvCache({ ...sizes, pages });
      for (const sequence of order) {
        cache.append(row(sequence + 1, 8), row(sequence + 2, 8), { sequences: [sequence] });
      }
      return cache;
    };
    // the same lengths in pages of other numbers, and some that are longer
    const orders = [[0, 0, 1, 1], [1, 0, 1, 0], [1, 1, 0, 0], [0, 0, 1, 1, 1], [0, 1, 0, 1]];
    const q = plainTensor(9, [2, 1, 4, 32]) as HostTensor;
    using rq = engine.tensor(q.data, q.shape);
    const all = orders.map((order) => [order, sizes.pages] as const);
    // the same pages of a larger cache, and of a smaller one
    for (const [order, pages] of [...all, [orders[0]!, 64] as const, [orders[0]!, 4] as const]) {
      using cache = fill(order, pages);
      for (let repeat = 0; repeat < 2; repeat++) {
        const got = await engine.attention(rq, cache.keys, cache.values, { causal: true });
        const want = await engine.attention(q, cache.keys, cache.values, { causal: true });
        const home = await homes(got);
        for (const name of ["out", "lse"] as const) {
          sameBits(home[name], want[name] as TestTensor, `${name}, order ${order} of ${pages}`);
          got[name].dispose();
        }
      }
    }
  },
);

gpuTest("a form is what a call is but for its values; some calls have none", async () => {
  using engine = await gpuEngine();
  using places = new DisposableStack();
  const put = (given: Inputs) => mapTuple(given, (x) => places.use(place(engine, x)));
  const [q, k, v] = put(inputs(1)),
    [q2, k2, v2] = put(inputs(2)),
    [, longK, longV] = put(inputs(3, 71));
  const form = (a: AnyTensor, b: AnyTensor, c: AnyTensor, options: AttentionOptions = {}) => {
    const { problem, views } = describeForward(a, b, c, options);
    return formOf(problem, views);
  };
  const plain = form(q, k, v);
  assert.ok(plain);
  assert.equal(form(q2, k2, v2), plain);
  assert.equal(form(q2, k, v2), plain);
  const others = [
    form(q, k, k),
    form(q, longK, longV),
    form(q, k, v, { causal: true }),
    form(q, k, v, { softmaxScale: 0.5 }),
    form(q, k, v, { softcap: 2 }),
    form(q, k, v, { window: { left: 8, right: 0 } }),
    form(q, k, v, { window: { right: 0 } }),
    form(q, k, v, { window: { left: 0 } }),
    form(q, k, v, { keyLengths: [60, 70] }),
    form(q, k, v, { dropout: { probability: 0.1, seed: 1 } }),
    form(q, k, v, { dropout: { probability: 0.1, seed: 2 } }),
    form(q, k, v, { stats: ["entropy", "maxProbability"] }),
  ];
  assert.equal(new Set([plain, ...others]).size, others.length + 1, "every form is one of its own");
  const [host] = inputs(1), mask = { data: new Uint8Array(2800).fill(1), shape: [40, 70] };
  assert.equal(form(host as HostTensor, k, v), undefined);
  assert.equal(form(q, k, v, { mask }), undefined);
  assert.equal(form(q, k, v, { scoreMod: scoreMod(({ score }) => score.mul(2)) }), undefined);
});
