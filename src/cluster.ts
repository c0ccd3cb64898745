/**
 * Attention beyond one machine: keys and values on many nodes, each a process with an engine, which find each other through
 * NATS. Partial results of disjoint keys merge into the result over all of them, so a cache of a million rows is read by all
 * nodes at once.
 *
 * @example
 * ```ts ignore
 * import { connectCluster, startNode } from "@flashtile/attention/cluster";
 *
 * // in each node's process; deno task cluster:node does this
 * await startNode({ servers: "nats://127.0.0.1:4222", name: "rack-7" });
 * // in the program that asks
 * const cluster = await connectCluster({ servers: "nats://127.0.0.1:4222", name: "chat" });
 * console.log(await cluster.nodes());
 * ```
 *
 * @module
 */
export { Cluster, connectCluster } from "./cluster/client/cluster.ts";
export type { ClusterGradients, ClusterResult } from "./cluster/client/cluster.ts";
export type { ClusterOptions, ClusterRun, ClusterSplit } from "./cluster/client/cluster_options.ts";
export { ClusterCache } from "./cluster/client/cluster_cache.ts";
export type { ClusterCacheOptions } from "./cluster/client/cache_shards.ts";
export type { ClusterAppendOptions } from "./cluster/options/append.ts";
export type { Waiting } from "./cluster/client/asker.ts";
export type { NodeInfo } from "./cluster/client/nodes.ts";
export type { CallTiming } from "./cluster/client/read_cache.ts";
export type { Split } from "./cluster/split.ts";
export { ClusterNode, startNode } from "./cluster/node/node.ts";
export type { NodeOptions } from "./cluster/node/node.ts";
export type { NodeStatus } from "./cluster/wire/requests.ts";
export type { ConnectionSettings, NatsConnectionLike } from "./cluster/wire/connection.ts";
export { ClusterError } from "./cluster/wire/errors.ts";
export type { WireType } from "./cluster/wire/narrow.ts";
export type { Engine } from "./engine/engine.ts";
export { UnsupportedError } from "./tensor/errors.ts";
export type * from "./types.ts";
