// The diagonal band, which is what most of hiding comes down to: query i sees key j where low <= j - i <= high and
// j < end. `low` and `high` are in scope; what is compared may be one number or a vec4.
import { splat } from "./address.ts";

/** Bounds of what a query (or a key) sees: within `least .. most`. */
export interface Bounds {
  readonly least: string;
  readonly most: string;
}

/** Keys that a query sees. */
export function keysOf(query: string, end: string): Bounds {
  return {
    least: `i32(${query}) + low`,
    most: `min(i32(${end}) - 1, i32(${query}) + high)`,
  };
}

/** Queries that see a key; that it is below the end is known. */
export function queriesOf(key: string): Bounds {
  return { least: `i32(${key}) - high`, most: `i32(${key}) - low` };
}

/** Whether `x` lies outside of its bounds. */
export function outside(x: string, { least, most }: Bounds, type: "i32" | "vec4<i32>"): string {
  return `(${type}(${x}) > ${splat(type, most)}) | (${type}(${x}) < ${splat(type, least)})`;
}

/** Whether a tile of queries and keys, first and last ones included, has pairs outside the band. */
export function crossesBand(
  queries: { readonly first: string; readonly last: string },
  keys: { readonly first: string; readonly last: string },
): string {
  return `${keys.last} > ${queries.first} + high || ${keys.first} < ${queries.last} + low`;
}

/** Whether a tile has no pair inside it. */
export function missesBand(
  queries: { readonly first: string; readonly last: string },
  keys: { readonly first: string; readonly last: string },
): string {
  return `${keys.first} > ${queries.last} + high || ${keys.last} < ${queries.first} + low`;
}
