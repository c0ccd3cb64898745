/** GPU or CPU: what explain() says, what really runs, and the estimates that decide. */

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type AttentionOptions,
  createEngine,
  type Engine,
  type Explanation,
  type HostTensor,
  type WebGpuTarget,
} from "../../mod.ts";
import { wasmMs, webGpuMs } from "../../src/plan/estimate.ts";
import { planWebGpu } from "../../src/plan/webgpu/plan.ts";
import { describeBackward } from "../../src/problem/problem.ts";
import { detect, openDevice, type OpenOptions } from "../../src/webgpu/device/device.ts";
import { measureFlops } from "../../src/webgpu/device/rate.ts";
import { explainGpu } from "../../src/webgpu/explain.ts";
import { parseProblem } from "../../tools/show/show.ts";
import { plainTensor } from "../inputs.ts";
import { callersDevice, forcedEngine, gpuEngine, gpuTest, watchDevice } from "./support.ts";
import { gpuTarget } from "./targets.ts";
import { mapTuple } from "../tuples.ts";

function zeros(...shape: number[]): HostTensor {
  return { data: new Float32Array(shape.reduce((a, b) => a * b, 1)), shape };
}

function explain(engine: Engine, q: number[], k: number[], options: AttentionOptions = {}) {
  return engine.explain(zeros(...q), zeros(...k), zeros(...k), options);
}

// --- explain() on a GPU ----------------------------------------------------------------------------------

gpuTest("an explanation on the GPU survives JSON and holds every fact of the plan", async () => {
  using engine = await gpuEngine();
  const before = engine.memory, shape = [2, 500, 8, 64];
  const facts = explain(engine, shape, [2, 500, 2, 64], { causal: true });
  assert.deepEqual(JSON.parse(JSON.stringify(facts)), facts);
  const { adapter, limits } = engine.target as WebGpuTarget;
  assert.deepEqual([facts.backend, facts.adapter, facts.kernel], ["webgpu", adapter, "forward"]);
  assert.equal(facts.reason, engine.reason);
  assert.equal(facts.matrixBytes, 2 * 8 * 500 * 500 * 4);
  assert.equal(facts.cost.visiblePairs, 2 * 8 * 500 * 501 / 2);
  assert.ok(facts.tile.rows >= 8 && facts.tile.keys >= 8);
  assert.ok(facts.threads >= 32 && facts.threads <= limits.workgroupThreads);
  assert.ok(facts.scratchBytes > 0 && facts.scratchBytes <= limits.workgroupBytes);
  assert.equal(facts.regions, 1);
  // one item for each tile of (query, head of the group) rows of a kv head, for both of a batch
  assert.equal(facts.items, 2 * Math.ceil(500 * 4 / facts.tile.rows));
  const { wasm, webgpu } = facts.estimates!;
  assert.ok(wasm > 0 && webgpu! > 0 && Number.isFinite(wasm + webgpu!));
  assert.deepEqual(engine.memory, before, "nothing is made");
});

gpuTest("steps and parts are those of the kernel", async () => {
  using engine = await gpuEngine();
  const kernels = ({ steps }: Explanation) => steps.map(({ kernel }) => kernel);
  const forward = explain(engine, [8, 300, 8, 32], [8, 300, 8, 32]);
  assert.deepEqual([forward.kernel, forward.splits], ["forward", 1]);
  assert.deepEqual(kernels(forward), ["forward", "repair out"]);
  const decode = explain(engine, [1, 1, 8, 64], [1, 20000, 1, 64]);
  assert.equal(decode.kernel, "decode");
  assert.ok(decode.splits > 1);
  assert.deepEqual(kernels(decode), ["decode", "combine", "repair out"]);
  assert.equal(decode.items, decode.splits);
  assert.ok(decode.memoryBytes >= decode.splits * 8 * 65 * 4, "partial results");
  const few = explain(engine, [1, 20, 1, 32], [1, 5000, 1, 32]);
  assert.deepEqual(kernels(few), ["forward", "combine", "repair out"]);
  const none = explain(engine, [1, 0, 2, 32], [1, 5, 2, 32]);
  assert.deepEqual([none.items, none.regions, none.cost.visiblePairs], [0, 0, 0]);
  const x = zeros(1, 9, 3, 8);
  assert.throws(() => engine.explain(x, zeros(1, 5, 2, 8), zeros(1, 5, 2, 8)), /multiple/);
});

