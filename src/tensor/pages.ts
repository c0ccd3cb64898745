// Rows that lie in pages of a pool: how a cache stores the keys and values of its sequences, and how a call finds them.
import type { DType } from "./dtype.ts";
import { BYTES } from "./dtype.ts";

/** Where the rows of the sequences of a call lie in a pool. */
export interface PageTable {
  /** Rows of a page. */
  readonly rows: number;
  /** Numbers of pages, `columns` for each sequence of the call. */
  readonly numbers: Int32Array;
  readonly columns: number;
  /** Rows that each sequence has. */
  readonly lengths: readonly number[];
  /** The row of each sequence that is key 0 of the call. */
  readonly first: number;
}

/** Rows of one operand in pages, [page][head][row][element]. */
export interface PoolShape {
  readonly pages: number;
  readonly heads: number;
  readonly rows: number;
  /** Values of a row. */
  readonly columns: number;
  readonly dtype: DType;
}

/** Bytes of the scale in front of a row of signed bytes. */
const SCALE_BYTES = 4;

/** Elements from one row of a pool to the next: whole groups of four, so that they can be read at once. */
export function rowPitch({ columns, dtype }: Pick<PoolShape, "columns" | "dtype">): number {
  const whole = Math.ceil(columns / 4) * 4;
  return dtype === "i8" ? SCALE_BYTES + whole : whole;
}

/** Elements from one page to the next, from one head to the next, and from one row to the next. */
export function poolStrides(shape: PoolShape): [page: number, head: number, row: number] {
  const row = rowPitch(shape), head = row * shape.rows;
  return [head * shape.heads, head, row];
}

/** Bytes of a page. */
export function pageBytes(shape: PoolShape): number {
  return poolStrides(shape)[0] * BYTES[shape.dtype];
}
