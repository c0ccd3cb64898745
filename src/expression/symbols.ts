// The symbols that functions of scores are run on, and the place that gives them values.
import type { ValueType } from "./operations.ts";

/** What a value changes with: bits. */
export const VARIES: Readonly<
  Record<"query" | "key" | "score" | "head" | "batch" | "lengths", number>
> = { query: 1, key: 2, score: 4, head: 8, batch: 16, lengths: 32 };

const { query, key, score, head, batch, lengths } = VARIES;

/** Name of a symbol. */
export type SymbolName =
  | ("score" | "batch" | "head" | "kvHead" | "query" | "key")
  | ("lengthQ" | "lengthK" | "diagonal");

/** Type of each symbol, and what it changes with. */
export const SYMBOLS: Readonly<
  Record<SymbolName, { readonly type: ValueType; readonly varies: number }>
> = {
  score: { type: "float", varies: query | key | score | head | batch },
  batch: { type: "int", varies: batch },
  head: { type: "int", varies: head },
  kvHead: { type: "int", varies: head },
  query: { type: "int", varies: query },
  key: { type: "int", varies: key },
  lengthQ: { type: "int", varies: lengths },
  lengthK: { type: "int", varies: lengths },
  diagonal: { type: "int", varies: query | lengths },
};

/** The symbols that are the same for all pairs of a head of a sequence. */
export interface Place {
  readonly batch: number;
  readonly head: number;
  readonly kvHead: number;
  readonly lengthQ: number;
  readonly lengthK: number;
  /** The diagonal of query i is `i + offset`. */
  readonly offset: number;
}
