// Classify: what an operand of bytes says of the tiles of work items, two bits each, into the schedule buffer where it
// lies too: whether some pair of the tile is seen, and whether some is hidden. One workgroup for a tile and a head.
//
//   found = nothing
//   for each query and four keys of the tile, until both are found
//     found |= a byte is set, a byte is not
//   bits of the tile |= found                                  over all heads, in any order
//
// Bits are only ever set, so it does not matter who is first. Every thread has a few bytes: no loop is long.
import { shaderName } from "../../src/tensor/operands.ts";
import { ITEM_WORDS, SOME_HIDDEN, SOME_SEEN, VERDICTS_OF_WORD } from "../abi.ts";
import type { Side } from "../features/feature.ts";
import { PARAMS } from "../features/params.ts";
import { type AddressedName, rowAt } from "../parts/address.ts";
import { declare } from "../parts/bindings.ts";
import { INPUTS } from "../parts/item.ts";
import { tidy } from "../parts/text.ts";

const THREADS = 64;

/** Four bytes of a row: keys lie side by side. */
const FOUR_BYTES = `fn word(i: u32) -> u32 { return atomicLoad(&schedule[i]); }
fn four(at: u32) -> u32 {
  let low = word(at >> 2u); let shift = (at & 3u) * 8u;
  if (shift == 0u) { return low; }
  return (low >> shift) | (word((at >> 2u) + 1u) << (32u - shift));
}`;

/** Rows and keys of the tile: its own range from `first` on, and what it streams, from `begin` to before `end`. */
const RANGES: Readonly<Record<Side, string>> = {
  "rows are queries":
    `  let row = first; let row_end = min(first + U.tile_rows, U.length_q * U.group);
  let key = begin; let key_end = end;`,
  "rows are keys": `  let row = begin; let row_end = end;
  let key = first; let key_end = min(first + U.tile_rows, word(item + 6u));`,
};

/**
 * WGSL for items of a side. U.source_at: the first item; U.count: tiles of each, at most. Dispatch (tiles of all items,
 * heads that differ).
 */
export function classifyShader(operand: AddressedName, side: Side): string {
  const name = shaderName(operand), both = SOME_SEEN | SOME_HIDDEN;
  const row = rowAt(operand, { batch: "batch", head: "wid.y", query: "(query + n / fours)" });
  return tidy(`${PARAMS}
${declare("schedule", "atomic<u32>", "read_write")}
${FOUR_BYTES}
@compute @workgroup_size(${THREADS})
fn main(${INPUTS}) {
  let piece = U.item_base + wid.x; let tile = piece % U.count;
  let number = U.source_at + piece / U.count; let item = number * ${ITEM_WORDS}u;
  let batch = word(item); let first = word(item + 1u);
  let begin = word(item + 2u) + tile * U.tile_columns;
  let end = min(word(item + 3u), begin + U.tile_columns);
  if (begin >= end) { return; }
${RANGES[side]}
  // what repeats is read once
  let query = row / U.group;
  let queries = select((row_end - 1u) / U.group + 1u - query, 1u, U.${name}_row == 0u);
  let keys = select(key_end - key, 1u, U.${name}_column == 0u);
  let fours = (keys + 3u) / 4u;
  var found = 0u;
  for (var n = li; n < queries * fours && found != ${both}u; n += ${THREADS}u) {
    let j = 4u * (n % fours);
    let bytes = four(${row} + (key + j) * U.${name}_column);
    let there = 0xffffffffu >> (8u * (4u - min(4u, keys - j)));
    if ((bytes & there) != 0u) { found |= ${SOME_SEEN}u; }
    let filled = bytes | ~there; // some byte of it is zero
    if (((filled - 0x01010101u) & ~filled & 0x80808080u) != 0u) { found |= ${SOME_HIDDEN}u; }
  }
  let at = U.classified_at + number * U.verdict_words + tile / ${VERDICTS_OF_WORD}u;
  let bits = found << (2u * (tile % ${VERDICTS_OF_WORD}u));
  if ((word(at) & bits) != bits) { atomicOr(&schedule[at], bits); }
}`);
}
