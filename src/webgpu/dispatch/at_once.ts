// Work that needs no plan: resident results, and a few steps that fill them, submitted at once.
import type { BackendResult } from "../../backend/backend.ts";
import type { ResultSpec } from "../../problem/results.ts";
import type { GpuBuffer } from "../device/api.ts";
import type { Pipelines } from "../device/pipelines.ts";
import { Scratch } from "../device/scratch.ts";
import type { Home } from "../device/tensors.ts";
import type { Step } from "./dispatch.ts";
import { type Made, makeResults, releaseResults } from "./results.ts";
import { Recording } from "./submit.ts";

/** Makes the results and submits the steps; waits for nothing. */
export function runAtOnce(
  home: Home,
  pipelines: Pipelines,
  action: string,
  results: readonly ResultSpec[],
  stepsOf: (made: readonly Made[], take: (bytes: number) => GpuBuffer) => Step[],
): BackendResult[] {
  const { open } = home, specs = results.map((spec) => ({ ...spec, resident: true }));
  const made = makeResults(home, specs), scratch = new Scratch(home.memory);
  const take = (bytes: number) => scratch.take(bytes);
  try {
    const recording = new Recording(open, pipelines, stepsOf(made, take), take);
    open.checked(action, () => {
      const encoder = open.device.createCommandEncoder(), pass = encoder.beginComputePass();
      recording.recordInto(pass, action);
      pass.end();
      open.device.queue.submit([encoder.finish()]);
    });
  } catch (error) {
    releaseResults(home, made, true);
    throw error;
  } finally {
    scratch.give();
  }
  return made.map(({ spec, tensor }) => ({ name: spec.name, tensor: tensor! }));
}
