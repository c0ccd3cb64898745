// Results of a call with their tensors: made before any work, where the inputs live.
import { bits } from "../../tensor/dtype.ts";
import { type BackendResult, checkDestination } from "../../backend/backend.ts";
import type { Views } from "../../problem/problem.ts";
import { hostResult, type ResultSpec } from "../../problem/results.ts";
import { OPERANDS } from "../../tensor/operands.ts";
import { copyRows, rowsOf, sameRows } from "../../tensor/rows.ts";
import { type HostTensor, isResident, type Tensor } from "../../tensor/tensor.ts";
import type { View } from "../../tensor/view.ts";
import type { LinearMemory } from "./linear_memory.ts";
import { WasmTensor } from "./tensors.ts";

/** A result with its tensor. */
export interface ResultView extends ResultSpec {
  readonly tensor: HostTensor | WasmTensor;
  /** Where the caller wants it; it is made there, unless it is made in `tensor` and copied in the end. */
  readonly into?: View | undefined;
}

/**
 * Makes results, or takes those that the caller has room for; frees what it made when memory runs out on the way.
 * `sparse`: they may have rows that no work writes, for which no key or no query is there.
 */
export function makeResults(
  memory: LinearMemory,
  specs: readonly ResultSpec[],
  sparse = false,
  destinations: Views = {},
): ResultView[] {
  const made: ResultView[] = [];
  try {
    for (const spec of specs) {
      const { resident, shape, dtype } = spec, into = destinations[spec.name];
      const given = into && takenInPlace(into, spec);
      const stays = resident && !into; // what is copied to a destination in the end is made on the host
      const tensor = given ?? (stays ? new WasmTensor(memory, shape, dtype) : hostResult(spec));
      const strides = given && !OPERANDS[spec.name].summed ? into!.strides : spec.strides;
      const result: ResultView = { ...spec, resident: isResident(tensor), strides, tensor, into };
      made.push(result);
      // threads may write there for a while after the call has failed
      if (given instanceof WasmTensor) given.hold(false);
      if (sparse) fillRows(result, spec.name === "lse" ? -Infinity : 0);
    }
  } catch (error) {
    letGo(made);
    disposeResults(made);
    throw error;
  }
  return made;
}

/** The tensor of a destination, where results can be made in it: sums are added up one behind the other. */
function takenInPlace(into: View, { name, strides }: ResultSpec): ResultView["tensor"] | undefined {
  if (OPERANDS[name].summed && !sameRows(into, { size: into.size, strides })) return undefined;
  return into.tensor as ResultView["tensor"];
}

/** Gives every element of a result a value, and nothing between them. */
function fillRows({ tensor, ...view }: ResultView, value: number): void {
  if (!isResident(tensor) && !view.into && value === 0) return; // a new array
  const all = elements(tensor);
  for (const at of rowsOf(view)) all.fill(value, at, at + view.size[3]);
}

/** Results where the caller wants them; `call`: its name in errors. */
export function deliver(results: readonly ResultView[], call: string): BackendResult[] {
  return results.map(({ name, tensor, into, size, strides }) => {
    if (!into) return { name, tensor };
    checkDestination(into, call);
    const target = into.tensor as HostTensor;
    if (target !== tensor) {
      const { data } = tensor as HostTensor;
      copyRows({ data, rows: { size, strides } }, { data: target.data, rows: into });
    }
    return { name, tensor: target };
  });
}

/** Ends what `makeResults` holds: nothing writes any more. */
export function letGo(results: readonly ResultView[]): void {
  for (const { tensor, into } of results) {
    if (into && tensor instanceof WasmTensor) tensor.release(false);
  }
}

/** Frees resident results of a call that failed, those of the caller not among them. */
export function disposeResults(results: readonly ResultView[]): void {
  for (const { tensor, into } of results) if (!into && isResident(tensor)) tensor.dispose();
}

/** The elements of a tensor as an array that copies can use. */
export function elements(tensor: HostTensor | Tensor): ReturnType<typeof bits> {
  return tensor instanceof WasmTensor ? tensor.view() : bits((tensor as HostTensor).data);
}
