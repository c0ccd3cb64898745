// The operands that tiles are staged from: rows of q and dOut, rows of k and v.
import { type AddressedName, columnsOf, keyRow, queryRow } from "./address.ts";
import type { Source } from "./stage.ts";

/** vec4 of a row: the last chunk may not be full. */
const columns4 = (name: AddressedName) => `((U.${columnsOf(name)} + 3u) >> 2u)`;

/**
 * Query rows of a kv head, with factors as they are staged: q has the scale of the scores, in `staged_scale`, and dOut where it
 * becomes halves the powers of its rows (see powers.ts).
 */
export function querySource(
  name: "q" | "dOut",
  first: string,
  limit: string,
  row: (r: string) => string,
  halves = false,
): Source {
  const source = { name, first, limit, row, columns4: columns4(name) };
  if (name === "q") return { ...source, factor: () => "staged_scale" };
  return halves ? { ...source, factor: (local) => `dout_powers[${local}]` } : source;
}

/** Query rows times heads of a group. */
export function pairSource(
  name: "q" | "dOut",
  first: string,
  limit: string,
  grouped: boolean,
  halves = false,
): Source {
  return querySource(name, first, limit, (r) => queryRow(name, r, grouped), halves);
}

/** Key rows of kv head `kv_head`. */
export function keySource(name: "k" | "v", first: string, limit: string): Source {
  return { name, first, limit, row: (r) => keyRow(name, r), columns4: columns4(name) };
}
