// The shards of a cache as the client knows them: which nodes have which, and how full each is.
import { type CacheShape, checkCacheOptions } from "../../cache/cache_options.ts";
import { PageTables } from "../../cache/page_tables.ts";
import type { OwnedRows, StripeShape } from "../stripes.ts";
import type { ShardSpec } from "../wire/requests.ts";
import type { NodeInfo } from "./nodes.ts";

/** Options of a cache of a cluster: those of a paged cache, and how it is spread. */
export interface ClusterCacheOptions {
  /** Sequences that the cache can hold, numbered from 0. */
  readonly sequences: number;
  /** Heads of keys and values. */
  readonly kvHeads: number;
  /** Columns of a key. */
  readonly headDim: number;
  /** Columns of a value. Default headDim. */
  readonly valueDim?: number | undefined;
  /** How rows are stored. Default `"f32"`. */
  readonly dtype?: "f32" | "f16" | "bf16" | "i8" | undefined;
  /** Rows of a page. Default 64. */
  readonly pageSize?: number | undefined;
  /** Pages of all shards together, each row counted once. */
  readonly pages: number;
  /** Nodes that hold each row. Default 1. */
  readonly replicas?: number | undefined;
  /** Parts that rows are dealt out to. Default: one for each node. */
  readonly shards?: number | undefined;
  /** Consecutive rows of a sequence that go to one shard. Default 256. */
  readonly stripe?: number | undefined;
}

/** A checked description. */
export interface ClusterCacheShape extends StripeShape {
  readonly shape: CacheShape;
  readonly spec: Omit<ShardSpec, "shard">;
  readonly replicas: number;
}

const OWN = ["replicas", "shards", "stripe"];

/** Throws unless the options describe a cache that so many nodes can hold. */
export function checkClusterCache(options: ClusterCacheOptions, nodes: number): ClusterCacheShape {
  const { replicas = 1, shards = nodes, stripe = 256, pageSize = 64 } = options ?? {};
  const shape = checkCacheOptions(options && { ...options, pageSize }, OWN);
  for (const [name, value] of Object.entries({ replicas, shards, stripe })) {
    if (Number.isSafeInteger(value) && value >= 1 && value < 2 ** 31) continue;
    throw new RangeError(
      `Cannot run kvCache: ${name} is ${value} but must be an integer from 1 to 2^31 - 1`,
    );
  }
  if (replicas > nodes) {
    throw new RangeError(
      `Cannot run kvCache: replicas is ${replicas} but the cluster has ${nodes} nodes`,
    );
  }
  const { sequences, keys, values } = shape;
  const spec = {
    shards,
    stripe,
    sequences,
    kvHeads: keys.heads,
    headDim: keys.columns,
    valueDim: values.columns,
    dtype: keys.dtype as ShardSpec["dtype"],
    pageSize,
    pages: Math.ceil(options.pages / shards),
  };
  return { shape, spec, shards, stripe, replicas };
}

/** One shard: who has it. */
export interface ShardPlace {
  readonly shard: number;
  /** The nodes that have all of its rows; the first one is asked. */
  holders: NodeInfo[];
  /** Changes that concerned it. */
  version: number;
}

/** Spreads shards over nodes: each has about as many, and replicas of one are on different nodes. */
export function placeShards(
  nodes: readonly NodeInfo[],
  shards: number,
  replicas: number,
): ShardPlace[] {
  return Array.from({ length: shards }, (_, shard) => ({
    shard,
    holders: Array.from({ length: replicas }, (_, n) => nodes[(shard + n) % nodes.length]!),
    version: 0,
  }));
}

/** The pages of a shard as its nodes have them, forks included: the client says no before it sends anything. */
export function shardPages({ shape, spec }: ClusterCacheShape): PageTables {
  return new PageTables({ ...shape, keys: { ...shape.keys, pages: spec.pages } });
}

/** Rows that a shard gets of some sequences. */
export function rowsOfShard(
  owned: readonly (OwnedRows & { readonly sequence: number })[],
  shard: number,
): readonly [sequences: readonly number[], rows: readonly number[]] {
  const here = owned.filter((part) => part.shard === shard);
  return [here.map(({ sequence }) => sequence), here.map(({ rows }) => rows)];
}

/** Throws where a shard has no room for rows: nothing has been sent then. */
export function checkRoom(
  { spec }: ClusterCacheShape,
  pages: readonly PageTables[],
  owned: readonly (OwnedRows & { readonly sequence: number })[],
): void {
  pages.forEach((tables, shard) => {
    const wanted = tables.pagesFor(...rowsOfShard(owned, shard));
    if (wanted <= tables.free) return;
    throw new RangeError(
      `Cannot run append: shard ${shard} has ${tables.free} free pages of ${spec.pages} but ` +
        `${wanted} were wanted for ${owned.reduce((sum, { rows }) => sum + rows, 0)} rows`,
    );
  });
}

/** What one message to a shard carries. */
export interface AppendMessage {
  readonly shard: number;
  readonly sequences: number[];
  readonly from: number[];
  readonly rows: number[];
  /** Where its rows are: the number of the sequence in the call, and rows of it. */
  readonly pieces: { readonly index: number; readonly first: number; readonly end: number }[];
}

/** Messages of at most so many rows, those of a shard in order. */
export function appendMessages(
  owned: readonly (OwnedRows & { readonly sequence: number; readonly index: number })[],
  most: number,
): Map<number, AppendMessage[]> {
  const messages = new Map<number, AppendMessage[]>();
  for (const { shard, sequence, index, pieces, from } of owned) {
    const list = messages.get(shard) ?? [];
    messages.set(shard, list);
    let at = from;
    for (let { first, end } of pieces) {
      while (first < end) {
        let last = list.at(-1);
        const held = last ? last.rows.reduce((a, b) => a + b, 0) : most;
        if (!last || held >= most) {
          list.push(last = { shard, sequences: [], from: [], rows: [], pieces: [] });
        }
        const take = Math.min(end - first, held >= most ? most : most - held);
        if (last.sequences.at(-1) !== sequence) {
          last.sequences.push(sequence);
          last.from.push(at);
          last.rows.push(0);
        }
        last.rows[last.rows.length - 1]! += take;
        last.pieces.push({ index, first, end: first + take });
        first += take;
        at += take;
      }
    }
  }
  return messages;
}
