/** ALiBi, sinks, dropout and rotary positions on the CPU: that the grid reaches every way of computing them, and what it cannot ask for. */

import assert from "node:assert/strict";
import { createEngine, type HostTensor } from "../../mod.ts";
import { planAttention } from "../../src/plan/wasm/plan.ts";
import { describeBackward, describeForward } from "../../src/problem/problem.ts";
import { hostResult, resultSpecs } from "../../src/problem/results.ts";
import { defineCase } from "../case.ts";
import { featureSections } from "../grid_features.ts";
import { type Inputs, makeInputs } from "../inputs.ts";

const target = {
  backend: "wasm",
  threads: 2,
  relaxedSimd: true,
  vectorBits: 128,
  dots: "three instructions",
  shared: true,
} as const;

/** How the two passes of a case run on two threads, in words. */
function waysOf({ q, k, v, dOut, options }: Inputs): string[] {
  const forward = describeForward(q, k, v, options);
  const results = resultSpecs(forward.problem, forward.views).map(hostResult);
  const [out, lse] = results as [HostTensor, HostTensor];
  const backward = describeBackward(dOut, { q, k, v, out, lse }, options);
  return [forward, backward].map(({ problem }) => {
    const { kernel, splits, regions } = planAttention(problem, target);
    const rows = regions.some(({ rowBegin }) => rowBegin > 0);
    return `${kernel}${splits > 1 ? " in splits" : ""}${rows ? ", regions of rows" : ""}`;
  });
}

Deno.test("the grid has ALiBi, sinks, dropout and rotary positions in every kernel, in KV splits and in regions of rows", () => {
  for (const option of ["alibiSlopes", "sink", "dropout", "rotary"] as const) {
    const cases = featureSections.flatMap(({ cases }) => cases).filter((c) => c[option]);
    const ways = new Set(cases.flatMap((c) => waysOf(makeInputs(c))));
    const wanted = ["forward", "decode", "decode in splits", "backward", "backward in splits"];
    const missing = [...wanted, "backward in splits, regions of rows"].filter((w) => !ways.has(w));
    assert.deepEqual(missing, [], option);
  }
});

const grouped = { batch: 2, queryHeads: 4, kvHeads: 2, lengthK: 97, headDim: 19, valueDim: 13 };

Deno.test("a row without keys has lse = sink, bit for bit", async () => {
  for (const threads of [1, 2]) {
    using engine = await createEngine({ backend: "wasm", threads });
    for (const lengthQ of [1, 20]) {
      const c = defineCase({ ...grouped, lengthQ, sink: true, causal: { offset: -1000 } });
      const { q, k, v, options } = makeInputs(c), sink = options.sink!.data;
      const { lse } = await engine.attention(q, k, v, options);
      (lse.data as Float32Array).forEach((x, n) =>
        assert.equal(x, sink[Math.floor(n / lengthQ) % c.queryHeads])
      );
    }
  }
});

Deno.test("slopes and sinks may be strided or resident, and gradients live beside them", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 2 });
  const c = defineCase({ ...grouped, lengthQ: 45, alibiSlopes: "bh", sink: true, causal: true });
  const { q, k, v, dOut, options } = makeInputs(c), { alibiSlopes, sink } = options;
  const run = async (changed: object) => {
    const all = { ...options, ...changed }, forward = await engine.attention(q, k, v, all);
    return await engine.attentionBackward(dOut, { q, k, v, ...forward }, all);
  };
  const want = await run({}), slopes = alibiSlopes!.data as Float32Array;
  const wide = new Float32Array(2 * 7).fill(NaN);
  for (let b = 0; b < 2; b++) wide.set(slopes.subarray(b * 4, b * 4 + 4), b * 7);
  const strided = { data: wide, shape: [2, 4], strides: [7, 1] };
  assert.deepEqual(await run({ alibiSlopes: strided }), want);
  using residentSlopes = engine.tensor(slopes, [2, 4]);
  using logits = engine.tensor(sink!.data as Float32Array, [4]);
  const { dAlibiSlopes, dSink, dq } = await run({ alibiSlopes: residentSlopes, sink: logits });
  assert.deepEqual(dq, want.dq);
  for (const [found, host] of [[dAlibiSlopes, want.dAlibiSlopes], [dSink, want.dSink]]) {
    assert.ok(found && "read" in found, "a resident gradient");
    assert.deepEqual(await found.read(), (host as HostTensor).data);
    found.dispose();
  }
});
