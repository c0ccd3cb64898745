// What a condition says about whole tiles, and about all blocks of a grid, from coarse to fine.
import type { Graph } from "./graph.ts";
import { type Domain, domainOf, type ExtremesOf, rangesOf } from "./intervals.ts";
import type { Place } from "./symbols.ts";
import { type Classifier, MIXED, NEVER, type Verdict } from "./verdict.ts";

/** A verdict for each block of a grid. */
export interface Classified {
  /** Row-major: `rows` × `columns`. */
  readonly verdicts: Uint8Array;
  readonly rows: number;
  readonly columns: number;
  /** How many tiles were asked about, of all sizes. */
  readonly asked: number;
}

/** Makes the function that classifies tiles of one head of a sequence; they must lie within its lengths. */
export function classifier(graph: Graph, place: Place, known?: ExtremesOf): Classifier {
  return domainClassifier(graph, domainOf(place), known);
}

/** The same over all places of a domain: `ALWAYS` and `NEVER` hold for each of them. */
export function domainClassifier(
  { root }: Graph,
  domain: Domain,
  known?: ExtremesOf,
): Classifier {
  const ranges = rangesOf([root], domain, known);
  return (rowBegin, rowEnd, keyBegin, keyEnd) => {
    ranges.look(rowBegin, rowEnd, keyBegin, keyEnd);
    const low = ranges.low[0]!;
    return low === ranges.high[0] ? low as Verdict : MIXED;
  };
}

/** Classifies every block of `blockRows` queries × `blockKeys` keys; those at the ends are smaller. */
export function classifyBlocks(
  graph: Graph,
  place: Place,
  blockRows: number,
  blockKeys: number,
  known?: ExtremesOf,
): Classified {
  const verdictOf = classifier(graph, place, known), { lengthQ, lengthK } = place;
  const rows = Math.ceil(lengthQ / blockRows), columns = Math.ceil(lengthK / blockKeys);
  const verdicts = new Uint8Array(rows * columns);
  let asked = 0;
  /** Goes through the square of `size` blocks at (row, column), and through its quarters where it is mixed. */
  const visit = (row: number, column: number, size: number): void => {
    if (row >= rows || column >= columns) return;
    asked++;
    const rowEnd = Math.min(rows, row + size), columnEnd = Math.min(columns, column + size);
    const verdict = verdictOf(
      row * blockRows,
      Math.min(lengthQ, rowEnd * blockRows),
      column * blockKeys,
      Math.min(lengthK, columnEnd * blockKeys),
    );
    if (verdict === MIXED && size > 1) {
      const half = size / 2;
      visit(row, column, half);
      visit(row, column + half, half);
      visit(row + half, column, half);
      visit(row + half, column + half, half);
    } else if (verdict !== NEVER) {
      for (let r = row; r < rowEnd; r++) {
        verdicts.fill(verdict, r * columns + column, r * columns + columnEnd);
      }
    }
  };
  visit(0, 0, 2 ** Math.ceil(Math.log2(Math.max(rows, columns, 1))));
  return { verdicts, rows, columns, asked };
}
