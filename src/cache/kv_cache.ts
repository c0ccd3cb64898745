// A KV cache: keys and values of many sequences in the memory of an engine, which calls read where they lie.
import type { RowPool } from "../backend/backend.ts";
import { CachedRows, type RowsSource } from "../tensor/cached_rows.ts";
import { Complaint, show } from "../tensor/errors.ts";
import type { PageTable } from "../tensor/pages.ts";
import { pageBytes } from "../tensor/pages.ts";
import { appendRotation } from "../problem/features/append_rotary.ts";
import type { RowRotation } from "../problem/features/row_rotation.ts";
import type { TurnCall } from "../problem/rotations.ts";
import { type AnyTensor, isResident, type Tensor } from "../tensor/tensor.ts";
import { type View, viewOperand } from "../tensor/view.ts";
import { type Append, type AppendOptions, describeAppend } from "./append.ts";
import { type CacheShape, checkSequence } from "./cache_options.ts";
import { type PageCopy, PageTables } from "./page_tables.ts";
import {
  type CacheState,
  checkGoesOn,
  checkRowRange,
  checkState,
  floatsOf,
  pagesBehind,
  rowsOfPages,
  stateOfPages,
} from "./state.ts";

/** What a cache needs of its engine. */
export interface CacheHome {
  /** Throws when the engine cannot be used any more. */
  alive(action: string): void;
  /** Throws unless the resident tensors among some operands live where the cache does. */
  checkOwner(views: readonly View[], action: string): void;
  /** Turns rows where they live, host tensors on the CPU. */
  turn(call: TurnCall): AnyTensor;
}

/** Memory of keys and of values. */
export interface CachePools {
  readonly keys: RowPool;
  readonly values: RowPool;
}

/**
 * Keys and values of many sequences, for decoding. Made by `engine.kvCache`. `append` adds rows; `keys` and `values` go
 * where k and v go in a call to `attention`, with the option `sequences`. Every error is thrown before anything changes.
 *
 * @example
 * ```ts
 * import { createEngine } from "@flashtile/attention";
 * import assert from "node:assert/strict";
 *
 * const engine = await createEngine({ backend: "wasm", threads: 1 });
 * const cache = engine.kvCache({ sequences: 2, kvHeads: 1, headDim: 4, pageSize: 16, pages: 8 });
 * const rows = (n: number) => ({ data: new Float32Array(n * 4).fill(1), shape: [1, n, 1, 4] });
 * cache.append(rows(3), rows(3), { sequences: [0] }); // a prompt of three tokens
 * const twin = await cache.fork(0); // shares its pages
 * cache.append(rows(1), rows(1), { sequences: [twin] });
 * assert.deepEqual([...cache.lengths], [3, 4]);
 * const { out } = await engine.attention(rows(1), cache.keys, cache.values, {
 *   causal: true,
 *   sequences: [twin],
 * });
 * assert.ok(Math.abs(out.data[0]! - 1) < 1e-6);
 * cache.dispose();
 * engine.dispose();
 * ```
 */
export class KvCache {
  readonly #shape: CacheShape;
  readonly #tables: PageTables;
  readonly #pools: CachePools;
  readonly #home: CacheHome;
  #disposed = false;
  /** The keys of all sequences: k of a call. */
  readonly keys: Tensor;
  /** The values of all sequences: v of a call. */
  readonly values: Tensor;

  /** Use `engine.kvCache`. */
  constructor(shape: CacheShape, pools: CachePools, home: CacheHome) {
    this.#shape = shape;
    this.#tables = new PageTables(shape);
    this.#pools = pools;
    this.#home = home;
    const disposed = () => this.#disposed;
    const source: RowsSource = {
      get disposed() {
        return disposed();
      },
      lengths: this.#tables.lengths,
      table: (sequences): PageTable => this.#tables.table(sequences),
      readRows: (part) => this.#readRows(part),
    };
    this.keys = new CachedRows(source, "keys", pools.keys.tensor, shape.keys);
    this.values = new CachedRows(source, "values", pools.values.tensor, shape.values);
  }

  /** Rows that each sequence holds, a copy. */
  get lengths(): Int32Array {
    return this.#tables.lengths.slice();
  }

