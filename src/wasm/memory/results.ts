// Results of a call with their tensors: made before any work, where the inputs live.
import { bits } from "../../tensor/dtype.ts";
import { hostResult, type ResultSpec } from "../../problem/results.ts";
import { type HostTensor, isResident, type Tensor } from "../../tensor/tensor.ts";
import type { LinearMemory } from "./linear_memory.ts";
import { WasmTensor } from "./tensors.ts";

/** A result with its tensor. */
export interface ResultView extends ResultSpec {
  readonly tensor: HostTensor | WasmTensor;
}

/**
 * Makes results; frees what it made when memory runs out on the way. `sparse`: they may have rows that no work
 * writes, for which no key or no query is there.
 */
export function makeResults(
  memory: LinearMemory,
  specs: readonly ResultSpec[],
  sparse = false,
): ResultView[] {
  const made: ResultView[] = [];
  try {
    for (const spec of specs) {
      const { resident, shape, dtype } = spec;
      const tensor = resident ? new WasmTensor(memory, shape, dtype) : hostResult(spec);
      made.push({ ...spec, tensor });
      if (sparse && spec.name === "lse") elements(tensor).fill(-Infinity);
      else if (sparse && resident) elements(tensor).fill(0);
    }
  } catch (error) {
    disposeResults(made);
    throw error;
  }
  return made;
}

/** Frees resident results of a call that failed. */
export function disposeResults(results: readonly ResultView[]): void {
  for (const { tensor } of results) if (isResident(tensor)) tensor.dispose();
}

/** The elements of a tensor as an array that copies can use. */
export function elements(tensor: HostTensor | Tensor): ReturnType<typeof bits> {
  return tensor instanceof WasmTensor ? tensor.view() : bits((tensor as HostTensor).data);
}
