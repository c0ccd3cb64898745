// Work items as kernels read them: eight words each in `tables`, written by the plan.
// Rows are (query, head of the group) pairs of one kv head: row r is query r / group of head r % group.
import { ITEM_WORDS } from "../abi.ts";

/**
 * Reads item wid.x. In forward and dQ `first` is the first row of the tile and begin .. end are keys; in
 * dK/dV `first` is a key and begin .. end are rows. Query i sees key j where low <= j - i <= high.
 */
export const READ_ITEM: string = `  let item = (U.item_base + wid.x) * ${ITEM_WORDS}u;
  let batch = tables[item]; let first = tables[item + 1u];
  let begin = tables[item + 2u]; let end = tables[item + 3u];
  let low = bitcast<i32>(tables[item + 4u]); let high = bitcast<i32>(tables[item + 5u]);
  let limit = tables[item + 6u]; let slot = tables[item + 7u];
  let kv_head = wid.y; let row_count = U.length_q * U.group;`;

/** Query of row r. */
export function queryOf(row: string, grouped: boolean): string {
  return grouped ? `(${row} / U.group)` : row;
}

/** Query head of row r. */
export function headOf(row: string, grouped: boolean): string {
  return grouped ? `(kv_head * U.group + ${row} % U.group)` : "kv_head";
}

/** The element where row r of an operand with query heads begins. */
export function rowAddress(name: string, row: string, grouped: boolean): string {
  return `${name}_row(batch, ${headOf(row, grouped)}, ${queryOf(row, grouped)})`;
}

/** Builtins of a kernel that reads items. */
export const INPUTS =
  `@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>`;