gpuTest("explain lists every dispatch, in order", async () => {
  using engine = await gpuEngine();
  const x = { data: new Uint16Array(9 * 2 * 8), shape: [1, 9, 2, 8], dtype: "f16" } as const;
  const heads = engine.tensor(new Float32Array(2), [2]), bias = zeros(9, 9);
  const options = { alibiSlopes: heads, sink: heads, bias };
  const { problem } = describeBackward(
    x,
    { q: x, k: x, v: x, out: x, lse: zeros(1, 2, 9) },
    options,
  );
  const plan = planWebGpu(problem, engine.target as WebGpuTarget);
  const about = { reason: "a test", peakBytes: 0, budget: 0 };
  const told = explainGpu(plan, problem, engine.target as WebGpuTarget, about);
  assert.deepEqual(told.steps.map(({ kernel }) => kernel), [
    ...["copy alibiSlopes", "copy sink", "delta", "row state", "dq", "repair dq"],
    ...(plan.dkv!.fused ? ["dkv"] : ["dk", "dv"]),
    ...["repair dk", "repair dv", "pair sum dBias", "pair sum dAlibiSlopes"],
    ...["row sum dAlibiSlopes", "row sum dSink", "narrow dq", "narrow dk", "narrow dv"],
  ]);
});

gpuTest("explain tells the regions that small bindings make", async () => {
  const { engine } = await forcedEngine({ limits: { storageBinding: 2 ** 16 } });
  const { regions, steps } = explain(engine, [4, 200, 4, 32], [4, 200, 4, 32]);
  assert.ok(regions > 1, `${regions} regions`);
  assert.equal(steps[0]!.kernel, "forward");
  engine.dispose();
});

// --- what runs where ---------------------------------------------------------------------------------------

gpuTest("auto on a caller's device: small host problems run in WASM and say why", async () => {
  const device = await callersDevice(), watch = watchDevice(device);
  using engine = await gpuEngine({ backend: "webgpu", device });
  using auto = await createEngine({ backend: "auto", device });
  assert.equal(auto.backend, "webgpu");
  const x = plainTensor(1, [1, 30, 2, 32]), groups = () => watch.groups;
  const facts = auto.explain(x, x, x);
  assert.equal(facts.backend, "wasm");
  const { wasm, webgpu } = facts.estimates!;
  assert.ok(wasm < webgpu!);
  assert.ok(facts.reason.includes(`about ${webgpu!.toFixed(1)} ms on the GPU`), facts.reason);
  assert.ok(facts.reason.includes(`${wasm.toFixed(1)} ms in WASM`), facts.reason);
  const before = groups(), host = await auto.attention(x, x, x);
  assert.equal(groups(), before, "the device was not asked");
  assert.deepEqual(host, auto.attentionSync(x, x, x), "the bits of WASM");

  // the same problem where its tensors live in GPU memory, all or some
  using resident = auto.tensor(x.data, x.shape);
  const there = auto.explain(resident, x, x);
  assert.equal(there.backend, "webgpu");
  assert.match(there.reason, /^WebGPU on .*its tensors live there$/);
  const { out, lse } = await auto.attention(resident, x, x);
  assert.ok(groups() > before, "the device computed");
  assert.ok("read" in out && "read" in lse);
  // an engine that insists on the GPU uses it for the small problem too
  assert.equal(engine.explain(x, x, x).backend, "webgpu");
  device.destroy();
});

