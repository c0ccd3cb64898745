// The schedule buffer as kernels read it: for each sequence four words, then work items of eight words each.
// Rows of a kv head are queries times heads of its group: row r is query r / group of head r % group.
import { ITEM_WORDS, SEQUENCE_WORDS } from "../abi.ts";

/**
 * Reads item wid.x. In forward and dQ `first` is the first row of the tile and begin .. end are keys; in
 * dK/dV `first` is a key and begin .. end are rows. Query i sees key j where low <= j - i <= high; `offset` is
 * j - i on the diagonal.
 */
export const READ_ITEM: string = `  let item = (U.item_base + wid.x) * ${ITEM_WORDS}u;
  let batch = schedule[item]; let first = schedule[item + 1u];
  let begin = schedule[item + 2u]; let end = schedule[item + 3u];
  let low = bitcast<i32>(schedule[item + 4u]); let high = bitcast<i32>(schedule[item + 5u]);
  let limit = schedule[item + 6u]; let slot = schedule[item + 7u];
  let offset = bitcast<i32>(schedule[${SEQUENCE_WORDS}u * batch + 3u]);
  let kv_head = wid.y; let row_count = U.length_q * U.group;`;

/** Reads what the queries of sequence `batch` may see, where a kernel has no items. */
export const READ_SEQUENCE: string = `  let sequence = ${SEQUENCE_WORDS}u * batch;
  let limit = schedule[sequence];
  let low = bitcast<i32>(schedule[sequence + 1u]); let high = bitcast<i32>(schedule[sequence + 2u]);
  let offset = bitcast<i32>(schedule[sequence + 3u]);`;

/** Builtins of a kernel that reads items. */
export const INPUTS =
  `@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>`;
