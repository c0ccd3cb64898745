// Results by their public names: statistics and the gradients of captured arrays lie in objects of their own.
import type { OperandName, StatisticName } from "../tensor/operands.ts";
import type { HostTensor } from "../tensor/tensor.ts";
import type { FeatureUse } from "./features/feature.ts";
import { learnedGradients } from "./learned.ts";
import { isStatistic } from "./statistics.ts";

/** The results of a call by name; `features`: those of the call. */
export function namedResults<T>(
  results: readonly { readonly name: OperandName; readonly tensor: T }[],
  features: readonly FeatureUse[],
): Record<string, unknown> {
  const named: Record<string, unknown> = {}, stats: { [name in StatisticName]?: T } = {};
  for (const { name, tensor } of results) {
    if (isStatistic(name)) named["stats"] = Object.assign(stats, { [name]: tensor });
    else if (name === "dCaptured") named[name] = learnedGradients(features, tensor as HostTensor);
    else named[name] = tensor;
  }
  return named;
}
