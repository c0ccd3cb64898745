/**
 * Block-sparse masks: random blocks, the diagonal among them, or those near it. The same number in every row.
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
  return { rows, each, count, mask: maskOf(length, rows) };
}

/** The blocks nearest to the diagonal and the first one: `each` in every row, or all there are. */
export function nearBlocks(length: number, each: number): BlockMask {
  const count = length / BLOCK, all = Array.from({ length: count }, (_, column) => column);
  const rows = all.map((row) => {
    const distance = (column: number) => column === 0 ? 0 : Math.abs(column - row);
    const nearest = [...all].sort((a, b) => distance(a) - distance(b) || a - b).slice(0, each);
    return nearest.sort((a, b) => a - b);
  });
  return maskOf(length, rows);
}

/** The mask whose full blocks these are. */
function maskOf(length: number, rows: readonly (readonly number[])[]): BlockMask {
  const offsets = new Int32Array(rows.length + 1);
  rows.forEach((columns, row) => offsets[row + 1] = offsets[row]! + columns.length);
  const full = { offsets, columns: Int32Array.from(rows.flat()) };
  const partial = { offsets: new Int32Array(rows.length + 1), columns: new Int32Array(0) };
  return blockMaskFromLists({ lengthQ: length, lengthK: length, blockSize: BLOCK, full, partial });
}
