// What a mask function leaves of the blocks of a call, for explain(): found from ranges, as for a call.
import { ALWAYS, MIXED, NEVER, type Verdict } from "../expression/verdict.ts";
import type { AttentionProblem } from "../problem/problem.ts";
import { askCoarseToFine, conditionOf, domainOfHead } from "./condition.ts";

/** Queries and keys of a block. */
const SIZE = 128;

/** Blocks of the first head of the first sequence, by what a mask function shows of them. */
export interface ExplainedBlocks {
  /** Queries and keys of a block; those at the ends may be smaller. */
  readonly blockSize: number;
  /** Without a visible pair: they are skipped. */
  readonly empty: number;
  /** With visible and hidden pairs, as far as is known without a look at pairs. */
  readonly partial: number;
  /** With visible pairs only: they run without the mask. */
  readonly full: number;
  /** What finding that out took, in milliseconds. */
  readonly milliseconds: number;
}

/** What the mask function of a problem shows; undefined where it has none. */
export function explainedBlocks(problem: AttentionProblem): ExplainedBlocks | undefined {
  const condition = conditionOf(problem), { spans: [span], queryHeads } = problem;
  if (!condition || !span || queryHeads === 0) return undefined;
  const begin = performance.now(), { lengthQ, lengthK } = span;
  const ask = condition.classifier!(domainOfHead(problem, 0, 0), new Map());
  const counts: Record<Verdict, number> = { [NEVER]: 0, [ALWAYS]: 0, [MIXED]: 0 };
  const least = { rows: SIZE, keys: SIZE };
  askCoarseToFine(ask, [0, lengthQ], lengthK, least, (verdict, row, endRow, key, endKey) => {
    const most = SIZE - 1; // of which the last block may lack
    counts[verdict] += ((endRow - row + most) / SIZE | 0) * ((endKey - key + most) / SIZE | 0);
  });
  return {
    ...{ blockSize: SIZE, empty: counts[NEVER], partial: counts[MIXED], full: counts[ALWAYS] },
    milliseconds: performance.now() - begin,
  };
}
