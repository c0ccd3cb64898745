// What is known of a condition over a whole tile.

/** True of no pair of a tile, of every pair, or not known: perhaps of some. */
export const NEVER = 0, ALWAYS = 1, MIXED = 2;
/** One of `NEVER`, `ALWAYS` and `MIXED`. */
export type Verdict = 0 | 1 | 2;

/** The verdict about queries `rowBegin` to `rowEnd − 1` and keys `keyBegin` to `keyEnd − 1`. */
export type Classifier = (
  rowBegin: number,
  rowEnd: number,
  keyBegin: number,
  keyEnd: number,
) => Verdict;
