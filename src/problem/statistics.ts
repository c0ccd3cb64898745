// The option `stats`.
import { type Complaint, show } from "../tensor/errors.ts";
import { STATISTIC_NAMES, type StatisticName } from "../tensor/operands.ts";
import type { AnyTensor } from "../tensor/tensor.ts";
import type { SavedForBackward } from "./call_options.ts";

/** Whether this is the name of one. */
export const isStatistic = (name: unknown): name is StatisticName =>
  STATISTIC_NAMES.includes(name as StatisticName);

/** The statistics that are asked for, in the order of the table. */
export function parseStatistics(stats: unknown, complaint: Complaint): StatisticName[] {
  if (stats === undefined) return [];
  const wanted = STATISTIC_NAMES.map((name) => `"${name}"`).join(", ");
  if (!Array.isArray(stats)) {
    throw complaint.type(`stats is ${show(stats)} but must be an array of ${wanted}`);
  }
  if (stats.length > STATISTIC_NAMES.length) {
    throw complaint.type(`stats has ${stats.length} entries but must be an array of ${wanted}`);
  }
  Array.from(stats, (name, n) => {
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
