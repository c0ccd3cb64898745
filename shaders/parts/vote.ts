// What is known of a tile before its products: verdicts of the schedule, and a vote of the workgroup where those are
// not enough.
import { SOME_HIDDEN, SOME_SEEN, VERDICTS_OF_WORD } from "../abi.ts";

/** Declares what a vote needs. */
export const VOTE = `var<workgroup> vote: atomic<u32>;
var<workgroup> outcome: u32;`;

/** Runs `body` unless there is a vote, where `when` holds, and no thread says `any`. Costs three barriers. */
export function unlessNone(when: string, any: string, body: string): string {
  return `  var run = true;
  if (${when}) {
  if (li == 0u) { atomicStore(&vote, 0u); }
  workgroupBarrier();
  if (${any}) { atomicStore(&vote, 1u); }
  workgroupBarrier();
  if (li == 0u) { outcome = atomicLoad(&vote); }
  run = workgroupUniformLoad(&outcome) != 0u;
  }
  if (run) {
${body}
  }`;
}

/** Verdicts about the tiles of items. */
export interface TileVerdicts {
  /** What that about the tile at hand is called. */
  readonly name: string;
  /** The word of the uniform block that says where those of item 0 begin. */
  readonly at: string;
}

/** Whether pairs must be looked at to know which are seen. */
export const isMixed = ({ name }: TileVerdicts): string => `${name} == ${SOME_SEEN | SOME_HIDDEN}u`;

const WORD = `(U.item_base + wid.x) * U.verdict_words`;
/** Tiles of a word, and the bit that says of each that it may be seen. */
const TILES = `${VERDICTS_OF_WORD}u`, SEEN_BITS = "0x55555555u";

/** Reads the verdicts about tile number `tile` of the item. */
export function readVerdicts(tile: string, verdicts: readonly TileVerdicts[]): string {
  const read = ({ name, at }: TileVerdicts) =>
    `  let ${name} = (schedule[U.${at} + verdict_word] >> verdict_bit) & 3u;`;
  return `  let tile = ${tile};
  let verdict_word = ${WORD} + tile / ${TILES};
  let verdict_bit = 2u * (tile % ${TILES});
${verdicts.map(read).join("\n")}`;
}

/**
 * Declares the search for tiles that may be seen: the next one from `tile` on, of `tiles`, and how many tiles there are
 * up to the last one, of the first `tiles`. Words of which no tile is seen are passed at once.
 */
export function declareSearch(verdicts: readonly TileVerdicts[], backwards: boolean): string {
  const words = verdicts.map(({ at }) => `schedule[U.${at} + word]`).join(" & ");
  return `fn seen_bits(word: u32) -> u32 { return ${words} & ${SEEN_BITS}; }
${
    backwards
      ? `fn seen_tiles(word: u32, tiles: u32) -> u32 {
  var t = tiles;
  while (t > 0u) {
    let bits = seen_bits(word + (t - 1u) / ${TILES}) << (2u * (${TILES} - 1u - (t - 1u) % ${TILES}));
    if (bits != 0u) { return t - countLeadingZeros(bits) / 2u; }
    t = (t - 1u) / ${TILES} * ${TILES};
  }
  return 0u;
}`
      : `fn next_seen(word: u32, tile: u32, tiles: u32) -> u32 {
  var t = tile;
  while (t < tiles) {
    let bits = seen_bits(word + t / ${TILES}) >> (2u * (t % ${TILES}));
    if (bits != 0u) { return t + countTrailingZeros(bits) / 2u; }
    t = (t / ${TILES} + 1u) * ${TILES};
  }
  return tiles;
}`
  }`;
}

/** At the begin of a loop over tiles of `size` from `begin` to `end`, where `at` begins one: moves on to one that is seen. */
export function moveToSeen(at: string, size: number): string {
  return `  ${at} = begin + next_seen(${WORD}, (${at} - begin) / ${size}u, (end - begin + ${
    size - 1
  }u) / ${size}u) * ${size}u;
  if (${at} >= end) { break; }`;
}

/** The same where the last of `left` tiles is next. */
export function moveBackToSeen(left: string): string {
  return `  ${left} = seen_tiles(${WORD}, ${left});
  if (${left} == 0u) { break; }`;
}
