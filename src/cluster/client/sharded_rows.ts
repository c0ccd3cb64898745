// The rows of a cache on their nodes: what all changes and calls of a cache share. Changes come one after the other; calls that
// read go beside each other, and say themselves how many rows they see.
import type { Append } from "../../cache/append.ts";
import { emptySequence, type PageTables } from "../../cache/page_tables.ts";
import { Complaint } from "../../tensor/errors.ts";
import { dealRows, localLength, startOf } from "../stripes.ts";
import { encode, type Head } from "../wire/message.ts";
import { windowed } from "../wire/transfer.ts";
import { messageTensors } from "./append_rows.ts";
import type { Limits } from "./asker.ts";
import {
  type AppendMessage,
  appendMessages,
  checkRoom,
  type ClusterCacheShape,
  placeShards,
  rowsOfShard,
  shardPages,
  type ShardPlace,
} from "./cache_shards.ts";
import type { ClusterHome } from "./home.ts";
import type { NodeInfo } from "./nodes.ts";
import { copiesOf, repairShards } from "./repair.ts";

/** Bytes of an element on the wire at most: what f32 takes. */
const F32 = 4;
/** Bytes of what the header says of a row that is a sequence's only one: three numbers. */
const SAID_OF_ROW = 36;

/** The rows of one cache. */
export class ShardedRows {
  readonly id: string;
  readonly shape: ClusterCacheShape;
  readonly places: readonly ShardPlace[];
  readonly lengths: Int32Array;
  /** The shard where each sequence begins. */
  readonly starts: Int32Array;
  /** Pages of each shard; none before it is open. */
  #pages: readonly PageTables[] = [];
  readonly #home: ClusterHome;
  #tail: Promise<unknown> = Promise.resolve();
  /** Messages so far that change rows. */
  #changes = 0;
  readonly #reading = new Set<Promise<unknown>>();

  constructor(
    id: string,
    shape: ClusterCacheShape,
    nodes: readonly NodeInfo[],
    home: ClusterHome,
  ) {
    this.id = id;
    this.shape = shape;
    this.#home = home;
    this.places = placeShards(nodes, shape.shards, shape.replicas);
    this.lengths = new Int32Array(shape.spec.sequences);
    this.starts = this.lengths.map((_, sequence) => startOf(shape, sequence));
  }

  /** Pages that no sequence has. */
  get freePages(): number {
    return this.#pages.reduce((sum, { free }) => sum + free, 0);
  }

  /** Replicas that were lost. */
  get missing(): number {
    return this.places.reduce((sum, { holders }) => sum + this.shape.replicas - holders.length, 0);
  }

