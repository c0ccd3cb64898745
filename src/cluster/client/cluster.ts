// A client of a cluster: finds nodes, spreads caches over them, asks and merges.
import { nuid } from "@nats-io/nats-core";
import type { AbortSignalLike } from "../../backend/backend.ts";
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
import {
  type Connection,
  type ConnectionSettings,
  connectTo,
  leave,
  payloadOf,
} from "../wire/connection.ts";
import { ClusterError } from "../wire/errors.ts";
import type { WireType } from "../wire/narrow.ts";
import { subjectsOf } from "../wire/subjects.ts";
import { Asker, type Waiting } from "./asker.ts";
import { checkClusterCache, type ClusterCacheOptions } from "./cache_shards.ts";
import { ClusterCache, rowsOf } from "./cluster_cache.ts";
import type { ClusterHome } from "./home.ts";
import type { Split } from "../split.ts";
import { hostAttention, hostBackward, type HostSite } from "./host_call.ts";
import { type NodeInfo, Nodes } from "./nodes.ts";
import { ShardedRows } from "./sharded_rows.ts";
import { type CallTiming, readCache } from "./read_cache.ts";

/** Options of `connectCluster`. */
export interface ClusterOptions extends ConnectionSettings, Partial<Waiting> {
  /** The engine that merges results. Default: that of calls that name none. */
  readonly engine?: Engine | undefined;
  /** How float32 values travel: as they are, or rounded to `"bf16"`, half the bytes. Default `"f32"`. */
  readonly wire?: WireType | undefined;
  /** Milliseconds after which nodes forget what this client has there when it is not heard of. Default 60000. */
  readonly lease?: number | undefined;
}

/** How a call of a cluster runs. */
export interface ClusterRun {
  /** As the option of `connectCluster`, for this call. */
  readonly wire?: WireType | undefined;
  /** Stops asking; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignalLike | undefined;
}

/** How a call over host tensors is split. */
export interface ClusterSplit {
  /**
   * `"contiguous"`: each node has neighbouring keys; `"zigzag"`: two runs of keys that add up to even work where queries see
   * the keys before them; `"heads"`: kv heads in place of keys, and no merge. Default: zigzag where the call is causal.
   */
  readonly split?: Split | undefined;
}

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

const DEFAULTS: Waiting = { deadline: 30_000, grace: 1000, patience: 5000 };
/** Throws where a call names an engine: nodes have theirs, and that which merges is the cluster's. */
function refuseEngine(action: string, options: object): void {
  if (!("engine" in options) || options.engine === undefined) return;
  throw new TypeError(
    `Cannot run ${action}: engine is given, but connectCluster takes the one that merges`,
  );
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
  readonly #caches = new Set<ClusterCache>();
  #known: readonly NodeInfo[] = [];
  #closed = false;

  /** Use `connectCluster`. */
  constructor(connection: Connection, options: ClusterOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#nodes = new Nodes(connection);
    const { deadline, grace, patience } = { ...DEFAULTS, ...options };
    this.#asker = new Asker(connection, this.#nodes, {
      deadline: deadline ?? DEFAULTS.deadline,
      grace: grace ?? DEFAULTS.grace,
      patience: patience ?? DEFAULTS.patience,
    });
    const { nats, cluster } = connection, { leases } = subjectsOf(cluster);
    this.#beat = setInterval(() => {
      if (!nats.isClosed() && !nats.isDraining()) nats.publish(leases, this.#client);
    }, this.#lease / LEASE_BEATS);
  }

  get #lease(): number {
    return this.#options.lease ?? 60_000;
  }

  #alive(action: string): void {
    if (this.#closed) throw new TypeError(`Cannot run ${action}: the cluster was closed`);
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
    const cache = new ClusterCache(rows, this.#home);
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
    refuseEngine("attention", k instanceof ClusterCache ? v : options);
    if (!(k instanceof ClusterCache)) {
      const { site, call } = this.#hostSite("attention", options);
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
    refuseEngine("attentionBackward", options);
    const { site, call } = this.#hostSite("attentionBackward", options);
    return await hostBackward(site, dOut, saved, call);
  }

  readonly #engine = (): Engine => this.#options.engine ?? defaultEngine();

  /** How a call over host tensors runs, and what is left of its options. */
  #hostSite<O extends ClusterRun & ClusterSplit>(
    action: string,
    options: O,
  ): { site: HostSite; call: Omit<O, keyof ClusterRun | keyof ClusterSplit> } {
    const { wire = this.#options.wire ?? "f32", signal, split, ...call } = options;
    const limits = this.#asker.limits(action, signal), nodes = this.#known;
    if (nodes.length === 0) {
      throw new ClusterError(action, `the cluster ${show(this.#connection.cluster)} has no node`);
    }
    if (split !== undefined && !["contiguous", "zigzag", "heads"].includes(split)) {
      throw new TypeError(
        `Cannot run ${action}: split is ${
          show(split)
        } but must be "contiguous", "zigzag" or "heads"`,
      );
    }
    const name = nuid.next();
    const site = { home: this.#home, engine: this.#engine, nodes, split, wire, limits, name };
    return { site, call };
  }

  /** Lets all caches go and closes the connection, where it is the cluster's own. Safe to call twice. */
  async close(): Promise<void> {
    if (this.#closed) return;
    await Promise.allSettled([...this.#caches].map((cache) => cache.dispose()));
    this.#closed = true;
    clearInterval(this.#beat);
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
  const connection = await connectTo(options, "connectCluster");
  const cluster = new Cluster(connection, options);
  await cluster.nodes();
  return cluster;
}
