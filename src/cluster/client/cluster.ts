// A client of a cluster: finds nodes, spreads caches over them, asks and merges.
import { nuid } from "@nats-io/nats-core";
import { defaultEngine } from "../../engine/create_engine.ts";
import type { Engine } from "../../engine/engine.ts";
import type {
  AttentionGradients,
  AttentionResult,
  BackwardCallOptions,
  CallOptions,
  SavedForBackward,
} from "../../problem/call_options.ts";
import { show } from "../../tensor/errors.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import type { NodeStatus } from "../wire/requests.ts";
import { type Connection, connectTo, inboxOf, leave, payloadOf } from "../wire/connection.ts";
import { ClusterError } from "../wire/errors.ts";
import { subjectsOf } from "../wire/subjects.ts";
import { Asker } from "./asker.ts";
import { checkClusterCache, type ClusterCacheOptions } from "./cache_shards.ts";
import { ClusterCache, rowsOf } from "./cluster_cache.ts";
import {
  checkRun,
  CLIENT_NAMES,
  type ClusterOptions,
  type ClusterRun,
  type ClusterSplit,
  waitingOf,
} from "./cluster_options.ts";
import type { ClusterHome } from "./home.ts";
import { hostAttention, hostBackward, type HostSite } from "./host_call.ts";
import { type NodeInfo, Nodes } from "./nodes.ts";
import { ShardedRows } from "./sharded_rows.ts";
import { type CallTiming, readCache } from "./read_cache.ts";

/** Gradients of a call of a cluster. */
export interface ClusterGradients extends AttentionGradients {
  /** What it took. */
  readonly timing: CallTiming;
}

/** Result of a call of a cluster. */
export interface ClusterResult extends AttentionResult {
  /** What it took. */
  readonly timing: CallTiming;
}

/** How many times a client says that it lives before its lease would end. */
const LEASE_BEATS = 4;

/**
 * A client of a cluster. Made by `connectCluster`.
 */
export class Cluster {
  readonly #connection: Connection;
  readonly #options: ClusterOptions;
  readonly #client: string = nuid.next();
  readonly #nodes: Nodes;
  readonly #asker: Asker;
  readonly #beat: ReturnType<typeof setInterval>;
  readonly #lease: number;
  readonly #caches = new Set<ClusterCache>();
  #known: readonly NodeInfo[] = [];
  #closing: Promise<void> | undefined;

  /** Use `connectCluster`. */
  constructor(connection: Connection, options: ClusterOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#nodes = new Nodes(connection);
    const { lease, ...waiting } = waitingOf(options);
    this.#lease = lease;
    this.#asker = new Asker(connection, this.#nodes, waiting);
    const { nats, cluster } = connection, { leases } = subjectsOf(cluster);
    this.#beat = setInterval(() => {
      if (!nats.isClosed() && !nats.isDraining()) nats.publish(leases, this.#client);
    }, this.#lease / LEASE_BEATS);
  }

  #alive(action: string): void {
    if (this.#closing) throw new TypeError(`Cannot run ${action}: the cluster was closed`);
  }

  /** The nodes that are there now, by name. */
  async nodes(): Promise<readonly NodeInfo[]> {
    this.#alive("nodes");
    this.#known = await this.#nodes.discover();
    return this.#known;
  }

  /** What each node says of itself. */
  async status(): Promise<NodeStatus[]> {
    this.#alive("status");
    const found = await this.#nodes.statistics();
    return found.flatMap(({ endpoints }) =>
      endpoints?.filter(({ name }) => name === "open").map(({ data }) => data as NodeStatus) ?? []
    ).sort((a, b) => a.name < b.name ? -1 : 1);
  }

