// What a cache is asked to be, checked.
import type { DType } from "../tensor/dtype.ts";
import { Complaint, show } from "../tensor/errors.ts";
import type { PoolShape } from "../tensor/pages.ts";

/** What all caches are told. */
export interface CacheSizes {
  /** Sequences that the cache can hold, numbered from 0. */
  readonly sequences: number;
  /** Heads of keys and values. */
  readonly kvHeads: number;
  /** Columns of a key. */
  readonly headDim: number;
  /** Columns of a value. Default headDim. */
  readonly valueDim?: number | undefined;
  /**
   * How rows are stored: `"f32"` (default), `"f16"`, `"bf16"`, or `"i8"`: signed bytes with a scale for each row and head,
   * the largest magnitude / 127.
   */
  readonly dtype?: "f32" | "f16" | "bf16" | "i8" | undefined;
}

/** A cache whose sequences have room of their own. */
export interface ContiguousCacheOptions extends CacheSizes {
  /** Rows of each sequence. */
  readonly capacity: number;
  /** Not with `capacity`. */
  readonly pageSize?: undefined;
  /** Not with `capacity`. */
  readonly pages?: undefined;
}

/** A cache whose sequences take rows by pages from a common pool (vLLM's paged attention). */
export interface PagedCacheOptions extends CacheSizes {
  /** Rows of a page: any number from 1 on. Multiples of 4 are read where they lie. */
  readonly pageSize: number;
  /** Pages of the pool. */
  readonly pages: number;
  /** Not with pages. */
  readonly capacity?: undefined;
}

/** What `engine.kvCache` is given. */
export type KvCacheOptions = ContiguousCacheOptions | PagedCacheOptions;

/** A checked description. */
export interface CacheShape {
  readonly sequences: number;
  readonly paged: boolean;
  readonly keys: PoolShape;
  readonly values: PoolShape;
}

const KNOWN = [
  "sequences",
  "kvHeads",
  "headDim",
  "valueDim",
  "dtype",
  "capacity",
  "pageSize",
  "pages",
];
const DTYPES: readonly unknown[] = ["f32", "f16", "bf16", "i8"];

/** More than any memory of today holds. */
const MOST_BYTES = 2 ** 40;

/** Throws unless the options describe a cache. `also`: names that somebody else checks. */
export function checkCacheOptions(options: unknown, also: readonly string[] = []): CacheShape {
  const complaint = new Complaint("kvCache");
  if (typeof options !== "object" || options === null) {
    throw complaint.type(
      `options is ${show(options)} but must be { sequences, kvHeads, headDim, capacity } or with ` +
        "pageSize and pages in place of capacity",
    );
  }
  const given = options as Record<string, unknown>;
  const known = [...KNOWN, ...also];
  for (const name of Object.keys(given)) {
    if (known.includes(name) || given[name] === undefined) continue;
    throw complaint.type(
      `options has the unknown name ${show(name)}, wanted one of ${known.join(", ")}`,
    );
  }
  const size = (name: string): number => {
    const value = given[name];
    if (typeof value !== "number") {
      throw complaint.type(`${name} is ${show(value)} but must be a number`);
    }
    if (Number.isSafeInteger(value) && value >= 1 && value < 2 ** 31) return value;
    throw complaint.range(`${name} is ${show(value)} but must be an integer from 1 to 2^31 - 1`);
  };
  const sequences = size("sequences"), heads = size("kvHeads"), headDim = size("headDim");
  const valueDim = given["valueDim"] === undefined ? headDim : size("valueDim");
  const dtype = given["dtype"] ?? "f32";
  if (!DTYPES.includes(dtype)) {
    throw complaint.type(
      `dtype is ${show(dtype)} but must be one of ${DTYPES.map(show).join(", ")}`,
    );
  }
  const paged = given["capacity"] === undefined;
  if (!paged && (given["pageSize"] !== undefined || given["pages"] !== undefined)) {
    throw complaint.type(
      `capacity is ${
        show(given["capacity"])
      } but pageSize or pages is given too: pass one or the other`,
    );
  }
  if (paged && given["pageSize"] === undefined && given["pages"] === undefined) {
    throw complaint.type("capacity is undefined but it, or pageSize and pages, must be given");
  }
  const rows = size(paged ? "pageSize" : "capacity"), pages = paged ? size("pages") : sequences;
  const pool = (columns: number): PoolShape => ({
    ...{ pages, heads, rows, columns },
    dtype: dtype as DType,
  });
  const bytes = pages * rows * heads * (headDim + valueDim) * (dtype === "i8" ? 1 : 2);
  if (bytes > MOST_BYTES) {
    throw complaint.range(
      `the cache would have more than ${bytes} bytes (${pages} pages of ${rows} rows, ${heads} heads)`,
    );
  }
  return { sequences, paged, keys: pool(headDim), values: pool(valueDim) };
}

/** The number of a sequence of a cache. Throws where it has none of that number. */
export function checkSequence(sequence: unknown, sequences: number, complaint: Complaint): number {
  const number = sequence as number;
  if (Number.isSafeInteger(sequence) && number >= 0 && number < sequences) return number;
  throw complaint.range(
    `sequence is ${show(sequence)} but the cache has the sequences 0 to ${sequences - 1}`,
  );
}
