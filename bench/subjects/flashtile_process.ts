/**
 * This library as a contender. `flashtile` takes and returns host arrays, as every other contender
 * does; `flashtile/resident` keeps them in the engine's memory, as a key/value cache would be. On
 * WebGPU every library keeps its tensors on the device.
 * @module
 */

import { operands } from "../cases.ts";
import { isCausal, type Job, type Prepared, wantsGradients } from "../process/job.ts";
import { Subject, wasmEngine, webgpuEngine } from "./flashtile.ts";

export async function prepare(job: Job): Promise<Prepared> {
  const onDevice = job.backend === "webgpu";
  const engine = onDevice ? await webgpuEngine() : await wasmEngine(job.threads);
  const place = onDevice || job.contender.endsWith("/resident") ? "f32" : "host";
  const call = { c: job.case, data: operands(job.case), causal: isCausal(job) };
  const subject = new Subject(engine, call, {}, place);
  const memory = () => ({ ...engine.memory });
  if (!wantsGradients(job)) {
    const outputs = async () => ({ out: (await subject.results("forward")).out });
    if (!onDevice) return { run: () => subject.forward(), outputs, memory };
    const finish = () => engine.synchronize();
    return { mostCalls: 2048, run: () => subject.forward(false), finish, outputs };
  }
  const alone = job.task.endsWith("backward");
  if (alone) await subject.forward();
  const run = async () => {
    if (!alone) await subject.forward();
    await subject.backward();
  };
  return { run, outputs: () => subject.results("backward"), memory };
}
