// The schedule: which rows meet which keys, as data. Made once, read by every thread.
import { Kernel } from "../../../asm/abi.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import type { KernelName } from "../kernel.ts";
import type { Tile } from "./tiles.ts";
import { visiblePairs } from "../visible.ts";
import type { LinkedRegion } from "./chunks.ts";
import type { Region } from "./regions.ts";

/** One piece of work. `head` is a kv head in decode and backward, a query head otherwise. */
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

/** A step of the work on a region. Steps run one after the other, the items of one in any order. */
export interface Step {
  readonly kernel: Kernel;
  /** Independent of each other, longest first. */
  readonly items: readonly WorkItem[];
  /** Whether threads share the items; those of short steps are not worth handing over. */
  readonly shared: boolean;
}

/** The key ranges of a sequence. */
export type KeyCuts = (sequence: number) => readonly (readonly [begin: number, end: number])[];

/** Blocks of rows of every query head. */
function forwardItems(problem: AttentionProblem, tile: Tile, region: Region): WorkItem[] {
  const group = problem.queryHeads / problem.kvHeads, items: WorkItem[] = [];
  const { keyBegin, keyEnd } = region, kernel = Kernel.Forward, slot = -1;
  for (let batch = region.batchBegin; batch < region.batchEnd; batch++) {
    for (let rowBegin = region.rowBegin; rowBegin < region.rowEnd; rowBegin += tile.rows) {
      const rowEnd = Math.min(rowBegin + tile.rows, region.rowEnd);
      const pairs = visiblePairs(problem.spans[batch]!, rowBegin, rowEnd, keyBegin, keyEnd);
      for (let head = region.kvHeadBegin * group; head < region.kvHeadEnd * group; head++) {
        items.push({ kernel, batch, head, rowBegin, rowEnd, keyBegin, keyEnd, slot, pairs });
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
  region: Region,
  slotOf: (split: number) => number,
): WorkItem[] {
  const group = problem.queryHeads / problem.kvHeads, items: WorkItem[] = [];
  const { rowBegin, rowEnd } = region;
  for (let batch = region.batchBegin; batch < region.batchEnd; batch++) {
    cuts(batch).forEach(([keyBegin, keyEnd], split) => {
      const pairs = group *
        visiblePairs(problem.spans[batch]!, rowBegin, rowEnd, keyBegin, keyEnd);
      const slot = slotOf(split);
      for (let head = region.kvHeadBegin; head < region.kvHeadEnd; head++) {
        items.push({ kernel, batch, head, rowBegin, rowEnd, keyBegin, keyEnd, slot, pairs });
      }
    });
  }
  return items;
}

/** The kernel of a call that looks inside. */
function insideKernel({ pass, operands }: AttentionProblem): Kernel {
  if (pass === "topKeys") return Kernel.TopKeys;
  if (pass === "columnSums") return Kernel.ColumnSums;
  return operands.lse ? Kernel.Probabilities : Kernel.Scores;
}

/** Tiles of keys of one item where it makes scores. */
const SCORE_TILES = 8;

/** Rectangles of every query head: of all keys where the largest are looked for, of all rows where they are summed. */
function insideItems(problem: AttentionProblem, tile: Tile, region: Region): WorkItem[] {
  const { queryHeads, kvHeads, lengthK, pass, spans } = problem, group = queryHeads / kvHeads;
  const { rowBegin: first, rowEnd: last } = region, kernel = insideKernel(problem);
  const rows = pass === "columnSums" ? Math.max(1, last - first) : tile.rows;
  const keys = pass === "topKeys" ? lengthK : tile.keys * (pass === "scores" ? SCORE_TILES : 1);
  const items: WorkItem[] = [], slot = -1;
  for (let batch = region.batchBegin; batch < region.batchEnd; batch++) {
    for (let rowBegin = first; rowBegin === first || rowBegin < last; rowBegin += rows) {
      const rowEnd = Math.min(last, rowBegin + rows);
      for (let keyBegin = 0; keyBegin < lengthK; keyBegin += keys) {
        const keyEnd = Math.min(lengthK, keyBegin + keys);
        const pairs = visiblePairs(spans[batch]!, rowBegin, rowEnd, keyBegin, keyEnd);
        for (let head = region.kvHeadBegin * group; head < region.kvHeadEnd * group; head++) {
          items.push({ kernel, batch, head, rowBegin, rowEnd, keyBegin, keyEnd, slot, pairs });
        }
      }
    }
  }
  return items;
}

/**
 * Operations of an item of documents: most, a millisecond, since its first rows are not in the cache yet; a fraction of all, so
 * that threads finish together; least. And documents of one.
 */
const DOCUMENT_FLOPS = { most: 32e6, share: 1 / 32, least: 2e6 }, MOST_DOCUMENTS = 512;

/** Whole documents of a region, with each set of queries; `rows` of an item are documents, its keys their rows. */
function documentItems(
  problem: AttentionProblem,
  [first, last]: readonly [number, number],
): WorkItem[] {
  const { queryHeads, lengthQ, headDim } = problem, starts = problem.documents!;
  const row = Math.max(1, 2 * lengthQ * headDim), { most, share, least } = DOCUMENT_FLOPS;
  const rows = Math.max(least, Math.min(most, share * row * starts.at(-1)! * queryHeads)) / row;
  const kernel = Kernel.MaxSim, batch = 0, slot = -1, items: WorkItem[] = [];
  for (let rowBegin = first, rowEnd = first; rowBegin < last; rowBegin = rowEnd) {
    const keyBegin = starts[rowBegin]!;
    do rowEnd++; while (
      rowEnd < last && rowEnd - rowBegin < MOST_DOCUMENTS && starts[rowEnd]! - keyBegin < rows
    );
    const keyEnd = starts[rowEnd]!, pairs = lengthQ * (keyEnd - keyBegin);
    for (let head = 0; head < queryHeads; head++) {
      items.push({ kernel, batch, head, rowBegin, rowEnd, keyBegin, keyEnd, slot, pairs });
    }
  }
  return items;
}

/** The most documents of an item of a problem. */
export function mostDocuments({ documents }: AttentionProblem): number {
  return Math.min(MOST_DOCUMENTS, (documents?.length ?? 1) - 1);
}

/** Rows of every query head, for what combines partial results. */
function combineItems(problem: AttentionProblem, kernel: Kernel, region: Region): WorkItem[] {
  const group = problem.queryHeads / problem.kvHeads, items: WorkItem[] = [];
  const { rowBegin, rowEnd } = region, none = { keyBegin: 0, keyEnd: 0, slot: -1, pairs: 0 };
  for (let batch = region.batchBegin; batch < region.batchEnd; batch++) {
    for (let head = region.kvHeadBegin * group; head < region.kvHeadEnd * group; head++) {
      items.push({ kernel, batch, head, rowBegin, rowEnd, ...none });
    }
  }
  return items;
}

/** The work on one region, in order. */
export function regionSteps(
  problem: AttentionProblem,
  name: KernelName,
  tile: Tile,
  cuts: { readonly splits: number; readonly of: KeyCuts },
  region: LinkedRegion,
): Step[] {
  // longest first, so that threads finish together
  const main = (kernel: Kernel, items: WorkItem[]): Step => ({
    kernel,
    items: items.sort((a, b) => b.pairs - a.pairs),
    shared: true,
  });
  const combine = (kernel: Kernel): Step => ({
    kernel,
    items: combineItems(problem, kernel, region),
    shared: false,
  });
  if (name === "forward") {
    const merges = region.parts > 1 && region.lastKeys;
    const items = forwardItems(problem, tile, region);
    return [main(Kernel.Forward, items), ...(merges ? [combine(Kernel.Combine)] : [])];
  }
  if (region.documents) return [main(Kernel.MaxSim, documentItems(problem, region.documents))];
  if (name === "inside") {
    const items = insideItems(problem, tile, region);
    return [main(insideKernel(problem), items)];
  }
  const split = cuts.splits > 1;
  if (name === "decode") {
    const slotOf = (n: number) => split ? n : -1;
    const items = groupItems(problem, Kernel.Decode, cuts.of, region, slotOf);
    return [main(Kernel.Decode, items), ...(split ? [combine(Kernel.Combine)] : [])];
  }
  // the first split writes dQ itself, the others partial sums that are added in their order
  const items = groupItems(problem, Kernel.Backward, cuts.of, region, (n) => n - 1);
  return [main(Kernel.Backward, items), ...(split ? [combine(Kernel.ReduceDq)] : [])];
}
