// One query of a cache: sent once to all nodes that have a shard of it, and answered by one of the holders of each. What a
// node does not answer, because it has gone, is slow, or the message was lost, is asked of another holder, or again.
import type { Msg, NatsConnection, QueuedIterator } from "@nats-io/nats-core";
import type { HostTensor } from "../../tensor/tensor.ts";
import { readReply } from "../wire/ask_once.ts";
import { encode, type Head, type Message } from "../wire/message.ts";
import { type Asker, heed, type Limits, sleep } from "./asker.ts";
import { type Ending, endingOf } from "./ending.ts";
import type { ShardedRows } from "./sharded_rows.ts";
import type { ShardPlace } from "./cache_shards.ts";
import type { NodeInfo, Nodes } from "./nodes.ts";

/** What a query is asked with. */
export interface QuerySite {
  readonly nats: NatsConnection;
  readonly asker: Asker;
  readonly nodes: Nodes;
}

/** A query on its way. */
class Query {
  readonly #site: QuerySite;
  readonly #cache: ShardedRows;
  readonly #head: Head;
  readonly #tensors: Readonly<Record<string, HostTensor>>;
  readonly #limits: Limits;
  readonly #ending: Ending;
  readonly #replies: (Message | undefined)[];
  readonly #arrived: (() => void)[];
  readonly #waits: Promise<void>[];

  constructor(
    site: QuerySite,
    cache: ShardedRows,
    head: Head,
    tensors: Readonly<Record<string, HostTensor>>,
    limits: Limits,
  ) {
    this.#site = site;
    this.#cache = cache;
    this.#head = head;
    this.#tensors = tensors;
    this.#ending = endingOf(limits);
    this.#limits = limits;
    const { places } = cache;
    this.#replies = places.map(() => undefined);
    this.#arrived = [];
    this.#waits = places.map((_, n) => new Promise<void>((resolve) => this.#arrived[n] = resolve));
  }

  #arrive(reply: Message): void {
    const shard = reply.head["shard"] as number;
    if (this.#replies[shard] === undefined) this.#replies[shard] = reply;
    this.#arrived[shard]?.();
  }

  /** Asks for one shard by itself, holder after holder. */
  async #askShard(place: ShardPlace, not: NodeInfo): Promise<void> {
    const { asker } = this.#site, { shard } = place;
    const others = () => {
      const list = place.holders, first = list.filter(({ id }) => id !== not.id);
      return [...first, ...list.filter(({ id }) => id === not.id)];
    };
    const request = encode({ ...this.#head, shard }, this.#tensors);
    const refused = (node: NodeInfo) => {
      this.#cache.drop(shard, node);
      return true;
    };
    const limits = { ...this.#ending.limits, shard };
    this.#arrive(await asker.askAny(others, "attend", request, limits, refused));
  }

  /** Sees to it that the shards that a node was chosen for are answered. */
  async #follow(
    node: NodeInfo,
    places: readonly ShardPlace[],
    impatient: Promise<void>,
    over: Promise<void>,
  ): Promise<void> {
    const { asker } = this.#site,
      watched = asker.watch(node),
      { again, stop } = asker.reconnected();
    const all = Promise.all(places.map(({ shard }) => this.#waits[shard]!)).then(() => {});
    const away = watched.gone.then(() => this.#site.nodes.suspect(node));
    try {
      const overNow = over.then(() => true);
      if (await Promise.race([all, away, again, impatient, overNow])) return;
    } finally {
      watched.stop();
      stop();
    }
    const missing = places.filter(({ shard }) => this.#replies[shard] === undefined);
    await Promise.all(missing.map((place) => this.#askShard(place, node)));
  }

  /** Reads the replies to the broadcast until it is stopped. */
  async #hear(replies: AsyncIterable<Msg>, giveUp: () => void): Promise<void> {
    try {
      for await (const message of replies) {
        try {
          this.#arrive(readReply(message));
        } catch {
          giveUp(); // a node refuses: the shards that are missing are asked by themselves, and say why
        }
      }
    } catch {
      giveUp(); // nobody listens
    }
  }

  /** Asks no more, and tells nodes that nobody waits for what they compute. */
  #giveUp(): void {
    this.#ending.end();
    const { asker } = this.#site, { places } = this.#cache, call = this.#head["call"];
    const asked = new Map(places.flatMap(({ holders }) => holders.map((node) => [node.id, node])));
    for (const node of asked.values()) asker.tell(node, "drop", { call });
  }

  /** All replies, in the order of the shards. */
  async run(): Promise<Message[]> {
    const { nats, asker, nodes } = this.#site, { id, places } = this.#cache;
    const chosen = new Map<string, { node: NodeInfo; places: ShardPlace[] }>();
    const lost: ShardPlace[] = [];
    for (const place of places) {
      const { holders } = place, node = holders.find((one) => !nodes.isSuspect(one)) ?? holders[0];
      if (!node) lost.push(place);
      else {
        const entry = chosen.get(node.id) ?? { node, places: [] };
        entry.places.push(place);
        chosen.set(node.id, entry);
      }
    }
    if (lost.length > 0) {
      await asker.askAny(() => [], "attend", new Uint8Array(), {
        ...this.#limits,
        shard: lost[0]!.shard,
      });
    }
    const table = Object.fromEntries(
      [...chosen.values()].map(({ node, places }) => [node.id, places.map(({ shard }) => shard)]),
    );
    const left = this.#limits.until - performance.now();
    const request = encode({ ...this.#head, chosen: table }, this.#tensors);
    const replies = await nats.requestMany(asker.subjects.cache(id), request, {
      strategy: "count",
      maxMessages: places.length,
      maxWait: Math.max(1, left),
    }) as QueuedIterator<Msg>;
    let giveUp = () => {};
    const refused = new Promise<void>((resolve) => giveUp = resolve);
    const patience = sleep(asker.waiting.patience);
    const impatient = Promise.race([refused, patience.promise]);
    void this.#hear(replies, giveUp);
    // where one shard fails, or the call is aborted, the others need not be looked after any more
    let end = () => {};
    const over = new Promise<void>((resolve) => end = resolve), heeded = heed(this.#limits.signal);
    const followed = [...chosen.values()].map(({ node, places }) =>
      this.#follow(node, places, impatient, over)
    );
    try {
      await Promise.race([Promise.all(followed), heeded.aborted]);
    } catch (error) {
      this.#giveUp();
      throw error;
    } finally {
      end();
      heeded.stop();
      patience.stop();
      replies.stop();
    }
    return this.#replies as Message[];
  }
}

/** Asks all shards of a cache and resolves to their replies, in the order of the shards. */
export function askShards(
  site: QuerySite,
  cache: ShardedRows,
  head: Head,
  tensors: Readonly<Record<string, HostTensor>>,
  limits: Limits,
): Promise<Message[]> {
  return new Query(site, cache, head, tensors, limits).run();
}