gpuTest("auto computes large host problems on a GPU that is hardware", async () => {
  const { engine } = await forcedEngine({ target: { software: false } }, { backend: "auto" });
  const small = explain(engine, [1, 64, 4, 64], [1, 64, 4, 64]);
  const large = explain(engine, [1, 8192, 16, 128], [1, 8192, 16, 128]);
  assert.deepEqual([small.backend, large.backend], ["wasm", "webgpu"]);
  const { wasm, webgpu } = large.estimates!;
  assert.match(large.reason, /^forced: about \d+\.\d ms on the GPU and \d+\.\d ms in WASM$/);
  assert.ok(large.reason.includes(webgpu!.toFixed(1)) && large.reason.includes(wasm.toFixed(1)));
  engine.dispose();
});

// --- estimates: no device ------------------------------------------------------------------------------------

const problemOf = (words: string) => parseProblem(words.split(" ").filter(Boolean)).problem;
const hardware = gpuTarget({}, { software: false }), software = gpuTarget();
const readBackMs = 11; // Deno

Deno.test("estimates grow with every size of a problem, on both backends", () => {
  const size = fc.integer({ min: 1, max: 3000 });
  const random = fc.record({
    pass: fc.constantFrom("forward", "backward"),
    batch: fc.integer({ min: 1, max: 4 }),
    heads: fc.integer({ min: 1, max: 8 }),
    lengthQ: size,
    lengthK: size,
    dim: fc.integer({ min: 1, max: 200 }),
    resident: fc.constantFrom("", "resident"),
    more: fc.constantFrom("batch", "heads", "lengthQ", "lengthK", "dim"),
  });
  fc.assert(
    fc.property(random, (r) => {
      const words = ({ pass, batch, heads, lengthQ, lengthK, dim, resident }: typeof r) =>
        `${pass} q=${batch}x${lengthQ}x${heads}x${dim} k=${batch}x${lengthK}x${heads}x${dim} ${resident}`;
      const one = problemOf(words(r)), two = problemOf(words({ ...r, [r.more]: 2 * r[r.more] }));
      for (const threads of [1, 4]) {
        assert.ok(wasmMs(two, { threads }) > wasmMs(one, { threads }) * 0.999999);
        assert.ok(wasmMs(one, { threads }) > 0);
      }
      assert.ok(wasmMs(one, { threads: 4 }) <= wasmMs(one, { threads: 1 }));
      for (const target of [hardware, software]) {
        const [a, b] = mapTuple([one, two], (problem) => webGpuMs(problem, target, readBackMs));
        assert.ok(b >= a && a > 0, `${a} ms, twice the ${r.more}: ${b} ms`);
      }
      const [fast, slow] = mapTuple(
        [hardware, software],
        (target) => webGpuMs(one, target, readBackMs),
      );
      assert.ok(fast <= slow, "software is not faster than hardware");
    }),
    { seed: 20261123, numRuns: 300 },
  );
});

Deno.test("a GPU that is hardware is for large problems, and the crossover is one place", () => {
  for (const pass of ["forward", "backward"]) {
    for (const threads of [1, 4, 8]) {
      const chosen = Array.from({ length: 11 }, (_, n) => {
        const length = 2 ** (n + 4), shape = `1x${length}x8x64`;
        const problem = problemOf(`${pass} q=${shape} k=${shape}`);
        return webGpuMs(problem, hardware, readBackMs) <= wasmMs(problem, { threads });
      });
      const about = `${pass}, ${threads} threads: ${chosen}`;
      assert.equal(chosen[0], false, about);
      assert.equal(chosen[10], true, about);
      assert.deepEqual(chosen, [...chosen].sort(), about);
    }
  }
});

