// The results of a call on the GPU: their buffers, and how they get to where the caller wants them.
import { type BackendResult, checkDestination } from "../../backend/backend.ts";
import type { Views } from "../../problem/problem.ts";
import { hostResult, type ResultSpec } from "../../problem/results.ts";
import { BYTES } from "../../tensor/dtype.ts";
import type { ResidentTensor } from "../../tensor/resident.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import { copyRows, sameRows } from "../../tensor/rows.ts";
import { count } from "../../tensor/shape.ts";
import type { View } from "../../tensor/view.ts";
import { type GpuBuffer, USAGE } from "../device/api.ts";
import type { OpenDevice } from "../device/device.ts";
import { readBack } from "../device/read_back.ts";
import { GpuTensor, type Home } from "../device/tensors.ts";

/** A result with its buffer and, when the caller wants it in GPU memory, with its tensor. */
export interface Made {
  readonly spec: ResultSpec;
  readonly buffer: GpuBuffer;
  readonly tensor: GpuTensor | undefined;
  /** Where the caller wants it; made there unless `buffer` is another one, whose values are copied in the end. */
  readonly into?: View | undefined;
}

const bytesOf = ({ shape, dtype }: ResultSpec) => count(shape) * BYTES[dtype];

/**
 * Whether kernels can write to a destination as it is: one of this engine's own, or a caller's buffer that has just
 * the room and nothing else of the call in it, since a buffer is either read or written by a dispatch.
 */
function isWritable({ name, tensor }: View, spec: ResultSpec, all: readonly View[]): boolean {
  const { borrowed, buffer, byteOffset } = tensor as GpuTensor;
  if (!borrowed) return true;
  const alone = all.every((view) =>
    view.name === name || (view.tensor as Partial<GpuTensor>).buffer !== buffer
  );
  return alone && byteOffset === 0 && buffer.size - bytesOf(spec) < 16;
}

/** A result for which the caller has room. */
function takeResult(home: Home, spec: ResultSpec, into: View, all: readonly View[]): Made {
  if (!into.resident) {
    return { spec, buffer: home.memory.take(bytesOf(spec)), tensor: undefined, into };
  }
  const tensor = into.tensor as GpuTensor;
  if (!tensor.hasLastWord) {
    throw new RangeError(
      `Cannot write into.${spec.name}: it has ${count(spec.shape)} values of 16 bits, which are ` +
        "written two at a time, and its buffer goes on behind the last one",
    );
  }
  if (isWritable(into, spec, all)) return { spec, buffer: tensor.buffer, tensor, into };
  if (!(tensor.buffer.usage & USAGE.copyTarget)) {
    throw new TypeError(
      `Cannot write into.${spec.name}: its buffer was made without the usage COPY_DST`,
    );
  }
  return { spec, buffer: home.memory.take(bytesOf(spec)), tensor, into };
}

/**
 * Makes results, or takes those that the caller has room for, which `into` names; gives back what it made when memory runs
 * out on the way. `views`: the inputs of the call.
 */
export function makeResults(
  home: Home,
  specs: readonly ResultSpec[],
  into: Views = {},
  views: Views = {},
): Made[] {
  const made: Made[] = [], all = [...Object.values(into), ...Object.values(views)];
  try {
    for (const spec of specs) {
      const destination = into[spec.name];
      if (destination) {
        made.push(takeResult(home, spec, destination, all));
        continue;
      }
      const tensor = spec.resident ? new GpuTensor(home, spec.shape, spec.dtype) : undefined;
      made.push({ spec, buffer: tensor?.buffer ?? home.memory.take(bytesOf(spec)), tensor });
    }
  } catch (error) {
    releaseResults(home, made, true);
    throw error;
  }
  return made;
}

/** Gives back the buffers of host results, and of all results when the call failed. */
export function releaseResults({ memory }: Home, made: readonly Made[], failed: boolean): void {
  for (const { buffer, tensor, into } of made) {
    if (!tensor || tensor.buffer !== buffer) memory.give(buffer);
    else if (failed && !into) tensor.dispose();
  }
}

/** The results where the caller wants them. */
export async function collectResults(
  { open, memory }: Home,
  made: readonly Made[],
  call: string,
): Promise<BackendResult[]> {
  const action = `Cannot run ${call}`;
  copyOut(open, made, action);
  const results = made.map(({ spec, tensor, into }) => ({
    name: spec.name,
    tensor: tensor ?? (into && denseHost(spec, into)) ?? hostResult(spec),
  }));
  const wanted = made.flatMap(({ spec, buffer, tensor }, n) =>
    tensor ? [] : [{ buffer, bytes: bytesOf(spec), host: results[n]!.tensor as HostTensor }]
  );
  await readBack(open, memory, wanted, action);
  return results.map((result, n) => {
    const { into, spec } = made[n]!;
    if (!into || into.resident) return result;
    checkDestination(into, call);
    const target = into.tensor as HostTensor, { data } = result.tensor as HostTensor;
    if (!sameRows(into, spec)) copyRows({ data, rows: spec }, { data: target.data, rows: into });
    return { name: result.name, tensor: target };
  });
}

/** Resident results, which nobody waits for. */
export function leaveResults(home: Home, made: readonly Made[], action: string): BackendResult[] {
  copyOut(home.open, made, action);
  releaseResults(home, made, false);
  return made.map(({ spec, tensor }) => ({ name: spec.name, tensor: tensor! }));
}

/** Keeps the scratch and the inputs of a recorded call until the last of its results is given back. */
export function holdUntilFreed(
  made: readonly Made[],
  inputs: readonly ResidentTensor[],
  scratch: { dispose(): void },
): void {
  for (const input of inputs) input.hold(false);
  let left = made.length;
  for (const { tensor } of made) {
    tensor!.onFree = () => {
      if (--left > 0) return;
      scratch.dispose();
      for (const input of inputs) input.release(false);
    };
  }
}

/** The part of a destination's array that a result fills, where it lies in it as it is. */
function denseHost(spec: ResultSpec, into: View): HostTensor | undefined {
  if (!sameRows(into, spec)) return undefined;
  const { data } = into.tensor as HostTensor<Float32Array>;
  return { data: data.subarray(0, count(spec.shape)), shape: spec.shape, dtype: spec.dtype };
}

/** Copies results to where kernels could not write. */
function copyOut(open: OpenDevice, made: readonly Made[], action: string): void {
  const moved = made.filter(({ tensor, buffer }) => tensor && tensor.buffer !== buffer);
  if (moved.length === 0) return;
  open.checked(action, () => {
    const encoder = open.device.createCommandEncoder();
    for (const { spec, buffer, tensor } of moved) {
      const bytes = Math.ceil(bytesOf(spec) / 4) * 4;
      encoder.copyBufferToBuffer(buffer, 0, tensor!.buffer, tensor!.byteOffset, bytes);
    }
    open.device.queue.submit([encoder.finish()]);
  });
}
