// mask: a byte for each pair, 1 = may attend, behind the work items in `tables`.

/** `mask4(at)`: four of its bytes as booleans. */
export const MASK = `fn mask_byte(i: u32) -> bool {
  let b = U.mask_byte + i; return ((tables[b >> 2u] >> ((b & 3u) * 8u)) & 0xffu) != 0u;
}
fn mask4(at: vec4<u32>) -> vec4<bool> {
  return vec4<bool>(mask_byte(at.x), mask_byte(at.y), mask_byte(at.z), mask_byte(at.w));
}`;

/** A vote of the workgroup: whether any thread sees a pair of this tile. */
export const VOTE = `var<workgroup> vote: atomic<u32>;
var<workgroup> outcome: u32;`;

/** Runs `body` unless no thread said `any`. Costs three barriers; a tile that is skipped costs nothing more. */
export function ifAnySees(any: string, body: string): string {
  return `  if (li == 0u) { atomicStore(&vote, 0u); }
  workgroupBarrier();
  if (${any}) { atomicStore(&vote, 1u); }
  workgroupBarrier();
  if (li == 0u) { outcome = atomicLoad(&vote); }
  if (workgroupUniformLoad(&outcome) != 0u) {
${body}
  }`;
}
