// A node: an engine behind a NATS service. NATS does the finding, the statistics, the counting of errors and the draining.
import type { Msg, Subscription } from "@nats-io/nats-core";
import type { Service } from "@nats-io/services";
import { createEngine } from "../../engine/create_engine.ts";
import { Engine } from "../../engine/engine.ts";
import type { EngineOptions } from "../../engine/engine_options.ts";
import { askOnce, errorHeaders } from "../wire/ask_once.ts";
import {
  type Connection,
  type ConnectionSettings,
  connectTo,
  leave,
  onStatus,
  payloadOf,
  servicesOf,
} from "../wire/connection.ts";
import { describeError, RefusedError } from "../wire/errors.ts";
import { decode, encode, type Message, PROTOCOL } from "../wire/message.ts";
import {
  type Operation,
  OPERATIONS,
  SERVICE,
  type Subjects,
  subjectsOf,
} from "../wire/subjects.ts";
import { show } from "../../tensor/errors.ts";
import type { NodeStatus } from "../wire/requests.ts";
import { Latencies } from "./latencies.ts";
import { type Answer, attendShard, OPERATION_TABLE, type Site } from "./operations.ts";
import { Store } from "./store.ts";

/** Options of `startNode`. */
export interface NodeOptions extends ConnectionSettings {
  /** The engine that computes, or how to make one; one that is given stays the caller's. */
  readonly engine?: Engine | EngineOptions | undefined;
  /** Bytes of host tensors, for calls without a cache, that the node holds at most. Default 2 GiB. */
  readonly jobBytes?: number | undefined;
  /** Bytes of requests that may wait before the node refuses more, and clients wait. Default 256 MiB. */
  readonly pendingBytes?: number | undefined;
}

/** Names of the options of a node beside those of its connection. */
const NODE_NAMES = ["engine", "jobBytes", "pendingBytes"];

const BUDGETS = { jobBytes: 2 ** 31, pendingBytes: 2 ** 28 };

/** How many bytes a node may hold, checked. */
function budgetsOf(options: NodeOptions): typeof BUDGETS {
  const pairs = Object.entries(BUDGETS).map(([name, usual]) => {
    const value: unknown = options[name as keyof typeof BUDGETS] ?? usual;
    if (typeof value === "number" && value >= 0) return [name, value];
    throw new RangeError(
      `Cannot run startNode: ${name} is ${show(value)} but must be a number of bytes from 0 on`,
    );
  });
  return Object.fromEntries(pairs);
}

/**
 * A node of a cluster. Made by `startNode`. Other instances and clients find it through NATS.
 */
export class ClusterNode {
  readonly #connection: Connection;
  readonly #engine: Engine;
  readonly #ownEngine: boolean;
  readonly #pendingBytes: number;
  readonly #store: Store;
  readonly #subjects: Subjects;
  readonly #listening = new Map<string, Subscription>();
  readonly #site: Site;
  #service: Service | undefined;
  readonly #latencies = new Latencies();
  #pending = 0;
  #busyMs = 0;
  #leases: Subscription | undefined;
  #stopHearing = () => {};
  #closed: Promise<void> | undefined;
  #drained = () => {};
  readonly #ended: Promise<void> = new Promise((resolve) => this.#drained = resolve);

  /** Use `startNode`. */
  constructor(connection: Connection, engine: Engine, ownEngine: boolean, options: NodeOptions) {
    this.#connection = connection;
    this.#engine = engine;
    this.#ownEngine = ownEngine;
    const { jobBytes, pendingBytes } = budgetsOf(options);
    this.#pendingBytes = pendingBytes;
    this.#subjects = subjectsOf(connection.cluster);
    this.#store = new Store(engine, jobBytes, (cache, here) => this.#listen(cache, here));
    const { nats } = connection;
    this.#site = {
      store: this.#store,
      engine,
      askNode: (id) => askOnce(nats, this.#subjects, id),
      payload: () => payloadOf(nats),
      publish: (subject, text) => {
        if (!nats.isClosed() && !nats.isDraining()) nats.publish(subject, text);
      },
    };
  }