  get #home(): ClusterHome {
    const { nats } = this.#connection;
    return {
      asker: this.#asker,
      nodes: this.#nodes,
      client: this.#client,
      lease: this.#lease,
      payload: () => payloadOf(nats),
      hear: (told) => inboxOf(nats, told),
      alive: (action) => this.#alive(action),
    };
  }

  /**
   * A cache whose rows are dealt out to the nodes that are there now. With `replicas: 2` every row is on two of them, and
   * a node may go without a loss.
   *
   * @throws {RangeError} sizes that make no sense, fewer nodes than replicas, or a node without room: its own message.
   */
  async kvCache(options: ClusterCacheOptions): Promise<ClusterCache> {
    this.#alive("kvCache");
    const nodes = await this.nodes();
    if (nodes.length === 0) {
      throw new ClusterError(
        "kvCache",
        `the cluster ${show(this.#connection.cluster)} has no node`,
      );
    }
    const shape = checkClusterCache(options, nodes.length);
    const rows = new ShardedRows(nuid.next(), shape, nodes, this.#home);
    await rows.open();
    const cache: ClusterCache = new ClusterCache(
      rows,
      this.#home,
      () => this.#caches.delete(cache),
    );
    this.#caches.add(cache);
    return cache;
  }

  /**
   * Attention of q over a cache of the cluster, as `engine.attention` over a cache of its own: q goes to all shards, their
   * results are merged in the order of the shards, whatever order they come in.
   *
   * @throws {UnsupportedError} an option that a shard cannot apply. @throws {ClusterError} a shard whose nodes do not answer
   * within the deadline, by its number and the name of the node.
   */
  attention(
    q: HostTensor,
    cache: ClusterCache,
    options?: CallOptions & ClusterRun,
  ): Promise<ClusterResult>;
  /**
   * Attention over host tensors, split by keys over the nodes that were there when they were last asked for (`nodes`), or by
   * heads. Options mean what they mean in one engine.
   */
  attention(
    q: HostTensor,
    k: HostTensor,
    v: HostTensor,
    options?: CallOptions & ClusterRun & ClusterSplit,
  ): Promise<ClusterResult>;
  async attention(
    q: HostTensor,
    k: HostTensor | ClusterCache,
    v: HostTensor | CallOptions & ClusterRun = {},
    options: CallOptions & ClusterRun & ClusterSplit = {},
  ): Promise<ClusterResult> {
    this.#alive("attention");
    checkRun("attention", k instanceof ClusterCache ? v as ClusterRun : options);
    if (!(k instanceof ClusterCache)) {
      const { site, call } = await this.#hostSite("attention", options);
      return await hostAttention(site, q, k, v as HostTensor, call);
    }
    const { wire = this.#options.wire ?? "f32", signal, ...call } = v as CallOptions & ClusterRun;
    const limits = this.#asker.limits("attention", signal), { nats } = this.#connection;
    const site = { ...this.#home, nats, engine: this.#engine };
    if (k.disposed) throw new TypeError("Cannot run attention: the cache was disposed");
    const rows = rowsOf(k);
    return await rows.read(() => readCache(site, rows, q, call, wire, limits));
  }

  /**
   * Gradients of attention over host tensors, split likewise: those of k and v come from the node that has these keys, that of
   * q is the sum of the parts, in their order. `options` must be those of the forward call.
   */
  async attentionBackward(
    dOut: HostTensor,
    saved: SavedForBackward<HostTensor, HostTensor, HostTensor>,
    options: BackwardCallOptions & ClusterRun & ClusterSplit = {},
  ): Promise<ClusterGradients> {
    this.#alive("attentionBackward");
    checkRun("attentionBackward", options);
    const { site, call } = await this.#hostSite("attentionBackward", options);
    return await hostBackward(site, dOut, saved, call);
  }

  readonly #engine = (): Engine => this.#options.engine ?? defaultEngine();

  /** How a call over host tensors runs, and what is left of its options. */
  async #hostSite<O extends ClusterRun & ClusterSplit>(
    action: string,
    options: O,
  ): Promise<{ site: HostSite; call: Omit<O, keyof ClusterRun | keyof ClusterSplit> }> {
    const { wire = this.#options.wire ?? "f32", signal, split, ...call } = options;
    const limits = this.#asker.limits(action, signal);
    // a client may have been there before the nodes
    const nodes = this.#known.length > 0 ? this.#known : await this.nodes();
    if (nodes.length === 0) {
      throw new ClusterError(action, `the cluster ${show(this.#connection.cluster)} has no node`);
    }
    const name = nuid.next();
    const site = { home: this.#home, engine: this.#engine, nodes, split, wire, limits, name };
    return { site, call };
  }

  /** Lets all caches go and closes the connection, where it is the cluster's own. Safe to call twice. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.allSettled([...this.#caches].map((cache) => cache.dispose()));
    clearInterval(this.#beat);
    this.#asker.stop();
    if (this.#connection.own) await leave(this.#connection.nats);
  }

  /** Same as `close`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Connects to the nodes that share a cluster's name on some NATS servers.
 *
 * @throws {TypeError} no address or no name. @throws {ClusterError} NATS that does not answer, or refuses.
 *
 * @example
 * ```ts ignore
 * import { connectCluster } from "@flashtile/attention/cluster";
 *
 * const cluster = await connectCluster({ servers: "nats://127.0.0.1:4222", name: "chat" });
 * const cache = await cluster.kvCache({
 *   sequences: 4,
 *   kvHeads: 8,
 *   headDim: 64,
 *   pages: 4096,
 *   dtype: "f16",
 *   replicas: 2,
 * });
 * const rows = (heads: number) => ({ data: new Float32Array(heads * 64), shape: [1, 1, heads, 64] });
 * await cache.append(rows(8), rows(8), { sequences: [0] });
 * const { out } = await cluster.attention(rows(32), cache, { causal: true, sequences: [0] });
 * console.log(out.shape); // [1, 1, 32, 64]
 * await cluster.close();
 * ```
 */
export async function connectCluster(options: ClusterOptions): Promise<Cluster> {
  const connection = await connectTo(options, "connectCluster", CLIENT_NAMES);
  let cluster: Cluster | undefined;
  try {
    cluster = new Cluster(connection, options);
    await cluster.nodes();
    return cluster;
  } catch (error) {
    await cluster?.close();
    if (connection.own) await leave(connection.nats);
    throw error;
  }
}