Deno.test("a CPU whose multiply-adds were measured is judged by them", () => {
  const shape = "1x2048x8x64", problem = problemOf(`forward q=${shape} k=${shape}`);
  const usual = wasmMs(problem, { threads: 1 });
  const measured = (flops: number) => wasmMs(problem, { threads: 1, flops });
  assert.ok(measured(10e9) > 4 * usual && measured(10e9) > 1.9 * measured(20e9));
  assert.ok(wasmMs(problem, { threads: 1, relaxedSimd: false }) > 1.9 * usual);
  assert.ok(wasmMs(problem, { threads: 1, vectorBits: 256 }) < 0.6 * usual);
  const gpu = webGpuMs(problem, hardware, readBackMs), threads = 64;
  assert.ok(wasmMs(problem, { threads, flops: 60e9 }) < gpu, "many fast cores win");
  assert.ok(gpu < wasmMs(problem, { threads, flops: 3e9 }), "as many slow ones lose");
});

Deno.test("a GPU whose multiply-adds were measured is judged by them", () => {
  const shape = "1x2048x8x64", problem = problemOf(`forward q=${shape} k=${shape}`);
  const estimate = (flops?: number) => webGpuMs(problem, { ...hardware, flops }, readBackMs);
  assert.ok(estimate(60e12) < estimate() && estimate() < estimate(0.2e12));
  const cpu = wasmMs(problem, { threads: 4 });
  assert.ok(
    estimate(60e12) < cpu && cpu < estimate(0.2e12),
    "an integrated one loses to 4 threads",
  );
});

gpuTest("auto measures a device that may be hardware, once, and leaves nothing there", async () => {
  const device = await callersDevice(), watch = watchDevice(device);
  const opened = (options: OpenOptions) => openDevice(device, undefined, options);
  for (const options of [{}, { measure: true, software: true }]) {
    const found = await opened(options);
    assert.ok("open" in found && found.open.target.flops === undefined);
  }
  const found = await opened({ measure: true });
  assert.ok("open" in found, "no device");
  const { flops } = found.open.target;
  assert.equal(flops, undefined, "its passes cannot be timed: they were not asked for");
  device.destroy();

  const timed = await detect({ allowFallbackAdapter: true });
  assert.ok("open" in timed && timed.open.target.timestamps, "no timestamps");
  const timedWatch = watchDevice(timed.open.device);
  const measured = await measureFlops(timed.open.device);
  assert.ok(measured! > 1e8 && measured! < 1e15, `${measured}`);
  for (const { live } of [watch, timedWatch]) assert.equal(live.size, 0);
  timed.open.device.destroy();
  assert.equal(await measureFlops(timed.open.device), undefined, "a device that is gone");
});

Deno.test("tensors that live on the GPU cost no transfer, and reading back is paid once", () => {
  const shape = "1x1024x8x64";
  for (const pass of ["forward", "backward"]) {
    const host = problemOf(`${pass} q=${shape} k=${shape}`);
    const resident = problemOf(`${pass} q=${shape} k=${shape} resident`);
    const [a, b] = mapTuple([host, resident], (problem) => webGpuMs(problem, hardware, readBackMs));
    assert.ok(a - b >= readBackMs, `${a} and ${b} ms`);
    assert.equal(webGpuMs(resident, hardware, 1000), b);
    assert.ok(Math.abs(webGpuMs(host, hardware, readBackMs + 5) - a - 5) < 1e-9);
  }
});

Deno.test("structural masks and keys that are not there lower both estimates", () => {
  const shape = "1x2048x8x64", all = problemOf(`forward q=${shape} k=${shape} resident`);
  for (const mask of ["causal", "window=64,64", "keyLengths=100"]) {
    const some = problemOf(`forward q=${shape} k=${shape} resident ${mask}`);
    assert.ok(webGpuMs(some, hardware, 0) < webGpuMs(all, hardware, 0), mask);
    assert.ok(wasmMs(some, { threads: 2 }) < wasmMs(all, { threads: 2 }), mask);
  }
});
