// One sequence of a cache as host tensors, to be kept or moved elsewhere: pages taken apart into rows, and put together.
import { arrayKind, BYTES, type DType } from "../tensor/dtype.ts";
import { type Complaint, show } from "../tensor/errors.ts";
import { pageBytes, type PoolShape, poolStrides } from "../tensor/pages.ts";
import type { HostTensor } from "../tensor/tensor.ts";
import { viewOperand } from "../tensor/view.ts";
import { widened } from "../tensor/convert.ts";

/** Rows of one sequence: plain data, which can be cloned and stored. */
export interface CacheRows {
  /** `[rows, kvHeads, columns]`, in the type of the cache. */
  readonly rows: HostTensor;
  /** `"i8"`: the scale of each row and head, `[rows, kvHeads]`. */
  readonly scales?: Float32Array | undefined;
}

/** What `cache.export` returns and `cache.import` takes. */
export interface CacheState {
  /** Rows of the sequence, up to the last one of these. */
  readonly length: number;
  /** The row where these begin. Missing: the first one, 0. */
  readonly first?: number | undefined;
  /** Its keys. */
  readonly keys: CacheRows;
  /** Its values. */
  readonly values: CacheRows;
}

const ARRAYS = {
  f32: Float32Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  i8: Int8Array,
  i32: Int32Array,
};

/** Bytes of the values of a row, and of the scale in front of them. */
function rowBytes({ columns, dtype }: PoolShape): { values: number; front: number } {
  return { values: columns * BYTES[dtype], front: dtype === "i8" ? 4 : 0 };
}

/**
 * Visits every row from one to before another, and head: its page, counted from that of the first row, the byte where it lies
 * there, and its number among rows and heads.
 */
function eachRow(
  pool: PoolShape,
  first: number,
  end: number,
  visit: (page: number, byte: number, index: number) => void,
): void {
  const [, head, row] = poolStrides(pool), bytes = BYTES[pool.dtype];
  const page = Math.floor(first / pool.rows);
  for (let r = first; r < end; r++) {
    for (let h = 0; h < pool.heads; h++) {
      visit(
        Math.floor(r / pool.rows) - page,
        (h * head + r % pool.rows * row) * bytes,
        (r - first) * pool.heads + h,
      );
    }
  }
}

/** The rows from one to before another, which lie in some pages. */
export function rowsOfPages(
  pages: readonly Uint8Array[],
  pool: PoolShape,
  first: number,
  end: number,
): CacheRows {
  const { values, front } = rowBytes(pool), n = (end - first) * pool.heads;
  const data = new ARRAYS[pool.dtype as keyof typeof ARRAYS](n * pool.columns),
    target = new Uint8Array(data.buffer);
  const scales = front ? new Uint8Array(4 * n) : undefined;
  eachRow(pool, first, end, (page, byte, index) => {
    const from = pages[page]!;
    scales?.set(from.subarray(byte, byte + front), 4 * index);
    target.set(from.subarray(byte + front, byte + front + values), index * values);
  });
  const rows = { data, shape: [end - first, pool.heads, pool.columns], dtype: pool.dtype };
  return { rows, ...scales && { scales: new Float32Array(scales.buffer) } };
}

/** The state of rows from one to before another, which lie in some pages of keys and of values. */
export function stateOfPages(
  k: readonly Uint8Array[],
  v: readonly Uint8Array[],
  { keys, values }: { readonly keys: PoolShape; readonly values: PoolShape },
  first: number,
  length: number,
): CacheState {
  return {
    length,
    ...first > 0 && { first },
    keys: rowsOfPages(k, keys, first, length),
    values: rowsOfPages(v, values, first, length),
  };
}

/** The pages of a state from that on which is written next where a sequence holds so many rows. */
export function pagesBehind(
  held: number,
  { length, first = 0, ...state }: CacheState,
  name: "keys" | "values",
  pool: PoolShape,
): Uint8Array[] {
  const skipped = Math.floor(held / pool.rows) - Math.floor(first / pool.rows);
  return pagesOfRows(state[name], pool, first, length).slice(skipped);
}

