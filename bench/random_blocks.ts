/**
 * Block-sparse masks of random blocks: the same number in every row of blocks, the diagonal among them.
 * @module
 */

import { type BlockMask, blockMaskFromLists } from "../mod.ts";

/** Edge of the blocks: a usual size of block-sparse attention. */
export const BLOCK = 128;

/** Random blocks of a square problem. */
export interface RandomBlocks {
  /** The visible blocks of each row, rising. */
  readonly rows: readonly (readonly number[])[];
  /** How many a row has, of how many. */
  readonly each: number;
  readonly count: number;
  readonly mask: BlockMask;
}

/** `prime`: stored figures are of the blocks that it draws. */
export function randomBlocks(length: number, density: number, prime: number): RandomBlocks {
  const count = length / BLOCK, each = Math.max(1, Math.round(density * count));
  let state = 12345;
  const rows = Array.from({ length: count }, (_, row) => {
    const chosen = new Set([row]);
    while (chosen.size < each) {
      state = Math.imul(state, 1664525) + 1013904223 >>> 0;
      chosen.add(state % prime % count);
    }
    return [...chosen].sort((a, b) => a - b);
  });
  const offsets = Int32Array.from({ length: count + 1 }, (_, row) => row * each);
  const full = { offsets, columns: Int32Array.from(rows.flat()) };
  const partial = { offsets: new Int32Array(count + 1), columns: new Int32Array(0) };
  const sizes = { lengthQ: length, lengthK: length, blockSize: BLOCK };
  return { rows, each, count, mask: blockMaskFromLists({ ...sizes, full, partial }) };
}
