// Replicas that were lost with their nodes, made anew on others.
import type { PageTables } from "../../cache/page_tables.ts";
import type { CopiedSequence, CopyHead } from "../wire/requests.ts";
import type { ClusterHome } from "./home.ts";
import type { ClusterCacheShape, ShardPlace } from "./cache_shards.ts";
import type { NodeInfo } from "./nodes.ts";
import { ClusterError } from "../wire/errors.ts";

/** Deadlines of calls that the copy of a shard may take: it may have gigabytes. */
const COPY_DEADLINES = 20;

/** The node with the fewest shards of those that do not have this one. */
function target(
  place: ShardPlace,
  places: readonly ShardPlace[],
  nodes: readonly NodeInfo[],
): NodeInfo | undefined {
  const load = (node: NodeInfo) =>
    places.filter(({ holders }) => holders.some(({ id }) => id === node.id)).length;
  const free = nodes.filter(({ id }) => place.holders.every((holder) => holder.id !== id));
  return free.sort((a, b) => load(a) - load(b))[0];
}

/** The sequences of a shard that have rows, each with what it shares with one before it. */
export function copiesOf(pages: PageTables): CopiedSequence[] {
  const copied: CopiedSequence[] = [];
  for (const [sequence, length] of pages.lengths.entries()) {
    if (length === 0) continue;
    let like: number | undefined, rows = 0;
    for (const { sequence: other } of copied) {
      const shared = pages.shared(sequence, other);
      if (shared > rows) [like, rows] = [other, shared];
    }
    copied.push({ sequence, length, like, rows });
  }
  return copied;
}

/** Copies what is missing; a node that cannot take it is passed over. */
export async function repairShards(
  home: ClusterHome,
  cache: string,
  { spec, replicas }: ClusterCacheShape,
  places: readonly ShardPlace[],
  sequencesOf: (shard: number) => readonly CopiedSequence[],
): Promise<void> {
  const { asker, client, lease } = home, owner = { client, lease };
  let nodes = await home.nodes.discover();
  for (const place of places) {
    // instances that are no more have lost their rows, whatever name the next one has
    for (const node of place.holders) {
      if (!nodes.some(({ id }) => id === node.id) && await home.nodes.gone(node)) {
        place.holders = place.holders.filter(({ id }) => id !== node.id);
      }
    }
  }
  for (const place of places) {
    while (place.holders.length > 0 && place.holders.length < replicas) {
      const node = target(place, places, nodes), { shard, version } = place;
      if (!node) break;
      const sequences = sequencesOf(shard), { holders } = place;
      const from = (holders.find((holder) => !home.nodes.isSuspect(holder)) ?? holders[0]!).id;
      const copy: CopyHead = { cache, from, spec: { ...spec, shard }, owner, sequences, version };
      try {
        const until = performance.now() + COPY_DEADLINES * asker.waiting.deadline;
        const limits = { action: "repair", until, shard };
        await asker.ask(node, "copy", { ...copy }, {}, limits);
        place.holders.push(node);
      } catch (error) {
        if (!(error instanceof ClusterError || error instanceof RangeError)) throw error;
        nodes = nodes.filter(({ id }) => id !== node.id);
      }
    }
  }
}