/** Pages that hold the rows from one to before another, from that of the first row on. */
function pagesOfRows(
  { rows, scales }: CacheRows,
  pool: PoolShape,
  first: number,
  end: number,
): Uint8Array[] {
  const { values, front } = rowBytes(pool), pages: Uint8Array[] = [];
  const { buffer, byteOffset } = rows.data, source = new Uint8Array(buffer, byteOffset);
  const factors = scales && new Uint8Array(scales.buffer, scales.byteOffset);
  for (let n = Math.floor(first / pool.rows); n * pool.rows < end; n++) {
    pages.push(new Uint8Array(pageBytes(pool)));
  }
  eachRow(pool, first, end, (page, byte, index) => {
    const to = pages[page]!;
    if (factors) to.set(factors.subarray(4 * index, 4 * index + 4), byte);
    to.set(source.subarray(index * values, (index + 1) * values), byte + front);
  });
  return pages;
}

/** The values of rows in float32. */
export function floatsOf({ rows, scales }: CacheRows): Float32Array {
  const { data, dtype } = rows;
  if (dtype === "f32") return data as Float32Array;
  if (dtype !== "i8") return widened(data as Uint16Array, dtype as DType);
  const columns = rows.shape[2]!;
  return Float32Array.from(data as Int8Array, (x, n) => x * scales![Math.floor(n / columns)]!);
}

function checkRows(
  name: "keys" | "values",
  value: CacheRows,
  pool: PoolShape,
  length: number,
  complaint: Complaint,
): void {
  const rows = value?.rows, wanted = [length, pool.heads, pool.columns];
  const { dtype } = viewOperand(name === "keys" ? "k" : "v", rows, "bshd", complaint, true);
  if (dtype !== pool.dtype) {
    throw complaint.type(
      `${name}.rows has dtype ${show(dtype)} but the cache has ${show(pool.dtype)}`,
    );
  }
  if (`${rows.shape}` !== `${wanted}`) {
    throw complaint.range(
      `${name}.rows has shape ${show(rows.shape)} but ${show(wanted)} was wanted`,
    );
  }
  if ("strides" in rows && rows.strides !== undefined) {
    throw complaint.type(`${name}.rows has strides but must be row-major, as export returns it`);
  }
  const scales = value.scales, n = length * pool.heads;
  if (pool.dtype === "i8" && !(arrayKind(scales) === "Float32Array" && scales?.length === n)) {
    throw complaint.type(
      `${name}.scales is ${show(scales)} but must be a Float32Array of ${n} scales`,
    );
  }
}

/** Throws unless a state fits a cache. */
export function checkState(
  state: CacheState,
  pools: { readonly keys: PoolShape; readonly values: PoolShape },
  complaint: Complaint,
): void {
  if (typeof state !== "object" || state === null) {
    throw complaint.type(`state is ${show(state)} but must be what export returned`);
  }
  const { length, first = 0 } = state;
  if (!(Number.isSafeInteger(length) && length >= 0)) {
    throw complaint.range(`state.length is ${show(length)} but must be an integer >= 0`);
  }
  checkRange("state.first", first, length, complaint);
  checkRows("keys", state.keys, pools.keys, length - first, complaint);
  checkRows("values", state.values, pools.values, length - first, complaint);
}

function checkRange(name: string, value: number, most: number, complaint: Complaint): void {
  if (Number.isSafeInteger(value) && value >= 0 && value <= most) return;
  throw complaint.range(`${name} is ${show(value)} but must be an integer from 0 to ${most}`);
}

/** Throws unless a sequence of so many rows has those from `first` to before `end`. */
export function checkRowRange(
  first: number,
  end: number,
  held: number,
  complaint: Complaint,
): void {
  checkRange("end", end, held, complaint);
  checkRange("first", first, end, complaint);
}

/** Throws unless a state goes on where a sequence that holds so many rows ends: with all of the page that is written next. */
export function checkGoesOn(
  { length, first = 0 }: CacheState,
  target: number,
  held: number,
  pageRows: number,
  complaint: Complaint,
): void {
  if (length < held) {
    throw complaint.range(
      `state.length is ${length} but sequence ${target} holds ${held} rows, with which it must begin`,
    );
  }
  checkRange("state.first", first, Math.floor(held / pageRows) * pageRows, complaint);
}
