// What a mask function leaves of the blocks of a call, for explain(): found from ranges, as for a call.
import { ALWAYS, MIXED, NEVER, type Verdict } from "../expression/verdict.ts";
import { feature } from "../problem/features/table.ts";
import type { AttentionProblem } from "../problem/problem.ts";

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
  const { features, spans: [span], queryHeads } = problem;
  const classifier = features.map(({ name, params }) => feature(name).traced?.(params).classifier)
    .find((one) => one !== undefined);
  if (!classifier || !span || queryHeads === 0) return undefined;
  const { lengthQ, lengthK, offset } = span, begin = performance.now();
  const ask = classifier({
    ...{ batch: [0, 0], head: [0, 0], kvHead: [0, 0], offset: [offset, offset] },
    ...{ lengthQ: [lengthQ, lengthQ], lengthK: [lengthK, lengthK] },
  }, new Map());
  const counts: Record<Verdict, number> = { [NEVER]: 0, [ALWAYS]: 0, [MIXED]: 0 };
  // from coarse to fine: a square, and its quarters where it is mixed
  const visit = (row: number, key: number, size: number): void => {
    if (row >= lengthQ || key >= lengthK) return;
    const endRow = Math.min(lengthQ, row + size), endKey = Math.min(lengthK, key + size);
    const verdict = ask(row, endRow, key, endKey), half = size / 2;
    if (verdict !== MIXED || size === SIZE) {
      counts[verdict] += Math.ceil((endRow - row) / SIZE) * Math.ceil((endKey - key) / SIZE);
      return;
    }
    for (const i of [row, row + half]) for (const j of [key, key + half]) visit(i, j, half);
  };
  const longest = Math.max(lengthQ, lengthK, SIZE);
  visit(0, 0, SIZE * 2 ** Math.ceil(Math.log2(longest / SIZE)));
  return {
    ...{ blockSize: SIZE, empty: counts[NEVER], partial: counts[MIXED], full: counts[ALWAYS] },
    milliseconds: performance.now() - begin,
  };
}