  /** Bytes of memory that the cache holds, whatever its sequences hold. */
  get bytes(): number {
    const { keys, values } = this.#shape;
    return this.#disposed ? 0 : keys.pages * (pageBytes(keys) + pageBytes(values));
  }

  /** Pages that no sequence has; of a cache with `capacity`, sequences without rows. */
  get freePages(): number {
    return this.#tables.free;
  }

  /** Whether `dispose` was called. */
  get disposed(): boolean {
    return this.#disposed;
  }

  /** Begins an action: throws when nothing can be done any more. */
  #begin(action: string): Complaint {
    if (this.#disposed) throw new TypeError(`Cannot run ${action}: the cache was disposed`);
    this.#home.alive(action);
    return new Complaint(action);
  }

  #checkSequence(sequence: unknown, complaint: Complaint): number {
    return checkSequence(sequence, this.#shape.sequences, complaint);
  }

  /** Rows that a sequence holds. */
  length(sequence: number): number {
    return this.#tables.lengths[this.#checkSequence(sequence, new Complaint("length"))]!;
  }

  #copy(copies: readonly PageCopy[]): void {
    for (const { from, to } of copies) {
      this.#pools.keys.copyPage(from, to);
      this.#pools.values.copyPage(from, to);
    }
  }

  /**
   * Adds rows behind those of some sequences: k `[batch, rows, kvHeads, headDim]`, v the same with valueDim, or packed
   * `[rows, kvHeads, dim]` with `cuSeqlens`; host or resident tensors, f32, f16 or bf16, rounded to the type of the cache.
   * Copies nothing but the new rows. It is done when it returns, or, on a GPU, before what is asked of it next.
   *
   * @throws {RangeError} no room: with rows held, asked for and free; sizes that are not those of the cache; a sequence
   * that it does not have, or twice. Nothing has changed then.
   */
  append(k: AnyTensor, v: AnyTensor, options: AppendOptions = {}): void {
    const complaint = this.#begin("append");
    const added = describeAppend(k, v, options, this.#shape, complaint);
    this.#home.checkOwner([added.k, added.v], "append");
    const { sequences, rows } = added, begin = sequences.map((s) => this.#tables.lengths[s]!);
    const each = (of: (sequence: number, row: number) => number) =>
      Int32Array.from(
        sequences.flatMap((s, n) =>
          Array.from({ length: rows[n]! }, (_, row) => of(s, begin[n]! + row))
        ),
      );
    const rotation = options.rotary &&
      appendRotation(options.rotary, added.k, each((_, row) => row), complaint);
    this.#grown(sequences, rows, complaint, () => {
      const places = each((s, row) => this.#tables.place(s, row));
      if (places.length === 0) return;
      this.#storeKeys(added, rotation, places);
      this.#pools.values.store(added.v, places);
    });
  }

  /** Counts new rows as there once `store` has stored them. */
  #grown(
    sequences: readonly number[],
    rows: readonly number[],
    complaint: Complaint,
    store: () => void,
  ): void {
    const { copies, undo } = this.#tables.grow(sequences, rows, complaint);
    try {
      this.#copy(copies);
      store();
    } catch (error) {
      undo(); // no memory for what is between, or a device that was lost
      throw error;
    }
  }

  /** Stores keys, rotated where that is asked for. */
  #storeKeys({ k, layout }: Append, rotation: RowRotation | undefined, places: Int32Array): void {
    if (!rotation) return this.#pools.keys.store(k, places);
    const turned = this.#home.turn({
      action: "append",
      view: { ...k, name: "q" },
      layout,
      rotation,
      inverse: false,
    });
    try {
      const packed = turned.shape.length === 3;
      this.#pools.keys.store(
        viewOperand("k", turned, layout, new Complaint("append"), packed),
        places,
      );
    } finally {
      if (isResident(turned)) turned.dispose();
    }
  }

  /** Forgets the rows of a sequence from `length` on. Throws while a call reads the cache. */
  truncate(sequence: number, length: number): void {
    const complaint = this.#begin("truncate"), s = this.#checkSequence(sequence, complaint);
    const held = this.#tables.lengths[s]!;
    if (!(Number.isSafeInteger(length) && length >= 0 && length <= held)) {
      throw complaint.range(
        `length is ${
          show(length)
        } but must be an integer from 0 to the ${held} rows of sequence ${s}`,
      );
    }
    this.#checkQuiet("truncate");
    this.#tables.truncate(s, length);
  }

  /** Forgets all rows of a sequence. Throws while a call reads the cache. */
  free(sequence: number): void {
    const s = this.#checkSequence(sequence, this.#begin("free"));
    this.#checkQuiet("free");
    this.#tables.truncate(s, 0);
  }

  /** Rows that are given up may be written at once: not while a call reads them. */
  #checkQuiet(action: string): void {
    if (!Object.values(this.#pools).some(({ tensor }) => tensor.isRead)) return;
    throw new TypeError(
      `Cannot run ${action}: a call that reads the cache is under way, await it first`,
    );
  }

  /**
   * Makes the lowest sequence without rows a copy of another; resolves to its number. Pages are shared, and copied when
   * one of the two writes to them; with `capacity` the rows are copied now.
   */
  async fork(sequence: number): Promise<number> {
    const complaint = this.#begin("fork"), source = this.#checkSequence(sequence, complaint);
    const target = this.#tables.empty(source, complaint);
    this.#copy(this.#tables.fork(source, target));
    return await target;
  }

  /**
   * The rows of a sequence as host tensors, for another cache of this type and these heads, paged or not; or those from `first`
   * to before `end`, so that a long one can go in pieces.
   */
  async export(sequence: number, first = 0, end?: number): Promise<CacheState> {
    const complaint = this.#begin("export"), s = this.#checkSequence(sequence, complaint);
    const { keys } = this.#shape, length = end ?? this.#tables.lengths[s]!;
    checkRowRange(first, length, this.#tables.lengths[s]!, complaint);
    const [from, to] = [Math.floor(first / keys.rows), Math.ceil(length / keys.rows)];
    const pages = this.#tables.pagesOf(s).slice(from, to);
    const [k, v] = await Promise.all([
      this.#pools.keys.readPages(pages),
      this.#pools.values.readPages(pages),
    ]);
    return stateOfPages(k, v, this.#shape, first, length);
  }

  /**
   * Puts what `export` returned into the lowest sequence without rows; resolves to its number. `onto`: behind the rows of
   * that sequence, with which the state must begin, as those of a fork: their pages stay shared. A state of later rows only
   * must have all of the page that is written next.
   */
  async import(state: CacheState, onto?: number): Promise<number> {
    const complaint = this.#begin("import"), { keys, values } = this.#shape;
    const given = checkState(state, this.#shape, complaint);
    const target = onto === undefined
      ? this.#tables.empty(-1, complaint)
      : this.#checkSequence(onto, complaint);
    const held = this.#tables.lengths[target]!, { length } = given;
    checkGoesOn(given, target, held, keys.rows, complaint);
    if (length === held) return await target;
    this.#grown([target], [length - held], complaint, () => {
      const pages = this.#tables.pagesOf(target).slice(Math.floor(held / keys.rows));
      for (const [name, pool] of [["keys", keys], ["values", values]] as const) {
        pagesBehind(held, given, name, pool).forEach((bytes, n) =>
          this.#pools[name].writePage(pages[n]!, bytes)
        );
      }
    });
    return await target;
  }

  async #readRows(part: "keys" | "values"): Promise<Float32Array> {
    this.#begin("read");
    const { [part]: shape } = this.#shape, { [part]: pool } = this.#pools;
    const held = Array.from(this.#tables.lengths), longest = held.reduce((a, b) => Math.max(a, b));
    const n = longest * shape.heads * shape.columns, all = new Float32Array(held.length * n);
    pool.tensor.hold(true); // one sequence after the other: those that wait stay what they are
    try {
      for (const [s, length] of held.entries()) {
        const read = await pool.readPages(this.#tables.pagesOf(s));
        all.set(floatsOf(rowsOfPages(read, shape, 0, length)), s * n);
      }
    } finally {
      pool.tensor.release(true);
    }
    return all;
  }

  /** Gives the memory back, once the calls that are running with it have ended. Safe to call twice. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#pools.keys.tensor.dispose();
    this.#pools.values.tensor.dispose();
  }

  /** Same as `dispose`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
