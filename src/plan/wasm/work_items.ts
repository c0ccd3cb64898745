// The schedule: which rows meet which keys, as data. Made once, read by every thread.
import { Kernel } from "../../../asm/abi.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import type { KernelName } from "../kernel.ts";
import type { Tile } from "./tiles.ts";
import { visiblePairs } from "../visible.ts";
import type { Span3 } from "./regions.ts";

/** One piece of work. `head` is a query head in forward and joins, a kv head in decode and backward. */
export interface WorkItem {
  readonly kernel: Kernel;
  readonly batch: number;
  readonly head: number;
  readonly rowBegin: number;
  readonly rowEnd: number;
  readonly keyBegin: number;
  readonly keyEnd: number;
  /** Where a partial result goes; -1 for the final place. */
  readonly slot: number;
  /** Visible (query, key) pairs: what it costs. */
  readonly pairs: number;
}

/** For each sequence, its key ranges. */
export type KeyCuts = readonly (readonly [begin: number, end: number])[][];

type Items = { items: WorkItem[]; joins: WorkItem[] };

/** Blocks of rows of every query head. */
function forwardItems(problem: AttentionProblem, tile: Tile, span: Span3): WorkItem[] {
  const group = problem.queryHeads / problem.kvHeads, items: WorkItem[] = [];
  for (let batch = span.batchBegin; batch < span.batchEnd; batch++) {
    for (let rowBegin = span.rowBegin; rowBegin < span.rowEnd; rowBegin += tile.rows) {
      const rowEnd = Math.min(rowBegin + tile.rows, span.rowEnd);
      const pairs = visiblePairs(problem.spans[batch], rowBegin, rowEnd, 0, problem.lengthK);
      for (let head = span.kvHeadBegin * group; head < span.kvHeadEnd * group; head++) {
        const keyEnd = problem.lengthK, slot = -1;
        items.push({
          kernel: Kernel.Forward,
          batch,
          head,
          rowBegin,
          rowEnd,
          keyBegin: 0,
          keyEnd,
          slot,
          pairs,
        });
      }
    }
  }
  return items;
}

/** Ranges of keys of every kv head, with all its query heads. */
function groupItems(
  problem: AttentionProblem,
  kernel: Kernel,
  cuts: KeyCuts,
  span: Span3,
  slotOf: (part: number, parts: number) => number,
): WorkItem[] {
  const group = problem.queryHeads / problem.kvHeads, items: WorkItem[] = [];
  const { rowBegin, rowEnd } = span;
  for (let batch = span.batchBegin; batch < span.batchEnd; batch++) {
    cuts[batch].forEach(([keyBegin, keyEnd], part) => {
      const pairs = group *
        visiblePairs(problem.spans[batch], rowBegin, rowEnd, keyBegin, keyEnd);
      const slot = slotOf(part, cuts[batch].length);
      for (let head = span.kvHeadBegin; head < span.kvHeadEnd; head++) {
        items.push({ kernel, batch, head, rowBegin, rowEnd, keyBegin, keyEnd, slot, pairs });
      }
    });
  }
  return items;
}

/** Rows of every query head, for what joins partial results. */
function joinItems(problem: AttentionProblem, kernel: Kernel, span: Span3): WorkItem[] {
  const group = problem.queryHeads / problem.kvHeads, items: WorkItem[] = [];
  const { rowBegin, rowEnd } = span;
  for (let batch = span.batchBegin; batch < span.batchEnd; batch++) {
    for (let head = span.kvHeadBegin * group; head < span.kvHeadEnd * group; head++) {
      items.push({
        kernel,
        batch,
        head,
        rowBegin,
        rowEnd,
        keyBegin: 0,
        keyEnd: 0,
        slot: -1,
        pairs: 0,
      });
    }
  }
  return items;
}

/** The work of one window: items longest first, so that threads finish together. */
export function windowItems(
  problem: AttentionProblem,
  kernel: KernelName,
  tile: Tile,
  cuts: KeyCuts,
  span: Span3,
): Items {
  const longestFirst = (items: WorkItem[]) => items.sort((a, b) => b.pairs - a.pairs);
  if (kernel === "forward") {
    return { items: longestFirst(forwardItems(problem, tile, span)), joins: [] };
  }
  const parts = cuts[0]?.length ?? 1;
  if (kernel === "decode") {
    const slot = (part: number) => parts > 1 ? part : -1;
    return {
      items: longestFirst(groupItems(problem, Kernel.Decode, cuts, span, slot)),
      joins: parts > 1 ? joinItems(problem, Kernel.Merge, span) : [],
    };
  }
  // the first range of keys writes dQ itself, the others partial sums that are added in their order
  const items = groupItems(problem, Kernel.Backward, cuts, span, (part) => part - 1);
  const joins = parts > 1 ? joinItems(problem, Kernel.SumQueryGradient, span) : [];
  return { items: longestFirst(items), joins };
}
