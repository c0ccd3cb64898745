// A cache whose rows lie on several nodes, as its user sees it.
import { describeAppend } from "../../cache/append.ts";
import { checkSequence } from "../../cache/cache_options.ts";
import { Complaint, show } from "../../tensor/errors.ts";
import type { AnyTensor } from "../../tensor/tensor.ts";
import { type ClusterAppendOptions, refuseAppend } from "../options/append.ts";
import { checkHost } from "./append_rows.ts";
import type { ClusterHome } from "./home.ts";
import type { ShardedRows } from "./sharded_rows.ts";

/** The rows of each cache: the cluster's business, and nobody else's. */
const ROWS = new WeakMap<ClusterCache, ShardedRows>();

/** The rows of a cache. */
export function rowsOf(cache: ClusterCache): ShardedRows {
  return ROWS.get(cache)!;
}

/**
 * Keys and values of many sequences, for decoding, whose rows lie on the nodes of a cluster. Made by `cluster.kvCache`. The
 * methods are those of an engine's cache, but asynchronous; `cluster.attention` reads it.
 */
export class ClusterCache {
  readonly #rows: ShardedRows;
  readonly #home: ClusterHome;
  readonly #forget: () => void;
  #disposed = false;

  /** Use `cluster.kvCache`. */
  constructor(rows: ShardedRows, home: ClusterHome, forget: () => void) {
    this.#rows = rows;
    this.#home = home;
    this.#forget = forget;
    ROWS.set(this, rows);
  }

  /** Rows that each sequence holds, a copy. */
  get lengths(): Int32Array {
    return this.#rows.lengths.slice();
  }

  /** Rows that a sequence holds. */
  length(sequence: number): number {
    return this.#rows.lengths[this.#checkSequence(sequence, "length")]!;
  }

  /** Pages that no sequence has, of all shards. */
  get freePages(): number {
    return this.#rows.freePages;
  }

  /** Replicas that were lost with their nodes; `repair` makes them anew. */
  get missing(): number {
    return this.#rows.missing;
  }

  /** Names of the nodes that have each shard. */
  get holders(): readonly (readonly string[])[] {
    return this.#rows.places.map(({ holders }) => holders.map(({ name }) => name));
  }

  /** Whether `dispose` was called. */
  get disposed(): boolean {
    return this.#disposed;
  }

  #begin(action: string): void {
    if (this.#disposed) throw new TypeError(`Cannot run ${action}: the cache was disposed`);
    this.#home.alive(action);
  }

  #checkSequence(sequence: unknown, action: string): number {
    return checkSequence(sequence, this.#rows.shape.spec.sequences, new Complaint(action));
  }

  /**
   * Adds rows behind those of some sequences: k `[batch, rows, kvHeads, headDim]`, v the same with valueDim, or packed with
   * `cuSeqlens`; host tensors, f32, f16 or bf16, rounded to the type of the cache. Each row goes to the nodes that own it.
   * Resolves when all replicas that are there have stored their rows.
   *
   * @throws {RangeError} no room, or sizes that are not those of the cache. @throws {ClusterError} a shard whose nodes have
   * gone. The sequences hold what they held before.
   */
  async append(k: AnyTensor, v: AnyTensor, options: ClusterAppendOptions = {}): Promise<void> {
    this.#begin("append");
    checkHost("append", "k", k);
    checkHost("append", "v", v);
    refuseAppend(options);
    const { shape } = this.#rows.shape;
    const added = describeAppend(k, v, options, shape, new Complaint("append"));
    const limits = this.#home.asker.limits("append");
    await this.#rows.append(added, options.cuSeqlens !== undefined, limits);
  }

  /** Forgets the rows of a sequence from `length` on, once the calls that read the cache have ended. */
  async truncate(sequence: number, length: number): Promise<void> {
    this.#begin("truncate");
    const s = this.#checkSequence(sequence, "truncate");
    await this.#rows.truncate(s, length, (held) => {
      if (Number.isSafeInteger(length) && length >= 0 && length <= held) return;
      throw new RangeError(
        `Cannot run truncate: length is ${
          show(length)
        } but must be an integer from 0 to the ${held} rows of sequence ${s}`,
      );
    });
  }

  /** Forgets all rows of a sequence. */
  async free(sequence: number): Promise<void> {
    await this.truncate(sequence, 0);
  }

  /**
   * Makes the lowest sequence without rows a copy of another; resolves to its number. Every node shares the pages that it has,
   * and copies one when either sequence writes to it.
   *
   * @throws {RangeError} no sequence is empty. @throws {ClusterError} a shard whose nodes have gone; nothing has changed then.
   */
  async fork(sequence: number): Promise<number> {
    this.#begin("fork");
    const source = this.#checkSequence(sequence, "fork");
    return await this.#rows.fork(source, this.#home.asker.limits("fork"));
  }

  /**
   * Copies shards that lost a replica to other nodes, from one that has it, node to node, until each has as many as was asked
   * for or there are no more nodes. Resolves to the number of replicas that are still missing.
   */
  async repair(): Promise<number> {
    this.#begin("repair");
    return await this.#rows.repair();
  }

  /** Gives the memory of all nodes back. Nodes that cannot be reached do so when the lease ends. Safe to call twice. */
  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#forget();
    await this.#rows.dispose();
  }

  /** Same as `dispose`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}
