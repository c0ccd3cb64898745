// The option `stats`, and results by their public names: statistics lie in an object of their own.
import { type Complaint, show } from "../tensor/errors.ts";
import { type OperandName, STATISTIC_NAMES, type StatisticName } from "../tensor/operands.ts";
import type { AnyTensor } from "../tensor/tensor.ts";
import type { SavedForBackward } from "./call_options.ts";

const isStatistic = (name: unknown): name is StatisticName =>
  STATISTIC_NAMES.includes(name as StatisticName);

/** The statistics that are asked for, in the order of the table. */
export function parseStatistics(stats: unknown, complaint: Complaint): StatisticName[] {
  if (stats === undefined) return [];
  const wanted = STATISTIC_NAMES.map((name) => `"${name}"`).join(", ");
  if (!Array.isArray(stats)) {
    throw complaint.type(`stats is ${show(stats)} but must be an array of ${wanted}`);
  }
  stats.forEach((name, n) => {
    if (!isStatistic(name)) {
      throw complaint.type(`stats[${n}] is ${show(name)} but must be one of ${wanted}`);
    }
    if (stats.indexOf(name) < n) {
      throw complaint.type(`stats has ${show(name)} twice but each may be there once`);
    }
  });
  return STATISTIC_NAMES.filter((name) => stats.includes(name));
}

/** The entropy that `dEntropy` is the gradient of. */
export function savedEntropy({ stats }: SavedForBackward, complaint: Complaint): AnyTensor {
  const entropy = typeof stats === "object" && stats !== null ? stats.entropy : undefined;
  if (entropy !== undefined) return entropy;
  throw complaint.type(
    `dEntropy needs saved.stats.entropy, which is ${show(entropy)}: ` +
      'the forward call makes it with stats: ["entropy"]',
  );
}

/** The results of a call by name. */
export function namedResults<T>(
  results: readonly { readonly name: OperandName; readonly tensor: T }[],
): Record<string, unknown> {
  const named: Record<string, unknown> = {}, stats: { [name in StatisticName]?: T } = {};
  for (const { name, tensor } of results) {
    if (isStatistic(name)) named["stats"] = Object.assign(stats, { [name]: tensor });
    else named[name] = tensor;
  }
  return named;
}
