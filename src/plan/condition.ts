// The mask function of a call: what says something about whole tiles of one head, and how that is asked.
import type { Domain } from "../expression/intervals.ts";
import type { Traced } from "../expression/traced.ts";
import { type Classifier, MIXED, type Verdict } from "../expression/verdict.ts";
import { feature } from "../problem/features/table.ts";
import type { AttentionProblem } from "../problem/problem.ts";

/** The function of a problem that says something about tiles; undefined where it has none. */
export function conditionOf({ features }: AttentionProblem): Traced | undefined {
  return features.map(({ name, params }) => feature(name).traced?.(params))
    .find((traced) => traced?.classifier);
}

/** One head of a sequence. */
export function domainOfHead(problem: AttentionProblem, batch: number, head: number): Domain {
  const { lengthQ, lengthK, offset } = problem.spans[batch]!;
  const kvHead = Math.floor(head * problem.kvHeads / problem.queryHeads);
  return {
    batch: [batch, batch],
    head: [head, head],
    kvHead: [kvHead, kvHead],
    lengthQ: [lengthQ, lengthQ],
    lengthK: [lengthK, lengthK],
    offset: [offset, offset],
  };
}

/** The smallest tiles that are asked about; both sides are powers of two. */
export interface LeastTile {
  readonly rows: number;
  readonly keys: number;
}

/**
 * Asks about queries [rowBegin, rowEnd) and the first `keys` keys from coarse to fine: a square, and its quarters where it
 * is mixed. `use` is told of every tile with its verdict, once.
 */
export function askCoarseToFine(
  verdictOf: Classifier,
  [rowBegin, rowEnd]: readonly [number, number],
  keys: number,
  least: LeastTile,
  use: (verdict: Verdict, row: number, endRow: number, key: number, endKey: number) => void,
): void {
  const { rows: leastRows, keys: leastKeys } = least;
  // calls as little as it can: in a first call this runs before it is compiled, where calls are what takes the time
  const visit = (row: number, key: number, size: number): void => {
    if (row >= rowEnd || key >= keys) return;
    const height = size > leastRows ? size : leastRows, width = size > leastKeys ? size : leastKeys;
    const endRow = row + height < rowEnd ? row + height : rowEnd;
    const endKey = key + width < keys ? key + width : keys;
    const verdict = verdictOf(row, endRow, key, endKey), half = size / 2;
    if (verdict !== MIXED || (size <= leastRows && size <= leastKeys)) {
      return use(verdict, row, endRow, key, endKey);
    }
    const down = half > leastRows ? half : leastRows, along = half > leastKeys ? half : leastKeys;
    for (let i = row; i < row + height; i += down) {
      for (let j = key; j < key + width; j += along) visit(i, j, half);
    }
  };
  const longest = Math.max(rowEnd - rowBegin, keys, 32);
  visit(rowBegin, 0, 2 ** Math.ceil(Math.log2(longest)));
}
