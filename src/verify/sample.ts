// Which rows of a call are drawn.
import type { AttentionProblem } from "../problem/problem.ts";
import type { VerifyChoice } from "../problem/verification.ts";
import { integer, randomNumbers } from "../tensor/random.ts";

/** A row of a tensor: of a sequence and a head. */
export interface DrawnRow {
  readonly batch: number;
  readonly head: number;
  readonly row: number;
}

/** Numbers from 0 to below `all`: the first, the last, and such as are drawn. */
function drawn({ rows, seed }: VerifyChoice, all: number): number[] {
  if (rows >= all) return Array.from({ length: all }, (_, n) => n);
  const chosen = new Set<number>([all - 1]);
  if (rows > 1) chosen.add(0);
  const random = randomNumbers(seed ^ seed / 2 ** 32);
  while (chosen.size < rows) chosen.add(integer(random, 0, all - 1));
  return [...chosen].sort((a, b) => a - b);
}

/** Rows of sequences of these lengths, in order; each head has all rows of a sequence. */
function drawnRows(choice: VerifyChoice, lengths: readonly number[], heads: number): DrawnRow[] {
  return drawn(choice, lengths.reduce((sum, n) => sum + n * heads, 0)).map((n) => {
    let batch = 0;
    while (n >= lengths[batch]! * heads) n -= lengths[batch++]! * heads;
    const length = lengths[batch]!;
    return { batch, head: Math.floor(n / length), row: n % length };
  });
}

/** Rows of queries. */
export function queryRows(choice: VerifyChoice, problem: AttentionProblem): DrawnRow[] {
  return drawnRows(choice, problem.spans.map(({ lengthQ }) => lengthQ), problem.queryHeads);
}

/** Rows of keys, also such as no query sees: their gradients are 0. */
export function keyRows(choice: VerifyChoice, problem: AttentionProblem): DrawnRow[] {
  const { packed, spans, lengthK, kvHeads } = problem, starts = packed?.keys?.starts;
  const length = (n: number) => starts ? starts[n + 1]! - starts[n]! : lengthK;
  return drawnRows(choice, spans.map((_, n) => length(n)), kvHeads);
}
