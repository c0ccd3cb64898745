// The nodes as a client sees them: who is there, and who has gone. NATS knows both: services answer a broadcast, and the server
// says at once that nobody listens on the subject of an instance whose connection has closed.
import { NoRespondersError, RequestError, TimeoutError } from "@nats-io/nats-core";
import type { ServiceStats } from "@nats-io/services";
import { type Connection, servicesOf } from "../wire/connection.ts";
import { PROTOCOL } from "../wire/message.ts";
import { SERVICE } from "../wire/subjects.ts";

/** An instance of a node. */
export interface NodeInfo {
  /** Of the instance: another one after a restart. */
  readonly id: string;
  /** What it was called when it was started. */
  readonly name: string;
  /** What computes there: `"wasm"` or `"webgpu"`. */
  readonly backend: string;
}

/** Nothing listens where a request went. */
export function isAbsent(error: unknown): boolean {
  return error instanceof NoRespondersError ||
    error instanceof RequestError && error.isNoResponders();
}

/** No reply in time. */
export function isLate(error: unknown): boolean {
  return error instanceof TimeoutError ||
    error instanceof Error && error.cause instanceof TimeoutError;
}

/** The link to the server broke while a request was under way; the connection looks for the server by itself. */
export function isCutOff(error: unknown): boolean {
  return error instanceof RequestError && !error.isNoResponders();
}

/** How long an instance may take to answer a ping before it is only slow, in milliseconds. */
const PING_MS = 250;
/** A node that was gone is asked whether it is back this often at most. */
const LOOK_AGAIN_MS = 500;

/** The nodes of a cluster. */
export class Nodes {
  readonly #connection: Connection;
  readonly #suspects = new Map<string, number>();
  readonly #pings = new Map<string, Promise<boolean>>();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Who is there, by name. */
  async discover(): Promise<NodeInfo[]> {
    const { nats, cluster } = this.#connection, found: NodeInfo[] = [];
    try {
      for await (const { id, metadata } of await servicesOf(nats).client().info(SERVICE)) {
        const { node, protocol, backend = "", cluster: theirs } = metadata ?? {};
        if (theirs !== cluster || protocol !== `${PROTOCOL}` || !node) continue;
        found.push({ id, name: node, backend });
      }
    } catch (error) {
      if (!isAbsent(error)) throw error;
    }
    const key = ({ name, id }: NodeInfo) => `${name} ${id}`;
    return found.sort((a, b) => key(a) < key(b) ? -1 : 1);
  }

  /** What the services of all nodes say of themselves. */
  async statistics(): Promise<ServiceStats[]> {
    const { nats, cluster } = this.#connection, found: ServiceStats[] = [];
    try {
      for await (const stats of await servicesOf(nats).client().stats(SERVICE)) {
        if (stats.metadata?.["cluster"] === cluster) found.push(stats);
      }
    } catch (error) {
      if (!isAbsent(error)) throw error;
    }
    return found;
  }

  /** Whether an instance has gone: the server knows of nobody there. One that is slow has not. */
  gone({ id }: NodeInfo): Promise<boolean> {
    const known = this.#pings.get(id);
    if (known) return known;
    const asked = this.#connection.nats.request(`$SRV.PING.${SERVICE}.${id}`, "", {
      timeout: PING_MS,
    }).then(() => false, isAbsent).finally(() => this.#pings.delete(id));
    this.#pings.set(id, asked);
    return asked;
  }

  /** Remembers that a node did not answer: others are asked first. */
  suspect({ id }: NodeInfo): void {
    if (!this.#suspects.has(id)) this.#suspects.set(id, performance.now());
  }

  /** It has answered. */
  clear({ id }: NodeInfo): void {
    this.#suspects.delete(id);
  }

  /** Whether others should be asked first; finds out on the side whether that is still so. */
  isSuspect(node: NodeInfo): boolean {
    const since = this.#suspects.get(node.id), now = performance.now();
    if (since === undefined) return false;
    if (now - since > LOOK_AGAIN_MS) {
      this.#suspects.set(node.id, now);
      void this.gone(node).then((gone) => gone || this.clear(node));
    }
    return true;
  }
}
