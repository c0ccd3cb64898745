// What a block mask is to engines: a mask of pairs like any other, whose verdicts about tiles were found beforehand.
import type { BlockGrid } from "./block_grid.ts";
import type { BlockSides } from "./block_sizes.ts";
import { apply, gather, type Graph, symbol, Trace } from "./graph.ts";
import type { Domain } from "./intervals.ts";
import type { CapturedArray, Node } from "./node.ts";
import type { SymbolName } from "./symbols.ts";
import type { Traced } from "./traced.ts";
import { ALWAYS, type Classifier, MIXED, type Verdict } from "./verdict.ts";

/** The grids of a block mask, [batch][head], and how many of each there are: all of them, or 1. */
export interface BlockGrids {
  readonly blockSize: BlockSides;
  readonly grids: readonly BlockGrid[];
  readonly batches: number;
  readonly heads: number;
}

/** The grids of the sequences and heads of a domain. */
function gridsOf({ grids, batches, heads }: BlockGrids, domain: Domain): BlockGrid[] {
  const [firstHead, lastHead] = heads === 1 ? [0, 0] : domain.head;
  const [firstBatch, lastBatch] = batches === 1 ? [0, 0] : domain.batch;
  return grids.filter((_, n) => {
    const batch = Math.floor(n / heads), head = n % heads;
    return batch >= firstBatch && batch <= lastBatch && head >= firstHead && head <= lastHead;
  });
}

/** The largest power of two that divides both; 0 is divided by all. */
function commonPower(a: number, b: number): number {
  return (a | b) & -(a | b);
}

/**
 * A mask with its blocks, for pairs that count from `begin`. Within a block that is mixed, `inner` is asked, which is
 * what decides there: the same tiles are skipped as without blocks.
 */
export function withBlocks(
  mask: Traced,
  inner: Traced,
  blocks: BlockGrids,
  begin: readonly [query: number, key: number] = [0, 0],
): Traced {
  const { blockSize: [height, width] } = blocks, [query, key] = begin;
  const classifier: Traced["classifier"] = (domain, known) => {
    const grids = gridsOf(blocks, domain);
    let ask: Classifier | undefined;
    return (rowBegin, rowEnd, keyBegin, keyEnd) => {
      const top = Math.floor((query + rowBegin) / height);
      const bottom = Math.ceil((query + rowEnd) / height);
      const left = Math.floor((key + keyBegin) / width), right = Math.ceil((key + keyEnd) / width);
      let found: Verdict | undefined;
      for (let n = 0; n < grids.length; n++) {
        const verdict = grids[n]!.over(top, bottom, left, right);
        if (verdict === undefined || (n > 0 && verdict !== found)) return MIXED;
        found = verdict;
      }
      if (found !== MIXED || rowEnd - rowBegin > height || keyEnd - keyBegin > width) return found!;
      ask ??= inner.classifier!(domain, known);
      return ask(rowBegin, rowEnd, keyBegin, keyEnd);
    };
  };
  return {
    ...mask,
    classifier,
    grain: [commonPower(height, query), commonPower(width, key)],
    within: (rectangle) =>
      withBlocks(mask.within(rectangle), inner.within(rectangle), blocks, [
        query + rectangle.queryBegin,
        key + rectangle.keyBegin,
      ]),
  };
}

/** Lengths and diagonal that a block mask was made for. */
export interface BlockPlace {
  readonly lengthQ: number;
  readonly lengthK: number;
  /** The diagonal of query i is i + offset. */
  readonly offset: number;
}

/**
 * The graph of a mask whose lengths and diagonal are those of `place`, whatever those of a call are: from an array, so
 * that the text of a GPU's kernel is the same for all places.
 */
export function atPlace({ root }: Graph, { lengthQ, lengthK, offset }: BlockPlace): Graph {
  const data = Int32Array.of(offset, lengthQ, lengthK), trace = new Trace();
  const facts: CapturedArray = { data, shape: [3], gradient: false };
  const symbols: { readonly [name in SymbolName]?: () => Node } = {
    diagonal: () => apply("add", [symbol("query"), gather(facts, [0])]),
    lengthQ: () => gather(facts, [1]),
    lengthK: () => gather(facts, [2]),
  };
  return { root: trace.run(() => trace.adopt(root, (name) => symbols[name]?.())), trace };
}

/** The graph that reads the verdict of a pair's block, and asks `mask` where that is mixed. */
export function ofVerdicts(
  grid: BlockGrid,
  [height, width]: BlockSides,
  mask: Graph | undefined,
): Graph {
  const { data, pitch } = grid.words, trace = new Trace();
  const words: CapturedArray = { data, shape: [grid.rows, pitch], gradient: false };
  // the way to shift a word: dividing it by a power of four
  const powers: CapturedArray = {
    data: Int32Array.from({ length: 16 }, (_, n) => 4 ** n),
    shape: [16],
    gradient: false,
  };
  // the words come last: where arrays of other sizes begin, in the text of a GPU's kernel, is then the same for all grids
  const root = trace.run(() => {
    const inner = mask && trace.adopt(mask.root);
    const row = apply("floorDiv", [symbol("query"), height]);
    const column = apply("floorDiv", [symbol("key"), width]);
    const power = gather(powers, [apply("mod", [column, 16])]);
    const word = gather(words, [row, apply("floorDiv", [column, 16])]);
    const verdict = apply("mod", [apply("floorDiv", [word, power]), 4]);
    const full = apply("eq", [verdict, ALWAYS]);
    if (!inner) return full;
    return apply("or", [full, apply("and", [apply("eq", [verdict, MIXED]), inner])]);
  });
  return { root, trace };
}
