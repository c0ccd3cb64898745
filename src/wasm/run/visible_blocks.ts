// What a condition shows of blocks of 8 queries × 16 keys, found without looking at pairs: a byte for each, as in the
// summary of a tensor of bytes (asm/features/blocks.ts).
import { ALWAYS, type Classifier, MIXED, NEVER, type Verdict } from "../../expression/verdict.ts";

/** Queries and keys of a block. */
export const BLOCK_ROWS = 8, BLOCK_KEYS = 16;

/** What each verdict about a tile means for its blocks: empty, partial or full. */
const SEEN: Readonly<Record<Verdict, number>> = { [NEVER]: 0, [MIXED]: 1, [ALWAYS]: 2 };
/** Of what is seen only in part. */
export const PARTIAL: number = SEEN[MIXED];

/**
 * Queries and keys of the smallest tiles that are asked about, several blocks. Asking takes 0.3 µs, computing 32 × 32
 * pairs 5 (head dimension 64): a mask of which all tiles are partial costs 7 % of one head.
 */
const LEAST = 32;

/** What is seen of the blocks of queries [rowBegin, rowEnd) and of the first `keys` keys; rows are `columns` bytes. */
export function visibleBlocks(
  verdictOf: Classifier,
  [rowBegin, rowEnd]: readonly [number, number],
  keys: number,
  columns: number,
): Uint8Array<ArrayBuffer> {
  const blocks = new Uint8Array(Math.ceil((rowEnd - rowBegin) / BLOCK_ROWS) * columns);
  const fill = (verdict: Verdict, row: number, endRow: number, key: number, endKey: number) => {
    for (let i = row; i < endRow; i += BLOCK_ROWS) {
      const at = (i - rowBegin) / BLOCK_ROWS * columns;
      blocks.fill(SEEN[verdict], at + key / BLOCK_KEYS, at + Math.ceil(endKey / BLOCK_KEYS));
    }
  };
  // from coarse to fine: a square, and its quarters where it is mixed
  const visit = (row: number, key: number, size: number): void => {
    if (row >= rowEnd || key >= keys) return;
    const endRow = Math.min(rowEnd, row + size), endKey = Math.min(keys, key + size);
    const verdict = verdictOf(row, endRow, key, endKey), half = size / 2;
    if (verdict !== MIXED || size === LEAST) return fill(verdict, row, endRow, key, endKey);
    visit(row, key, half);
    visit(row, key + half, half);
    visit(row + half, key, half);
    visit(row + half, key + half, half);
  };
  const longest = Math.max(rowEnd - rowBegin, keys, LEAST);
  visit(rowBegin, 0, LEAST * 2 ** Math.ceil(Math.log2(longest / LEAST)));
  return blocks;
}
