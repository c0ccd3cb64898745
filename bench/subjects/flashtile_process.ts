/**
 * This library as a contender. `flashtile` takes and returns host arrays, as every other contender
 * does; `flashtile/resident` keeps them in the engine's memory, as a key/value cache would be. On
 * WebGPU every library keeps its tensors on the device.
 * @module
 */

import { operands, shapes } from "../cases.ts";
import { isCausal, type Job, type Prepared, wantsGradients } from "../process/job.ts";
import { Subject, wasmEngine, webgpuEngine } from "./flashtile.ts";

export async function prepare(job: Job): Promise<Prepared> {
  if (job.backend === "webgpu") return await onDevice(job);
  const engine = await wasmEngine(job.threads);
  const place = job.contender.endsWith("/resident") ? "f32" : "host";
  const call = { c: job.case, data: operands(job.case), causal: isCausal(job) };
  const subject = new Subject(engine, call, {}, place);
  const memory = () => ({ ...engine.memory });
  if (!wantsGradients(job)) {
    const outputs = async () => ({ out: (await subject.results("forward")).out });
    return { run: () => subject.forward(), outputs, memory };
  }
  const outputs = () => subject.results("backward");
  if (job.task.endsWith("backward")) {
    await subject.forward();
    return { run: () => subject.backward(), outputs, memory };
  }
  const run = async () => {
    await subject.forward();
    await subject.backward();
  };
  return { run, outputs, memory };
}

async function onDevice(job: Job): Promise<Prepared> {
  const engine = await webgpuEngine();
  const data = operands(job.case), shape = shapes(job.case);
  const q = engine.tensor(data.q, shape.q);
  const k = engine.tensor(data.k, shape.kv), v = engine.tensor(data.v, shape.kv);
  const options = { layout: "bhsd", causal: isCausal(job) } as const;
  return {
    mostCalls: 2048,
    async run() {
      const { out, lse } = await engine.attention(q, k, v, options);
      out.dispose();
      lse.dispose();
    },
    finish: () => engine.synchronize(),
    async outputs() {
      const { out } = await engine.attention(q, k, v, options);
      return { out: await out.read() as Float32Array };
    },
  };
}
