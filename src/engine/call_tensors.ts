// The tensors of a call as the engine sees them: whose they are, who uses them, and results by their names.
import { type BackendResult, callName } from "../backend/backend.ts";
import type { FeatureUse } from "../problem/features/feature.ts";
import { namedResults } from "../problem/named_results.ts";
import type { Call, Views } from "../problem/problem.ts";
import { ResidentTensor } from "../tensor/resident.ts";
import type { View } from "../tensor/view.ts";

/** A tensor of a call, by the name that errors give it. */
export interface Owned extends Pick<View, "tensor" | "resident"> {
  readonly name: string;
}

/** Destinations by the names that errors give them. */
export const destinationsOf = (into: Views): Owned[] =>
  Object.values(into).map((view) => ({ ...view, name: `into.${view.name}` }));

/** Throws where a call would read what another one writes, or write what another one needs. */
export function checkFree({ problem, views, into = {} }: Call): void {
  const inputs: Owned[] = Object.values(views),
    busy = (name: string, does: string) =>
      new TypeError(
        `Cannot run ${callName(problem)}: a call that ${does} ${name} is under way, await it first`,
      );
  for (const { name, tensor } of inputs) {
    if (tensor instanceof ResidentTensor && tensor.isWritten) throw busy(name, "writes");
  }
  for (const { name, tensor } of destinationsOf(into)) {
    if (!(tensor instanceof ResidentTensor)) continue;
    if (tensor.isWritten) throw busy(name, "writes");
    if (tensor.isRead) throw busy(name, "reads");
  }
}

/** The results of a call by name; `features`: those of the call. */
export function byName<R>(results: readonly BackendResult[], features: readonly FeatureUse[]): R {
  return namedResults(results, features) as R;
}
