// The keys or the values of a cache, as calls take them.
import type { DType } from "./dtype.ts";
import { Complaint } from "./errors.ts";
import type { PageTable, PoolShape } from "./pages.ts";
import type { Tensor } from "./tensor.ts";

/** What calls ask of a cache. */
export interface RowsSource {
  readonly disposed: boolean;
  /** Rows that each sequence holds. */
  readonly lengths: Int32Array;
  /** Where the rows of some sequences lie now. */
  table(sequences: readonly number[]): PageTable;
  /** The rows of all sequences in float32, [sequences, longest, heads, columns]; those that are not there are 0. */
  readRows(part: "keys" | "values"): Promise<Float32Array>;
}

/**
 * `cache.keys` or `cache.values`: stands for k or v in a call to `attention`, and has as many rows as the cache has at
 * that moment.
 */
export class CachedRows implements Tensor {
  readonly source: RowsSource;
  readonly part: "keys" | "values";
  /** The memory of the rows. */
  readonly memory: Tensor;
  readonly pool: PoolShape;

  constructor(
    source: RowsSource,
    part: "keys" | "values",
    memory: Tensor,
    pool: PoolShape,
  ) {
    this.source = source;
    this.part = part;
    this.memory = memory;
    this.pool = pool;
  }

  /** `[sequences, longest, heads, columns]`, whatever the layout of calls. */
  get shape(): readonly number[] {
    const { lengths } = this.source, { heads, columns } = this.pool;
    return [lengths.length, lengths.reduce((a, b) => Math.max(a, b), 0), heads, columns];
  }

  get dtype(): DType {
    return this.pool.dtype;
  }

  get disposed(): boolean {
    return this.source.disposed;
  }

  /** Throws: `cache.append` writes. */
  write(): never {
    throw new Complaint("write").type(`the ${this.part} of a cache are written by its append`);
  }

  read(): Promise<Float32Array>;
  read(as: "f32"): Promise<Float32Array>;
  /** The rows of all sequences in float32, zeros behind the shorter ones. */
  read(): Promise<Float32Array> {
    return this.source.readRows(this.part);
  }

  /** Throws: the cache is disposed of, keys and values at once. */
  dispose(): never {
    throw new Complaint("dispose").type(`the ${this.part} of a cache go with it: dispose of that`);
  }

  [Symbol.dispose](): never {
    this.dispose();
  }
}
