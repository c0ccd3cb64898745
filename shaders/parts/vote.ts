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

/** A verdict that `ifSeen` reads. */
export interface TileVerdict {
  /** What it is called. */
  readonly name: string;
  /** The word of the uniform block that says where those of item 0 begin. */
  readonly at: string;
}

/** Whether pairs must be looked at to know which are seen. */
export const isMixed = ({ name }: TileVerdict): string => `${name} == ${SOME_SEEN | SOME_HIDDEN}u`;

/** Reads the verdicts about tile number `tile` of the item, and runs `body` unless one says that no pair is seen. */
export function ifSeen(tile: string, verdicts: readonly TileVerdict[], body: string): string {
  const read = ({ name, at }: TileVerdict) =>
    `  let ${name} = (schedule[U.${at} + verdict_word] >> verdict_bit) & 3u;`;
  const names = verdicts.map(({ name }) => `${name} & `).join("");
  return `  let tile = ${tile};
  let verdict_word = (U.item_base + wid.x) * U.verdict_words + tile / ${VERDICTS_OF_WORD}u;
  let verdict_bit = 2u * (tile % ${VERDICTS_OF_WORD}u);
${verdicts.map(read).join("\n")}
  if ((${names}${SOME_SEEN}u) != 0u) {
${body}
  }`;
}
