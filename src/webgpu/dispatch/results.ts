// The results of a call on the GPU: their buffers, and how they get to where the caller wants them.
import type { BackendResult } from "../../backend/backend.ts";
import { hostResult, type ResultSpec } from "../../problem/results.ts";
import { BYTES } from "../../tensor/dtype.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import { count } from "../../tensor/view.ts";
import type { GpuBuffer } from "../device/api.ts";
import { readBack } from "../device/read_back.ts";
import { GpuTensor, type Home } from "../device/tensors.ts";

/** A result with its buffer and, when the caller wants it in GPU memory, with its tensor. */
export interface Made {
  readonly spec: ResultSpec;
  readonly buffer: GpuBuffer;
  readonly tensor: GpuTensor | undefined;
}

const bytesOf = ({ shape, dtype }: ResultSpec) => count(shape) * BYTES[dtype];

/** Makes results; gives back what it made when memory runs out on the way. */
export function makeResults(home: Home, specs: readonly ResultSpec[]): Made[] {
  const made: Made[] = [];
  try {
    for (const spec of specs) {
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
  for (const { buffer, tensor } of made) {
    if (!tensor) memory.give(buffer);
    else if (failed) tensor.dispose();
  }
}

/** The results where the caller wants them. */
export async function collectResults(
  { open, memory }: Home,
  made: readonly Made[],
  action: string,
): Promise<BackendResult[]> {
  const results = made.map(({ spec, tensor }) => ({
    name: spec.name,
    tensor: tensor ?? hostResult(spec),
  }));
  const wanted = made.flatMap(({ spec, buffer, tensor }, n) =>
    tensor ? [] : [{ buffer, bytes: bytesOf(spec), host: results[n]!.tensor as HostTensor }]
  );
  await readBack(open, memory, wanted, action);
  return results;
}
