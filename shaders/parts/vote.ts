// A vote of the workgroup, or a verdict of the schedule, for tiles that may have nothing to do.
import { NEVER } from "../../src/expression/verdict.ts";
import { VERDICTS_OF_WORD } from "../abi.ts";

/** Declares what a vote needs. */
export const VOTE = `var<workgroup> vote: atomic<u32>;
var<workgroup> outcome: u32;`;

/** Runs `body` unless no thread said `any`. Costs three barriers; a tile that is skipped costs nothing more. */
export function ifAny(any: string, body: string): string {
  return `  if (li == 0u) { atomicStore(&vote, 0u); }
  workgroupBarrier();
  if (${any}) { atomicStore(&vote, 1u); }
  workgroupBarrier();
  if (li == 0u) { outcome = atomicLoad(&vote); }
  if (workgroupUniformLoad(&outcome) != 0u) {
${body}
  }`;
}

/** Runs `body` unless the schedule says that no pair of the tile is seen. */
export function unlessNever(tile: string, body: string): string {
  return `  let tile = ${tile};
  let verdict_at = U.verdicts_at + (U.item_base + wid.x) * U.verdict_words + tile / ${VERDICTS_OF_WORD}u;
  let verdict = (schedule[verdict_at] >> (2u * (tile % ${VERDICTS_OF_WORD}u))) & 3u;
  if (verdict != ${NEVER}u) {
${body}
  }`;
}
