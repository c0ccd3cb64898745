// Asking nodes until one of them has answered: again where a message may be lost, elsewhere where a node has gone, and not
// longer than the call may take. Every request is safe to repeat.
import type { HostTensor } from "../../tensor/tensor.ts";
import type { AbortSignalLike } from "../../backend/backend.ts";
import { readReply } from "../wire/ask_once.ts";
import { type Connection, onStatus } from "../wire/connection.ts";
import { ClusterError, RefusedError } from "../wire/errors.ts";
import { encode, type Head, type Message } from "../wire/message.ts";
import { type Operation, type Subjects, subjectsOf } from "../wire/subjects.ts";
import type { Ask } from "../wire/transfer.ts";
import { isAbsent, isCutOff, isLate, type NodeInfo, type Nodes } from "./nodes.ts";

/** How long a client waits, in milliseconds. */
export interface Waiting {
  /** For a call in all. Default 30000. */
  readonly deadline: number;
  /**
   * For a node that the server does not know, before it counts as gone for good; four times as long where the server itself
   * has just come back. Default 1000.
   */
  readonly grace: number;
  /** For a node that is there and does not answer, before it is asked again, or another one. Default 5000. */
  readonly patience: number;
}

/** What a call may take, and what it is called. */
export interface Limits {
  readonly action: string;
  /** A time of `performance.now()`. */
  readonly until: number;
  readonly signal?: AbortSignalLike | undefined;
  readonly shard?: number | undefined;
}

/** Why an attempt had no answer. */
type Miss = "gone" | "late" | "reconnected";

class MissError extends Error {
  readonly miss: Miss;
  constructor(miss: Miss) {
    super(miss);
    this.miss = miss;
  }
}

/** Before a node that does not answer is looked for, and how that grows: a decode step is shorter than this. */
const FIRST_LOOK_MS = 20, LOOK_GROWS = 1.5, MOST_LOOK_MS = 250;
/** Between two tries where nobody is there. */
const RETRY_MS = 50;

/** A wait that can be given up. */
export function sleep(ms: number): { readonly promise: Promise<void>; readonly stop: () => void } {
  let timer: ReturnType<typeof setTimeout>;
  const promise = new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
  return { promise, stop: () => clearTimeout(timer) };
}

/** How often a signal is asked whether it was aborted, in milliseconds; not all have events. */
const HEED_MS = 25;

/** Rejects with the reason of a signal once it is aborted; `stop` ends the looking. */
export function heed(
  signal: AbortSignalLike | undefined,
): { readonly aborted: Promise<never>; readonly stop: () => void } {
  let timer: ReturnType<typeof setInterval> | undefined;
  const aborted = new Promise<never>((_, reject) => {
    if (!signal) return;
    timer = setInterval(() => {
      try {
        signal.throwIfAborted();
      } catch (error) {
        clearInterval(timer);
        reject(error);
      }
    }, HEED_MS);
  });
  aborted.catch(() => {}); // who waits for it hears of it by a race
  return { aborted, stop: () => clearInterval(timer) };
}

/** Asks nodes. */
export class Asker {
  readonly #connection: Connection;
  readonly #nodes: Nodes;
  readonly subjects: Subjects;
  readonly waiting: Waiting;
  /** Ends the listening to the connection, which may live on. */
  readonly stop: () => void;
  /** When the server came back last, and the nodes that have answered since. */
  #cameBack = -Infinity;
  readonly #returned = new Set<string>();
  /** Whom to tell that the server is there again. A promise for all would keep what waited for it until then. */
  readonly #waiters = new Set<() => void>();

