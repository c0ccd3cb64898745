// A shard: the rows of a cache that one node holds, in a cache of its engine. What is asked of it is safe to ask twice: changes
// are numbered, so that a message that was lost is sent again, and one that comes late changes nothing.
import type { AbortSignalLike } from "../../backend/backend.ts";
import type { KvCache } from "../../cache/kv_cache.ts";
import type { CacheState } from "../../cache/state.ts";
import type { Engine } from "../../engine/engine.ts";
import type { AttentionResult } from "../../problem/call_options.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import { shardOptions } from "../options/cached.ts";
import { localLength } from "../stripes.ts";
import { RefusedError } from "../wire/errors.ts";
import type { AppendHead, AttendHead, ForkHead, ShardSpec } from "../wire/requests.ts";

/** A shard of a cache. */
export class Shard {
  readonly spec: ShardSpec;
  readonly #engine: Engine;
  readonly #cache: KvCache;
  /** Where each sequence lies in the engine's cache, which chooses itself where copies go; and the reverse. */
  readonly #slots: Int32Array;
  readonly #sequences: Int32Array;
  #version = 0;
  #tail: Promise<unknown> = Promise.resolve();

  /** Throws the engine's own error where it has no room for the pages. */
  constructor(engine: Engine, spec: ShardSpec) {
    const { sequences, kvHeads, headDim, valueDim, dtype, pageSize, pages } = spec;
    this.spec = spec;
    this.#engine = engine;
    this.#slots = Int32Array.from({ length: sequences }, (_, n) => n);
    this.#sequences = this.#slots.slice();
    this.#cache = engine.kvCache({
      sequences,
      kvHeads,
      headDim,
      valueDim,
      dtype,
      pageSize,
      pages,
    });
  }

  /** Bytes of memory that it holds. */
  get bytes(): number {
    return this.#cache.bytes;
  }

  /** Rows that it holds. */
  get rows(): number {
    return this.#cache.disposed ? 0 : this.#cache.lengths.reduce((sum, n) => sum + n, 0);
  }

  /** One thing after the other: rows change while nothing reads them. */
  #next<T>(run: () => Promise<T> | T): Promise<T> {
    const result = this.#tail.then(run);
    this.#tail = result.catch(() => {});
    return result;
  }

  #slot(sequence: number): number {
    return this.#slots[sequence]!;
  }

  /** A sequence that has no rows is where the engine put them: it changes places with the one, as empty, that was there. */
  #move(sequence: number, slot: number): void {
    const other = this.#sequences[slot]!, from = this.#slots[sequence]!;
    this.#slots[other] = from;
    this.#sequences[from] = other;
    this.#slots[sequence] = slot;
    this.#sequences[slot] = sequence;
  }

  #behind(what: string): RefusedError {
    return new RefusedError("behind", `Cannot run ${what}: shard ${this.spec.shard} missed rows`);
  }

  /** Makes a change once: asked again it is done, and one that is older than what was done since is refused. */
  #change(version: number, what: string, run: () => Promise<void> | void): Promise<void> {
    return this.#next(async () => {
      if (version === this.#version) return;
      if (version < this.#version) throw this.#behind(what);
      await run();
      this.#version = version;
    });
  }

  /** Adds rows behind row `from` of each sequence, in place of what an append that failed may have left there. */
  append(head: AppendHead, k: HostTensor, v: HostTensor): Promise<void> {
    return this.#change(head.version, "append", () => {
      const slots = head.sequences.map((sequence) => this.#slot(sequence));
      if (slots.some((slot, n) => this.#cache.length(slot) < head.from[n]!)) {
        throw this.#behind("append");
      }
      slots.forEach((slot, n) => this.#keep(slot, head.from[n]!));
      const cuSeqlens = [0];
      for (const rows of head.rows) cuSeqlens.push(cuSeqlens.at(-1)! + rows);
      this.#cache.append(k, v, { sequences: slots, cuSeqlens });
    });
  }

  #keep(slot: number, rows: number): void {
    if (this.#cache.length(slot) > rows) this.#cache.truncate(slot, rows);
  }

  /** Forgets rows behind the first `lengths` of those here. */
  truncate(
    version: number,
    sequences: readonly number[],
    lengths: readonly number[],
  ): Promise<void> {
    return this.#change(version, "truncate", () => {
      sequences.forEach((sequence, n) => this.#keep(this.#slot(sequence), lengths[n]!));
    });
  }

  /** Makes a sequence a copy of another's first rows; pages are shared until one of them writes. */
  fork({ version, source, target, rows }: ForkHead): Promise<void> {
    return this.#change(version, "fork", async () => {
      if (this.#cache.length(this.#slot(source)) < rows) throw this.#behind("fork");
      await this.#fork(source, target, rows);
    });
  }

  async #fork(source: number, target: number, rows: number): Promise<void> {
    this.#keep(this.#slot(target), 0); // what a change that failed may have left
    this.#move(target, await this.#cache.fork(this.#slot(source)));
    this.#keep(this.#slot(target), rows);
  }

  /** Attention over the rows that it has of what the call reads. */
  attend(
    head: AttendHead,
    q: HostTensor<Float32Array>,
    operands: Readonly<Record<string, HostTensor>>,
    signal: AbortSignalLike,
  ): Promise<{ result: AttentionResult<HostTensor<Float32Array>>; ms: number }> {
    return this.#next(async () => {
      signal.throwIfAborted();
      if (this.#version < head.versions[this.spec.shard]!) throw this.#behind("attention");
      const { sequences, starts } = head, { shard } = this.spec;
      const slots = sequences.map((sequence) => this.#slot(sequence));
      const lengths = starts.map((start, n) =>
        localLength(this.spec, start, head.lengths[n]!, shard)
      );
      if (slots.some((slot, n) => this.#cache.length(slot) < lengths[n]!)) {
        throw this.#behind("attention");
      }
      // which stripes they have follows from where they begin
      const rows = { ...this.spec, starts, slots, lengths };
      const options = { ...shardOptions(head.options, rows, operands), signal };
      const begin = performance.now(), { keys, values } = this.#cache;
      const result = await this.#engine.attention(q, keys, values, options);
      return { result, ms: performance.now() - begin };
    });
  }

  /** Rows of a sequence from one to before another, as they are stored. */
  export(sequence: number, first?: number, end?: number): Promise<CacheState> {
    return this.#next(() => this.#cache.export(this.#slot(sequence), first, end));
  }

  /** Makes a sequence that has no rows begin with the first rows of another. */
  share(like: number, sequence: number, rows: number): Promise<void> {
    return this.#next(() => this.#fork(like, sequence, rows));
  }

  /** Puts exported rows behind those that it has of a sequence. */
  import(sequence: number, state: CacheState): Promise<void> {
    return this.#next(async () => {
      const slot = this.#slot(sequence), empty = this.#cache.length(slot) === 0;
      const put = await this.#cache.import(state, empty ? undefined : slot);
      if (empty) this.#move(sequence, put);
    });
  }

  /** Says how far a copy has come. */
  set version(version: number) {
    this.#version = version;
  }

  /** Number of the last change that it has. */
  get version(): number {
    return this.#version;
  }

  /** Gives its memory back, once what was asked of it has ended. */
  dispose(): Promise<void> {
    return this.#next(() => this.#cache.dispose());
  }
}
