// From the steps of a call to a recording: what must be zero is cleared before, and kernels that are missing are made.
import type { AbortSignalLike } from "../../backend/backend.ts";
import type { GpuBuffer, GpuCommandEncoder } from "../device/api.ts";
import type { OpenDevice } from "../device/device.ts";
import type { Pipelines } from "../device/pipelines.ts";
import type { Step } from "./dispatch.ts";
import { Recording } from "./submit.ts";

/** What is recorded: steps, the scratch that they have, what is cleared before them, their parameters where they are known. */
export interface Recorded {
  readonly call: {
    scratch(bytes: number): GpuBuffer;
    clear?(encoder: () => GpuCommandEncoder): GpuCommandEncoder | undefined;
  };
  readonly steps: readonly Step[];
  readonly words?: Uint32Array<ArrayBuffer>;
}

/** The steps of a call with their parameters; what must be zero before them is. */
export function recordCall(
  open: OpenDevice,
  pipelines: Pipelines,
  { call, steps, words }: Recorded,
): Recording {
  const { device } = open, take = (bytes: number) => call.scratch(bytes);
  const recording = new Recording(open, pipelines, steps, take, words);
  const clearing = call.clear?.(() => device.createCommandEncoder());
  if (clearing) device.queue.submit([clearing.finish()]);
  return recording;
}

/** Submits the steps of a call once their kernels are there. */
export async function submitCall(
  open: OpenDevice,
  pipelines: Pipelines,
  recorded: Recorded,
  action: string,
  signal: AbortSignalLike | undefined,
): Promise<Recording> {
  const kernels = recorded.steps.map(({ kernel }) => kernel);
  await open.whileAlive(pipelines.prepare(kernels), action);
  signal?.throwIfAborted();
  const recording = recordCall(open, pipelines, recorded);
  await recording.submit(action, signal);
  return recording;
}
