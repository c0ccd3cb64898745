// What a condition shows of blocks of queries × 16 keys, found without looking at pairs: a byte for each, as in the
// summary of a tensor of bytes (asm/features/blocks.ts).
import { ALWAYS, type Classifier, MIXED, NEVER, type Verdict } from "../../expression/verdict.ts";
import { askCoarseToFine, type LeastTile } from "../../plan/condition.ts";

/** Keys of a block. */
export const BLOCK_KEYS = 16;

/** What each verdict about a tile means for its blocks: empty, partial or full. */
const SEEN: Readonly<Record<Verdict, number>> = { [NEVER]: 0, [MIXED]: 1, [ALWAYS]: 2 };
/** Of what is seen only in part. */
export const PARTIAL: number = SEEN[MIXED];

/**
 * Asking takes 0.3 µs, computing 32 × 32 pairs 5 (head dimension 64): a mask of which all tiles are partial costs 7 % of
 * one head.
 */
const LEAST: LeastTile = { rows: 32, keys: 32 };

/**
 * The smallest tiles worth asking about, whose queries are also those of a block: where verdicts are at hand, those that they change at. Panels have 8 queries, and
 * regions of queries begin at multiples of 256.
 */
export function leastTile(grain: readonly [rows: number, keys: number] | undefined): LeastTile {
  if (!grain) return LEAST;
  const [rows, keys] = grain.map((n) => Math.min(32, n === 0 ? 32 : n)) as [number, number];
  return { rows: Math.max(8, rows), keys: Math.max(BLOCK_KEYS, keys) };
}

/** Where blocks are written: rows of `columns` bytes, the first for the queries from `rowBegin` on; empty at first. */
export interface BlockRows {
  readonly bytes: Uint8Array;
  readonly columns: number;
  readonly rowBegin: number;
  readonly rowEnd: number;
}

/** Writes what is seen of the blocks of some queries and of the first `keys` keys. */
export function writeVisibleBlocks(
  verdictOf: Classifier,
  { bytes, columns, rowBegin, rowEnd }: BlockRows,
  keys: number,
  least: LeastTile,
): void {
  const fill = (verdict: Verdict, row: number, endRow: number, key: number, endKey: number) => {
    for (let i = row; verdict !== NEVER && i < endRow; i += least.rows) {
      const at = (i - rowBegin) / least.rows * columns;
      bytes.fill(SEEN[verdict], at + key / BLOCK_KEYS, at + Math.ceil(endKey / BLOCK_KEYS));
    }
  };
  askCoarseToFine(verdictOf, [rowBegin, rowEnd], keys, least, fill);
}
