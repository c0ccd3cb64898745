// The tensors of a call as the engine sees them: whose they are, who uses them, and results by their names.
import type { Backend, BackendResult } from "../backend/backend.ts";
import type { FeatureUse } from "../problem/features/feature.ts";
import { namedResults } from "../problem/named_results.ts";
import { argumentOf } from "../problem/argument_names.ts";
import type { Views } from "../problem/problem.ts";
import { DeviceLostError } from "../tensor/errors.ts";
import { ResidentTensor } from "../tensor/resident.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { View } from "../tensor/view.ts";

/** A tensor of a call, by the name that errors give it. */
export interface Owned extends Pick<View, "tensor" | "resident"> {
  readonly name: string;
}

/** Destinations by the names that errors give them. */
export const destinationsOf = (into: Views): Owned[] =>
  Object.values(into).map((view) => ({ ...view, name: `into.${view.name}` }));

/** The one of some backends in which the resident tensors of a call live; undefined when all are host tensors. */
export function backendOf(
  all: readonly Backend[],
  views: readonly Owned[],
  action: string,
): Backend | undefined {
  let owner: Backend | undefined;
  for (const { name: own, tensor, resident } of views) {
    if (!resident) continue;
    const name = argumentOf(own, action);
    const found = all.find((backend) => backend.owns(tensor as Tensor));
    const lost = found ? undefined : (tensor as { open?: { lost?: string } }).open?.lost;
    if (lost) throw new DeviceLostError(`Cannot run ${action}: ${name} is gone`, lost);
    if (!found || (owner && found !== owner)) {
      throw new TypeError(
        `Cannot run ${action}: ${name} belongs to another engine, but all tensors of a call must come from the one that runs it`,
      );
    }
    owner = found;
  }
  return owner;
}

/** Throws where an action would read what a call under way writes, or write what one needs. */
export function checkFree(
  action: string,
  inputs: readonly Owned[],
  outputs: readonly Owned[] = [],
): void {
  const busy = (name: string, does: string) =>
    new TypeError(
      `Cannot run ${action}: a call that ${does} ${
        argumentOf(name, action)
      } is under way, await it first`,
    );
  for (const { name, tensor } of [...inputs, ...outputs]) {
    if (tensor instanceof ResidentTensor && tensor.isWritten) throw busy(name, "writes");
  }
  for (const { name, tensor } of outputs) {
    if (tensor instanceof ResidentTensor && tensor.isRead) throw busy(name, "reads");
  }
}

/** The results of a call by name; `features`: those of the call. */
export function byName<R>(results: readonly BackendResult[], features: readonly FeatureUse[]): R {
  return namedResults(results, features) as R;
}
