// What a condition says about whole tiles, and about all blocks of a grid, from coarse to fine.
import type { BlockGrid } from "./block_grid.ts";
import type { BlockSides } from "./block_sizes.ts";
import type { Graph } from "./graph.ts";
import { type Domain, domainOf, type ExtremesOf, rangesOf } from "./intervals.ts";
import type { Place } from "./symbols.ts";
import { type Classifier, MIXED, type Verdict } from "./verdict.ts";

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

/**
 * Fills the grid of blocks of `blockSize`, of which those at the ends of the lengths are smaller, over all places of a
 * domain. Returns how many squares of blocks it asked about.
 */
export function classifyBlocks(
  grid: BlockGrid,
  graph: Graph,
  domain: Domain,
  [height, width]: BlockSides,
  known?: ExtremesOf,
): number {
  const verdictOf = domainClassifier(graph, domain, known);
  const lengthQ = domain.lengthQ[1], lengthK = domain.lengthK[1];
  return grid.classify((top, bottom, left, right) =>
    verdictOf(
      top * height,
      Math.min(lengthQ, bottom * height),
      left * width,
      Math.min(lengthK, right * width),
    )
  );
}
