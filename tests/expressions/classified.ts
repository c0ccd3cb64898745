/** The blocks of a mask at one place, as a plain array of verdicts. */

import { BlockGrid } from "../../src/expression/block_grid.ts";
import { classifyBlocks } from "../../src/expression/classify.ts";
import type { Graph } from "../../src/expression/graph.ts";
import { domainOf } from "../../src/expression/intervals.ts";
import type { Place } from "../../src/expression/symbols.ts";
import { MIXED } from "../../src/expression/verdict.ts";

/** A verdict for each block of a grid, row-major, and how many squares of blocks were asked about. */
export interface Classified {
  readonly verdicts: Uint8Array;
  readonly rows: number;
  readonly columns: number;
  readonly asked: number;
}

/** The verdicts of a grid. */
export function verdictsOf(grid: BlockGrid): Uint8Array {
  const { rows, columns } = grid;
  return Uint8Array.from({ length: rows * columns }, (_, n) => {
    const row = Math.floor(n / columns), column = n % columns;
    return grid.over(row, row + 1, column, column + 1) ?? MIXED;
  });
}

/** Classifies every block of `height` queries × `width` keys. */
export function classified(graph: Graph, place: Place, height: number, width: number): Classified {
  const rows = Math.ceil(place.lengthQ / height), columns = Math.ceil(place.lengthK / width);
  const grid = new BlockGrid(rows, columns);
  const asked = classifyBlocks(grid, graph, domainOf(place), [height, width]);
  return { verdicts: verdictsOf(grid), rows, columns, asked };
}
