/** Rotary positions on the GPU where operands are cut up or recorded: each row turns once, and its gradient back once. */

import assert from "node:assert/strict";
import {
  attentionBackwardSync,
  type AttentionOptions,
  attentionSync,
  type HostTensor,
} from "../../mod.ts";
import { planWebGpu } from "../../src/plan/webgpu/plan.ts";
import { describeBackward } from "../../src/problem/problem.ts";
import { type Call, call, near, type Problem, values } from "./definitions.ts";
import { deviceOf, forcedEngine, gpuEngine, gpuTest } from "./support.ts";
import { gpuTarget } from "./targets.ts";
import { homes, place } from "./tensors.ts";
import { mapTuple } from "../tuples.ts";

const storageBinding = 12288;

/** Sizes whose regions cut each axis, at that size of a binding. */
const cut: Readonly<Record<string, Partial<Problem>>> = {
  "keys and rows": { batch: 1, lengthQ: 130, lengthK: 140, options: { causal: true } },
  "sequences": { batch: 5, heads: 2, kvHeads: 1, lengthQ: 40, lengthK: 45 },
  "heads of a group": { batch: 1, heads: 6, kvHeads: 1, lengthQ: 41, lengthK: 50 },
  "few queries": { batch: 1, lengthQ: 2, lengthK: 700, dim: 20 },
  "sequences of their own lengths": {
    ...{ batch: 3, heads: 2, kvHeads: 2, lengthQ: 50, lengthK: 60 },
    options: { keyLengths: Int32Array.of(60, 0, 33) },
  },
};

/** Both passes on the CPU. */
function wanted(c: Call, options: AttentionOptions) {
  const [x, y, z, g] = mapTuple([c.q, c.k, c.v, c.dOut], (tensor) => tensor as HostTensor);
  const result = attentionSync(x, y, z, options);
  return { ...result, ...attentionBackwardSync(g, { q: x, k: y, v: z, ...result }, options) };
}

gpuTest("regions of every axis turn each row once", async (t) => {
  const { engine, watch } = await forcedEngine({ defaultLimits: true, limits: { storageBinding } });
  for (const [name, sizes] of Object.entries(cut)) {
    await t.step(name, async () => {
      const c = call(sizes), positions = Int32Array.from({ length: c.lengthK }, (_, n) => 3 * n);
      for (const rotary of [{}, { dims: 8, positionsK: positions }, { keys: false }]) {
        const options = { ...c.options, rotary }, want = wanted(c, options);
        const result = await engine.attention(c.q, c.k, c.v, options);
        const saved = { q: c.q, k: c.k, v: c.v, ...result };
        const gradients = await engine.attentionBackward(c.dOut, saved, options);
        const got = await homes({ ...result, ...gradients });
        for (const name of ["out", "lse", "dq", "dk", "dv"] as const) {
          near(got[name], values(want[name]! as never), 1e-5, `${name} ${Object.keys(rotary)}`);
        }
      }
    });
  }
  assert.ok(watch.largestBinding <= storageBinding, `${watch.largestBinding} bytes were bound`);
  assert.equal(engine.memory.used, 0);
  engine.dispose();
});

gpuTest("a caller's pass has the bits of a call of its own", async () => {
  using engine = await gpuEngine();
  const c = call({ options: { causal: true } }), rotary = { interleaved: true, dims: 12 };
  const options = { ...c.options, rotary }, device = deviceOf(engine);
  const [q, k, v, dOut] = mapTuple([c.q, c.k, c.v, c.dOut], (tensor) => place(engine, tensor));
  const want = await engine.attention(q, k, v, options);
  const wantBack = await engine.attentionBackward(dOut, { q, k, v, ...want }, options);
  const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass();
  const got = engine.encode(pass, q, k, v, options);
  const back = engine.encodeBackward(pass, dOut, { q, k, v, ...got }, options);
  pass.end();
  device.queue.submit([encoder.finish()]);
  assert.deepEqual(await homes({ ...got, ...back }), await homes({ ...want, ...wantBack }));
});

Deno.test("a plan turns every part of q and k before it is read, and of dq and dk at the end", () => {
  const target = gpuTarget({ storageBinding: 4096 });
  const c = call({ batch: 2, heads: 6, kvHeads: 2, lengthQ: 90, lengthK: 70 });
  const [q, k, v, out] = mapTuple([c.q, c.k, c.v, c.dOut], (tensor) => tensor as HostTensor);
  const lse = { data: new Float32Array(2 * 6 * 90), shape: [2, 6, 90] };
  const saved = { q, k, v, out, lse }, options = { ...c.options, rotary: {} };
  const { problem } = describeBackward(out, saved, options);
  const { regions } = planWebGpu(problem, target), turned = new Set<string>();
  const partOf = (of: string, r: typeof regions[number]) =>
    of.endsWith("k")
      ? [of, r.batchBegin, r.kvHeadBegin, r.keyBegin].join()
      : [of, r.batchBegin, r.kvHeadBegin, r.groupBegin, r.rowBegin].join();
  for (const region of regions) {
    for (const { kernel, of } of region.steps) {
      if (kernel === "rotate") {
        const part = partOf(of!, region);
        assert.ok(!turned.has(part), `${part} turns twice`);
        turned.add(part);
      }
      if (kernel === "dq" || kernel === "dk" || kernel === "dkv" || kernel === "add") {
        for (const input of ["q", "k"]) assert.ok(turned.has(partOf(input, region)), "not turned");
        for (const back of of ? [of] : kernel === "dq" ? ["dq"] : ["dk"]) {
          assert.ok(!turned.has(partOf(back, region)), `${back} has turned back too early`);
        }
      }
    }
  }
  for (const region of regions) {
    for (const back of ["dq", "dk"]) assert.ok(turned.has(partOf(back, region)), `${back} stays`);
  }
  assert.ok(regions.some(({ groupBegin }) => groupBegin > 0) && regions.length > 20);
});
