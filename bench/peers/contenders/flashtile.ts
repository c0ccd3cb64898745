/**
 * This library. `flashtile` takes and returns host arrays, as every other contender does;
 * `flashtile/resident` keeps them in the engine's memory, as a key/value cache would be.
 * @module
 */

import { HostSubject, ResidentSubject, wasmEngine } from "../../subjects/flashtile.ts";
import { isCausal, type Job, type Outputs, type Prepared, wantsGradients } from "../job.ts";

export async function prepare(job: Job): Promise<Prepared> {
  const engine = await wasmEngine(job.threads);
  const options = { causal: isCausal(job) };
  const memory = () => ({ ...engine.memory });
  if (job.contender.endsWith("/resident")) {
    const subject = new ResidentSubject(engine, job.case, options);
    const outputs = async (): Promise<Outputs> => ({ out: await subject.output() });
    return { run: () => subject.forward(), outputs, memory };
  }
  const subject = new HostSubject(engine, job.case, options);
  if (!wantsGradients(job)) {
    const outputs = () => ({ out: floats(subject.result?.out.data) });
    return { run: () => subject.forward(), outputs, memory };
  }
  const outputs = (): Outputs => ({
    dq: floats(subject.gradients?.dq.data),
    dk: floats(subject.gradients?.dk.data),
    dv: floats(subject.gradients?.dv.data),
  });
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

function floats(data: unknown): Float32Array {
  return data instanceof Float32Array ? data : new Float32Array();
}
