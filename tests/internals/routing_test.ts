/** Which backend of an engine runs a call, with a GPU that only writes down what it was asked. */

import assert from "node:assert/strict";
import { Engine, type HostTensor, type Tensor, UnsupportedError } from "../../mod.ts";
import type { Backend, BackendResult } from "../../src/backend/backend.ts";
import { explainPlan } from "../../src/wasm/explain.ts";
import { planAttention } from "../../src/plan/wasm/plan.ts";
import { hostResult, mergeSpecs, resultSpecs, turnedSpec } from "../../src/problem/results.ts";
import { wasmTarget } from "../../tools/show/show.ts";
import { DeviceLostError } from "../../src/tensor/errors.ts";
import { ResidentTensor } from "../../src/tensor/resident.ts";
import { plainTensor } from "../inputs.ts";

/** A tensor on the stub; nobody reads it. */
class StubTensor extends ResidentTensor {
  constructor(shape: readonly number[]) {
    super(shape, "f32");
  }
  protected override free(): void {}
  protected override check(): void {}
  protected override put(): void {}
  protected override get(): Promise<Float32Array> {
    return Promise.resolve(new Float32Array(0));
  }
}

class StubGpu implements Backend {
  readonly name = "webgpu";
  readonly target = wasmTarget(1);
  readonly memory = { total: 1000, used: 100, peak: 10 };
  readonly asked: string[] = [];
  readonly #tensors = new Set<Tensor>();

  empty(shape: readonly number[]): Tensor {
    this.asked.push("tensor");
    const tensor = new StubTensor(shape);
    this.#tensors.add(tensor);
    return tensor;
  }
  pool(): never {
    throw new Error("no test of routing has a cache");
  }
  owns(tensor: Tensor): boolean {
    return this.#tensors.has(tensor);
  }
  run(...[problem, views]: Parameters<Backend["run"]>): Promise<BackendResult[]> {
    this.asked.push(problem.pass);
    const specs = resultSpecs(problem, views);
    return Promise.resolve(specs.map((spec) => ({ name: spec.name, tensor: hostResult(spec) })));
  }
  merge(...[parts, shape]: Parameters<Backend["merge"]>): BackendResult[] {
    this.asked.push("merge");
    const specs = mergeSpecs(shape, parts[0]!);
    return specs.map((spec) => ({ name: spec.name, tensor: hostResult(spec) }));
  }
  turn(call: Parameters<Backend["turn"]>[0]): BackendResult {
    this.asked.push("turn");
    return { name: "dq", tensor: hostResult(turnedSpec(call)) };
  }
  explain(...[problem, reason]: Parameters<Backend["explain"]>) {
    const planned = { plan: planAttention(problem, wasmTarget(1)), peakBytes: 0 };
    const about = { reason: `${reason}, told by it`, scratchBytes: 0, budget: 2 ** 32 };
    return explainPlan(planned, problem, about);
  }
  estimate(): number {
    return 1;
  }
  synchronize(): Promise<void> {
    this.asked.push("synchronize");
    return Promise.resolve();
  }
  dispose(): void {
    this.asked.push("dispose");
  }
}

const x: HostTensor = plainTensor(1, [1, 4, 2, 8]);

/** An engine on a stub, and a tensor there. */
function gpuEngine() {
  const gpu = new StubGpu();
  const source = {
    backend: gpu as Backend | undefined,
    reason: "a stub was given",
    detected: true,
    detect: () => Promise.resolve(),
    renew: () => Promise.resolve(),
    dispose: () => {},
  };
  const engine = new Engine({ threads: 1, backend: "webgpu" }, source);
  const resident = engine.tensor(x.data, x.shape);
  gpu.asked.length = 0;
  return { gpu, engine, resident, source };
}

Deno.test("an engine with a GPU says so, and runs asynchronous calls there", async () => {
  const { gpu, engine, resident } = gpuEngine();
  assert.deepEqual([engine.backend, engine.reason], ["webgpu", "a stub was given"]);
  assert.equal(engine.target, gpu.target);
  const { out, lse } = await engine.attention(x, x, x);
  await engine.attention(x, resident, resident);
  await engine.attentionBackward(x, { q: x, k: x, v: x, out, lse });
  assert.deepEqual(gpu.asked, ["forward", "forward", "backward"]);
  assert.equal(engine.explain(x, x, x).reason, "a stub was given, told by it");
  assert.deepEqual(engine.memory, gpu.memory, "the CPU backend was not made");
  engine.dispose();
});

Deno.test("where tensors leave the choice, the backend that is expected to be done first runs a call", async () => {
  const { gpu, source } = gpuEngine(), engine = new Engine({ threads: 1 }, source);
  await engine.attention(x, x, x); // microseconds of work, for which the stub says that it takes 1 ms
  assert.deepEqual(gpu.asked, []);
  gpu.estimate = () => 0;
  await engine.attention(x, x, x);
  assert.deepEqual(gpu.asked, ["forward"]);
  engine.dispose();
});

