// The operands that tiles are staged from: rows of q and dOut, rows of k and v.
import { keyRow, queryRow } from "./address.ts";
import type { Source } from "./tile.ts";
import { columns4 } from "./variant.ts";

/** Query rows of a kv head; q has the scale of the scores as it is staged, in `staged_scale`. */
export function querySource(
  name: "q" | "dOut",
  first: string,
  limit: string,
  row: (r: string) => string,
): Source {
  const isQ = name === "q";
  return {
    ...{ name, first, limit, row },
    columns4: columns4(isQ ? "head_dim" : "value_dim"),
    factor: isQ ? "staged_scale" : undefined,
  };
}

/** Query rows as (query, head of the group) pairs. */
export function pairSource(
  name: "q" | "dOut",
  first: string,
  limit: string,
  grouped: boolean,
): Source {
  return querySource(name, first, limit, (r) => queryRow(name, r, grouped));
}

/** Key rows of kv head `kv_head`. */
export function keySource(name: "k" | "v", first: string, limit: string): Source {
  const columns = columns4(name === "k" ? "head_dim" : "value_dim");
  return { name, first, limit, row: (r) => keyRow(name, r), columns4: columns };
}