  constructor(connection: Connection, nodes: Nodes, waiting: Waiting) {
    this.#connection = connection;
    this.#nodes = nodes;
    this.subjects = subjectsOf(connection.cluster);
    this.waiting = waiting;
    this.stop = onStatus(connection.nats, (type) => {
      if (type !== "reconnect") return;
      this.#cameBack = performance.now();
      this.#returned.clear();
      for (const tell of [...this.#waiters]) tell();
    });
  }

  /** Resolves the next time that the server is there again: what was under way may be lost. */
  reconnected(): { readonly again: Promise<void>; readonly stop: () => void } {
    let tell = () => {};
    const again = new Promise<void>((resolve) => tell = resolve);
    this.#waiters.add(tell);
    return { again, stop: () => this.#waiters.delete(tell) };
  }

  /** How long a node may be away: longer where the server was away itself, and the node may be on its way back to it. */
  #graceOf({ id }: NodeInfo): number {
    const { grace } = this.waiting, recent = performance.now() - this.#cameBack < 10 * grace;
    return recent && !this.#returned.has(id) ? 4 * grace : grace;
  }

  /** Limits of a call that begins now. */
  limits(action: string, signal?: AbortSignalLike): Limits {
    signal?.throwIfAborted();
    return { action, until: performance.now() + this.waiting.deadline, signal };
  }

  /** Limits of what is only tidying up: long enough to find out that a node has gone. */
  shortLimits(action: string): Limits {
    const { deadline, grace } = this.waiting;
    return { action, until: performance.now() + Math.min(deadline, 2 * grace) };
  }

  /** Resolves when a node that was asked has gone; `stop` ends the looking. */
  watch(node: NodeInfo): { readonly gone: Promise<void>; readonly stop: () => void } {
    let timer: ReturnType<typeof setTimeout> | undefined, stopped = false;
    const gone = new Promise<void>((resolve) => {
      const look = (ms: number) => {
        timer = setTimeout(async () => {
          const away = await this.#nodes.gone(node);
          if (stopped) return;
          if (away) resolve();
          else look(Math.min(ms * LOOK_GROWS, MOST_LOOK_MS));
        }, ms);
      };
      look(FIRST_LOOK_MS);
    });
    const stop = () => {
      stopped = true;
      clearTimeout(timer);
    };
    return { gone, stop };
  }

  /** Sends a request to one node once. */
  async #attempt(
    node: NodeInfo,
    operation: Operation,
    request: Uint8Array,
    ms: number,
    signal: AbortSignalLike | undefined,
  ): Promise<Message> {
    const watched = this.watch(node), { again, stop } = this.reconnected(), heeded = heed(signal);
    const subject = this.subjects.operation(node.id, operation);
    const miss = (why: Miss) => () => {
      throw new MissError(why);
    };
    const reply = this.#connection.nats.request(subject, request, { timeout: Math.max(1, ms) });
    reply.catch(() => {}); // it may fail after another one was taken
    try {
      const message = await Promise.race([
        reply,
        watched.gone.then(miss("gone")),
        again.then(miss("reconnected")),
        heeded.aborted,
      ]);
      this.#nodes.clear(node);
      if (this.#cameBack > 0) this.#returned.add(node.id);
      return readReply(message);
    } catch (error) {
      if (isAbsent(error)) throw new MissError("gone");
      if (isLate(error)) throw new MissError("late");
      if (isCutOff(error)) throw new MissError("reconnected");
      throw error;
    } finally {
      watched.stop();
      heeded.stop();
      stop();
    }
  }

  /**
   * Asks one of some nodes after the other until one has answered. `refused`: what to do where a node has not what is asked
   * for; the error is thrown where that returns false.
   */
  async askAny(
    candidates: () => readonly NodeInfo[],
    operation: Operation,
    request: Uint8Array,
    limits: Limits,
    refused: (node: NodeInfo, error: RefusedError) => boolean = () => false,
  ): Promise<Message> {
    const { action, signal, shard } = limits, absent = new Map<string, number>();
    let { patience } = this.waiting, last: NodeInfo | undefined;
    for (let turn = 0;; turn++) {
      signal?.throwIfAborted();
      const { until } = limits; // it may have come nearer
      const list = candidates(), now = performance.now(), where = { shard, node: last?.name };
      if (list.length === 0) throw new ClusterError(action, "no node has its rows any more", where);
      if (now >= until) {
        throw new ClusterError(action, `no answer within ${this.waiting.deadline} ms`, where);
      }
      const there = list.filter(({ id }) => !absent.has(id));
      if (there.length === 0) {
        if (list.every((node) => now - absent.get(node.id)! > this.#graceOf(node))) {
          throw new ClusterError(action, "the node is gone", where);
        }
        await sleep(RETRY_MS).promise;
      }
      const from = there.length > 0 ? there : list, node = last = from[turn % from.length]!;
      try {
        const ms = Math.min(patience, until - now);
        return await this.#attempt(node, operation, request, ms, signal);
      } catch (error) {
        if (error instanceof RefusedError) {
          if (error.refusal === "busy") await sleep(RETRY_MS).promise;
          else if (!refused(node, error)) {
            throw new ClusterError(action, error.message, { shard, node: node.name }, error);
          }
          continue;
        }
        if (!(error instanceof MissError)) throw error;
        if (error.miss === "reconnected") {
          absent.clear();
          await sleep(RETRY_MS).promise;
        }
        if (error.miss === "late") patience *= 2;
        if (error.miss === "gone") {
          this.#nodes.suspect(node);
          if (!absent.has(node.id)) absent.set(node.id, performance.now());
        }
      }
    }
  }

  /** Asks one node. */
  async ask(
    node: NodeInfo,
    operation: Operation,
    head: Head,
    tensors: Readonly<Record<string, HostTensor>>,
    limits: Limits,
  ): Promise<Message> {
    return await this.askAny(() => [node], operation, encode(head, tensors), limits);
  }

  /** Says something to a node, and does not wait for an answer. */
  tell(node: NodeInfo, operation: Operation, head: Head): void {
    const { nats } = this.#connection;
    if (nats.isClosed() || nats.isDraining()) return;
    nats.publish(this.subjects.operation(node.id, operation), encode(head));
  }

  /** The same as a function of what is asked. */
  of(node: NodeInfo, limits: Limits): Ask {
    return (operation, head, tensors = {}) => this.ask(node, operation, head, tensors, limits);
  }
}
