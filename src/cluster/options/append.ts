// Options of an append to a cache of a cluster.
import type { AppendOptions } from "../../cache/append.ts";
import { UnsupportedError } from "../../tensor/errors.ts";

/** Options that `append` of a cache of a cluster has. */
export type ClusterAppendOptions = Omit<AppendOptions, "rotary">;

/** Throws where there is one that a shard cannot apply, as it does not know the numbers of its rows. */
export function refuseAppend(options: AppendOptions | null): void {
  if (options?.rotary === undefined) return; // what is no object is refused with the rest
  const remedy = "rotate k with applyRotary before";
  throw new UnsupportedError("rotary of an append to a cluster", "cluster", remedy);
}