Deno.test("synchronous calls, merges and rotations of host tensors are the CPU's, made when needed", async () => {
  const { gpu, engine, resident } = gpuEngine();
  const { out, lse } = engine.attentionSync(x, x, x);
  using cpu = new Engine({ threads: 1 });
  assert.deepEqual(out, cpu.attentionSync(x, x, x).out);
  engine.mergeAttention([{ out, lse }]);
  engine.applyRotary(out);
  assert.deepEqual(gpu.asked, []);
  assert.ok(engine.memory.total > gpu.memory.total, "the sum of both");
  const rows = engine.tensor(lse.data, lse.shape);
  engine.mergeAttention([{ out: resident, lse: rows }]);
  engine.applyRotary(resident);
  await engine.synchronize();
  engine.dispose();
  assert.deepEqual(gpu.asked, ["tensor", "merge", "turn", "synchronize", "dispose"]);
});

Deno.test("synchronous calls refuse tensors in GPU memory and say what to do", () => {
  const { engine, resident } = gpuEngine();
  const refusal = (name: string) => (error: unknown) =>
    error instanceof UnsupportedError && error.backend === "webgpu" &&
    error.feature === `${name}Sync of tensors in GPU memory` &&
    error.remedy === `use ${name}, or pass host tensors`;
  assert.throws(() => engine.attentionSync(x, resident, x), refusal("attention"));
  const { out, lse } = engine.attentionSync(x, x, x);
  const saved = { q: resident, k: x, v: x, out, lse };
  assert.throws(() => engine.attentionBackwardSync(x, saved), refusal("attentionBackward"));
  engine.dispose();
});

Deno.test("tensors of another engine are refused whichever backend they live in", async () => {
  const { engine, resident } = gpuEngine();
  using cpu = new Engine({ threads: 1 });
  const onCpu = cpu.tensor(x.data, x.shape), wanted = /k belongs to another engine/;
  await assert.rejects(() => engine.attention(resident, onCpu, x), wanted);
  assert.throws(() => engine.attentionSync(x, onCpu, x), wanted);
  await assert.rejects(() => cpu.attention(onCpu, resident, x), wanted);
  engine.dispose();
});

Deno.test("tensors in two backends of one engine do not meet in a call", async () => {
  const { gpu, engine, resident, source } = gpuEngine();
  source.backend = undefined; // as while another device is opened
  const onCpu = engine.tensor(x.data, x.shape), lse = engine.tensor(new Float32Array(8), [1, 2, 4]);
  const cache = engine.kvCache({ sequences: 1, kvHeads: 2, headDim: 8, capacity: 8 });
  source.backend = gpu;
  assert.throws(
    () => cache.append(resident, resident),
    /k and v live in webgpu, the cache does not/,
  );
  assert.deepEqual([...cache.lengths], [0]);
  cache.append(onCpu, x);
  const wanted = /k belongs to another engine, but all tensors of a call must come from the one/;
  await assert.rejects(() => engine.attention(resident, onCpu, x), wanted);
  assert.throws(() => engine.mergeAttention([{ out: resident, lse }]), /belongs to another engine/);
  assert.deepEqual(gpu.asked, []);
  const { out } = await engine.attention(x, onCpu, onCpu); // where its tensors live
  using cpu = new Engine({ threads: 1 });
  assert.deepEqual(out, cpu.attentionSync(x, x, x).out);
  engine.dispose();
});

Deno.test("a call whose device is lost is computed again, unless its tensors went with it", async () => {
  const { gpu, engine, resident, source } = gpuEngine(), lost: Backend[] = [];
  const renew = (backend: Backend) => {
    lost.push(backend);
    source.backend = undefined;
    return Promise.resolve();
  };
  Object.assign(source, { renew });
  gpu.run = () => Promise.reject(new DeviceLostError("Cannot run attention", "unplugged"));
  const { out, recovered } = await engine.attention(x, x, x);
  using cpu = new Engine({ threads: 1 });
  assert.deepEqual([out, recovered], [cpu.attentionSync(x, x, x).out, "wasm"]);
  source.backend = gpu;
  await assert.rejects(() => engine.attention(x, resident, x), DeviceLostError);
  source.backend = gpu;
  const controller = new AbortController(), reason = new Error("enough");
  Object.assign(source, {
    renew: (backend: Backend) => {
      controller.abort(reason);
      return renew(backend);
    },
  });
  await assert.rejects(() => engine.attention(x, x, x, { signal: controller.signal }), reason);
  assert.deepEqual(lost, [gpu, gpu, gpu]);
  engine.dispose();
});