  /** Runs a change after those before it. */
  #next<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(run);
    this.#tail = result.catch(() => {});
    return result;
  }

  /** Runs a call that reads: after the changes before it, beside other calls. */
  async read<T>(run: () => Promise<T>): Promise<T> {
    const reading = this.#tail.then(run), settled = reading.catch(() => {});
    this.#reading.add(settled);
    try {
      return await reading;
    } finally {
      this.#reading.delete(settled);
    }
  }

  /** A node no longer has a shard. */
  drop(shard: number, node: NodeInfo): void {
    const place = this.places[shard]!;
    place.holders = place.holders.filter(({ id }) => id !== node.id);
    // where it only hangs, this is what it reads first
    this.#home.asker.tell(node, "close", this.#head(place, {}));
  }

  #head(place: ShardPlace, more: Head): Head {
    return { cache: this.id, shard: place.shard, version: place.version, ...more };
  }

  /** Opens the shards on their nodes; where one of them refuses, none stays. */
  async open(): Promise<void> {
    const limits = this.#home.asker.limits("kvCache"), { client, lease, asker } = this.#home;
    const owner = { client, lease };
    try {
      await windowed(this.places, async (place) => {
        const spec = { ...this.shape.spec, shard: place.shard };
        const head = this.#head(place, { spec, owner }), within = { ...limits, shard: place.shard };
        await Promise.all(place.holders.map((node) => asker.ask(node, "open", head, {}, within)));
      });
    } catch (error) {
      await this.close();
      throw error;
    }
    this.#pages = this.places.map(() => shardPages(this.shape));
  }

  /** Says the same to all replicas of a shard. Those that have gone are lost; throws where none is left. */
  async #tell(
    place: ShardPlace,
    operation: "append" | "truncate" | "fork",
    request: Uint8Array,
    limits: Limits,
  ): Promise<void> {
    const { holders, shard } = place, { asker } = this.#home;
    let until = limits.until;
    const within = {
      ...limits,
      shard,
      get until() {
        return until;
      },
    };
    const said = await Promise.allSettled(holders.map(async (node) => {
      await asker.askAny(() => [node], operation, request, within);
      // one of them has it: the others are not waited for as long as a call may take
      until = Math.min(until, performance.now() + asker.waiting.patience);
    }));
    const failed = said.map((one) => one.status === "rejected" ? one.reason as Error : undefined);
    if (failed.every((error) => error === undefined) && holders.length > 0) return;
    // nobody has them any more, or what was asked cannot be, and all replicas say so
    if (failed.every((error) => error !== undefined)) {
      throw failed[0] ?? await asker.askAny(() => [], operation, request, { ...limits, shard });
    }
    failed.forEach((error, n) => error && this.drop(shard, holders[n]!));
  }

  /** Adds rows. Where that fails the sequences hold what they held. */
  append(added: Append, packed: boolean, limits: Limits): Promise<void> {
    return this.#next(async () => {
      const { sequences, rows } = added, { spec } = this.shape;
      const owned = sequences.flatMap((sequence, index) =>
        dealRows(spec, this.starts[sequence]!, this.lengths[sequence]!, rows[index]!)
          .map((part) => ({ ...part, sequence, index }))
      );
      checkRoom(this.shape, this.#pages, owned);
      const messages = appendMessages(owned, this.#rowsOfMessage());
      const versions = new Map<number, number>();
      try {
        await windowed(messages, async ([shard, list]) => {
          const place = this.places[shard]!;
          for (const message of list) {
            const tensors = messageTensors(added, packed, message, spec.dtype);
            versions.set(shard, await this.#send(place, message, tensors, limits));
          }
        });
      } catch (error) {
        void this.#next(() => this.#undo(sequences)); // before the next change, not before the error
        throw error;
      }
      // a shard that has not heard of it is behind from now on, and not before: what failed changes nothing
      for (const [shard, version] of versions) this.places[shard]!.version = version;
      this.#pages.forEach((pages, shard) =>
        pages.grow(...rowsOfShard(owned, shard), new Complaint("append"))
      );
      sequences.forEach((sequence, n) => this.lengths[sequence]! += rows[n]!);
    });
  }

  /** Rows that a message may have. */
  #rowsOfMessage(): number {
    const { kvHeads, headDim, valueDim } = this.shape.spec, most = this.#home.payload();
    const bytes = kvHeads * (headDim + valueDim) * F32 + SAID_OF_ROW;
    const rows = Math.floor(most / bytes);
    if (rows > 0) return rows;
    throw new RangeError(
      `Cannot run append: a row has ${bytes} bytes but a message of the server at most ${most}`,
    );
  }

  async #send(
    place: ShardPlace,
    { sequences, from, rows }: AppendMessage,
    tensors: ReturnType<typeof messageTensors>,
    limits: Limits,
  ): Promise<number> {
    const version = ++this.#changes;
    const request = encode(this.#head(place, { version, sequences, from, rows }), tensors);
    await this.#tell(place, "append", request, limits);
    return version;
  }

  /** Takes back what some shards have of an append that failed: calls do not see it, but it has pages. */
  async #undo(sequences: readonly number[]): Promise<void> {
    await Promise.allSettled(this.places.map((place) => this.#truncateShard(place, sequences)));
  }

  /** Rows that a shard has of a sequence. */
  #rowsOf({ shard }: ShardPlace, sequence: number): number {
    return localLength(this.shape, this.starts[sequence]!, this.lengths[sequence]!, shard);
  }

  async #truncateShard(place: ShardPlace, sequences: readonly number[]): Promise<void> {
    const lengths = sequences.map((sequence) => this.#rowsOf(place, sequence));
    const version = ++this.#changes;
    const request = encode(this.#head(place, { version, sequences, lengths }));
    await this.#tell(place, "truncate", request, this.#home.asker.shortLimits("truncate"));
  }

  /** Forgets rows, once the calls that read have ended. `check`: throws unless the length is one. */
  truncate(sequence: number, length: number, check: (held: number) => void): Promise<void> {
    const reading = [...this.#reading]; // what is asked from now on waits for this change
    return this.#next(async () => {
      check(this.lengths[sequence]!);
      await Promise.all(reading);
      this.lengths[sequence] = length;
      for (const place of this.places) {
        this.#pages[place.shard]!.truncate(sequence, this.#rowsOf(place, sequence));
      }
      if (length === 0) this.starts[sequence] = startOf(this.shape, sequence);
      const told = await Promise.allSettled(
        this.places.map((place) => this.#truncateShard(place, [sequence])),
      );
      const failed = told.find((one) => one.status === "rejected");
      if (failed) throw failed.reason;
    });
  }

  /** Makes the lowest sequence without rows a copy of another: each shard by itself, which shares the pages that it has. */
  fork(source: number, limits: Limits): Promise<number> {
    return this.#next(async () => {
      const target = emptySequence(this.lengths, source, new Complaint("fork"));
      const owners = this.places.filter((place) => this.#rowsOf(place, source) > 0);
      const versions = new Map<number, number>();
      try {
        await windowed(owners, async (place) => {
          const version = ++this.#changes, rows = this.#rowsOf(place, source);
          const request = encode(this.#head(place, { version, source, target, rows }));
          await this.#tell(place, "fork", request, limits);
          versions.set(place.shard, version);
        });
      } catch (error) {
        void this.#next(() => this.#undo([target]));
        throw error;
      }
      for (const [shard, version] of versions) {
        this.places[shard]!.version = version;
        this.#pages[shard]!.fork(source, target);
      }
      this.starts[target] = this.starts[source]!;
      this.lengths[target] = this.lengths[source]!;
      return target;
    });
  }

  /** Makes lost replicas anew. */
  repair(): Promise<number> {
    return this.#next(async () => {
      const { id, shape, places } = this;
      await repairShards(this.#home, id, shape, places, (shard) => copiesOf(this.#pages[shard]!));
      return this.missing;
    });
  }

  /** Gives the memory of the nodes back, as far as they can be reached. */
  async close(): Promise<void> {
    const { asker } = this.#home;
    await Promise.allSettled(this.places.flatMap((place) =>
      place.holders.map((node) => {
        const limits = { ...asker.shortLimits("dispose"), shard: place.shard };
        return asker.ask(node, "close", this.#head(place, {}), {}, limits);
      })
    ));
  }

  /** The same after all that was asked for before. */
  dispose(): Promise<void> {
    const reading = [...this.#reading];
    return this.#next(async () => {
      await Promise.all(reading);
      await this.close();
    });
  }
}
