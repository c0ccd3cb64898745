// A vote of the workgroup, for tiles that may have nothing to do.

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