  /** Begins to serve. */
  async serve(): Promise<void> {
    const { nats, name } = this.#connection, { backend, target } = this.#engine;
    this.#service = await servicesOf(nats).add({
      name: SERVICE,
      version: "0.1.0",
      description: "attention over shards of keys and values",
      metadata: {
        node: name,
        cluster: this.#connection.cluster,
        protocol: `${PROTOCOL}`,
        backend,
        threads: `${"threads" in target ? target.threads : 1}`,
      },
      statsHandler: (endpoint) =>
        Promise.resolve(endpoint.subject.endsWith(".open") ? this.status : null),
    });
    // one subject for each instance: no other may answer, so there is no queue to share
    const group = this.#service.addGroup(this.#subjects.node(this.id));
    for (const operation of OPERATIONS) {
      group.addEndpoint(operation, (error, message) => {
        // the same message by the types of another version of the package
        if (!error) void this.#serve(operation, message as unknown as Msg);
      });
    }
    this.#leases = nats.subscribe(this.#subjects.leases, {
      callback: (error, message) => {
        if (!error) this.#store.leases.heard(message.string());
      },
    });
    // leases stand still while the server is away
    this.#stopHearing = onStatus(nats, (type) => {
      if (type === "disconnect") this.#store.leases.deaf = true;
      if (type === "reconnect") this.#store.leases.deaf = false;
    });
    await nats.flush();
  }

  /** Number of this instance: another one after a restart. */
  get id(): string {
    return this.#service?.info().id ?? "";
  }

  /** Its name. */
  get name(): string {
    return this.#connection.name;
  }

  /** What it holds and how long it has computed. */
  get status(): NodeStatus {
    const { shards, jobs } = this.#store.all;
    const rounded = (share: number) => Math.round(1000 * this.#latencies.percentile(share)!) / 1000;
    const sum = <T>(list: readonly T[], of: (one: T) => number) =>
      list.reduce((total, one) => total + of(one), 0);
    return {
      name: this.name,
      backend: this.#engine.backend,
      shards: shards.length,
      rows: sum(shards, ({ rows }) => rows),
      bytes: sum(shards, ({ bytes }) => bytes),
      jobs: jobs.length,
      jobBytes: sum(jobs, ({ bytes }) => bytes),
      pending: this.#pending,
      busyMs: Math.round(this.#busyMs),
      answered: this.#latencies.total,
      ...this.#latencies.total > 0 && { p50Ms: rounded(0.5), p99Ms: rounded(0.99) },
    };
  }

  /** Listens for the queries of a cache while it has shards of it. */
  #listen(cache: string, here: boolean): void {
    const known = this.#listening.get(cache);
    if (known && !here) {
      known.unsubscribe();
      this.#listening.delete(cache);
    }
    if (known || !here) return;
    const subscription = this.#connection.nats.subscribe(this.#subjects.cache(cache), {
      callback: (error, message) => {
        if (!error) this.#hear(cache, message);
      },
    });
    this.#listening.set(cache, subscription);
  }

  /** A query for all shards of a cache: a reply for each one that this node was chosen for. */
  #hear(cache: string, message: Msg): void {
    let read: Message, chosen: readonly number[];
    try {
      read = decode(message.data);
      chosen = (read.head["chosen"] as Record<string, number[]>)[this.id] ?? [];
    } catch {
      return; // another version: not for this node, and whoever sent it asks each node by itself next
    }
    for (const shard of this.#store.shardsOf(cache)) {
      if (!chosen.includes(shard.spec.shard)) continue;
      void this.#answer(message, () => attendShard(this.#store, shard, read));
    }
  }

  async #serve(operation: Operation, message: Msg): Promise<void> {
    await this.#answer(message, () => OPERATION_TABLE[operation](this.#site, decode(message.data)));
  }

  /** Runs what was asked and replies, whatever becomes of it. */
  async #answer(message: Msg, run: () => Promise<Answer> | Answer): Promise<void> {
    const bytes = message.data.length;
    try {
      if (this.#pending > 0 && this.#pending + bytes > this.#pendingBytes) {
        throw new RefusedError("busy", `Cannot take more: ${this.#pending} bytes of requests wait`);
      }
      this.#pending += bytes;
      try {
        const begin = performance.now(), { head, tensors } = await run(), { ms } = head;
        message.respond(encode(head, tensors));
        if (typeof ms === "number") {
          this.#busyMs += ms;
          this.#latencies.add(performance.now() - begin);
        }
      } finally {
        this.#pending -= bytes;
      }
    } catch (error) {
      refuse(message, error);
    }
  }

  /** Resolves when the node has stopped, by `drain` or because its connection was closed. */
  get closed(): Promise<void> {
    return Promise.race([this.#ended, this.#connection.nats.closed().then(() => this.#closed)]);
  }

  /** Takes no more requests, ends those that it has, and lets everything go. Safe to call twice. */
  drain(): Promise<void> {
    this.#closed ??= this.#drain();
    return this.#closed;
  }

  async #drain(): Promise<void> {
    const { nats, own } = this.#connection;
    for (const cache of [...this.#listening.keys()]) this.#listen(cache, false);
    this.#leases?.unsubscribe();
    this.#stopHearing();
    // without a server there is nobody to tell
    if (!nats.isClosed()) await this.#service?.stop().catch(() => {});
    while (this.#pending > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await this.#store.dispose();
    if (own) await leave(nats);
    if (this.#ownEngine) this.#engine.dispose();
    this.#drained();
  }
}

/** Replies with an error, in the headers that NATS services have for it, also where a plain subscription was asked. */
function refuse(message: Msg, error: unknown): void {
  const { code, text, parts } = describeError(error);
  try {
    message.respond(parts, { headers: errorHeaders(code, text) });
  } catch {
    // the connection has gone; whoever asked finds that out by itself
  }
}

/**
 * Starts a node: an engine that holds shards of caches and computes parts of calls for clients of the same cluster. It is an
 * instance of the NATS service `flashtile`, with its statistics and discovery.
 *
 * @throws {TypeError} no address or no name. @throws {ClusterError} NATS that does not answer, or refuses.
 *
 * @example
 * ```ts ignore
 * import { startNode } from "@flashtile/attention/cluster";
 *
 * const node = await startNode({ servers: "nats://127.0.0.1:4222", name: "rack-7" });
 * process.on("SIGTERM", () => node.drain());
 * await node.closed;
 * ```
 */
export async function startNode(options: NodeOptions): Promise<ClusterNode> {
  const connection = await connectTo(options, "startNode", NODE_NAMES), given = options.engine;
  const own = !(given instanceof Engine);
  let node: ClusterNode | undefined;
  try {
    const engine = own ? await createEngine(given ?? {}) : given;
    node = new ClusterNode(connection, engine, own, options);
    await node.serve();
    return node;
  } catch (error) {
    await node?.drain(); // its engine and its timers
    if (connection.own) await connection.nats.close();
    throw error;
  }
}
