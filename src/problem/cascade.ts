// Sequences of a cache that begin with the same pages: their queries are those of one sequence to the keys that they
// share, so these are read once (cascade inference; FlashInfer). A call becomes two, whose results are merged.
import type { PageTable } from "../tensor/pages.ts";
import type { View } from "../tensor/view.ts";
import { feature } from "./features/table.ts";
import { partOfSpan, UNBOUNDED } from "./features/feature.ts";
import type { MergePart, MergeShape } from "./merge.ts";
import { type AttentionProblem, type Call, specsOf, type Views } from "./problem.ts";

/** Leading pages that all sequences of a table have in common. */
function sharedPages({ numbers, columns }: PageTable, batch: number): number {
  let n = 0;
  const shared = () => {
    for (let b = 1; b < batch; b++) if (numbers[b * columns + n] !== numbers[n]) return false;
    return true;
  };
  while (n < columns && shared()) n++;
  return n;
}

/** Whether all queries of a call can be seen as rows of one sequence: they lie at one distance from each other. */
function queriesInLine({ size, strides }: View): boolean {
  return size[2] === 1 || strides[0] === size[2] * strides[2];
}

/** Keys that all sequences of a call share and all its queries see, in whole pages; 0 where the call cannot be taken apart. */
export function sharedKeys(problem: AttentionProblem, { q }: Views): number {
  const { pass, operands, batch, lengthQ, packed, spans, features, statistics } = problem;
  const pages = operands.k?.pages;
  if (pass !== "forward" || !pages || batch < 2 || lengthQ === 0 || packed) return 0;
  // partial results are rounded to the type of q, and statistics of parts are not what is asked for
  if (q!.dtype !== "f32" || statistics.length > 0 || !queriesInLine(q!)) return 0;
  const plain = features.every(({ name }) => {
    const { stage, perScore, operands, traced } = feature(name);
    return stage === "state" || (!perScore && stage === "hide") ||
      (stage === "score" && !operands && !traced);
  });
  if (!plain) return 0;
  const seen = spans.reduce((least, { lengthK, low, high }) => {
    const sees = low + lengthQ - 1 <= 0; // from the first key on
    return Math.min(least, sees ? Math.min(lengthK, high + 1) : 0);
  }, Infinity);
  const shared = Math.min(sharedPages(pages, batch), Math.floor(seen / pages.rows));
  return Math.max(0, shared * pages.rows);
}

/** A view of the shared keys, as those of one sequence; or of those behind them, of each sequence. */
function keysOf(view: View, shared: number, rest: boolean): View {
  const pages = view.pages!,
    first = shared / pages.rows,
    [batch, heads, longest, columns] = view.size;
  const size = rest ? longest - shared : shared, own = rest ? pages.columns - first : first;
  const numbers = new Int32Array(Math.max(1, own) * (rest ? batch : 1));
  for (let b = 0; b < (rest ? batch : 1); b++) {
    const begin = b * pages.columns + (rest ? first : 0);
    numbers.set(pages.numbers.subarray(begin, begin + own), b * own);
  }
  const lengths = rest ? pages.lengths.map((n) => Math.max(0, n - shared)) : [shared];
  return {
    ...view,
    size: [rest ? batch : 1, heads, size, columns],
    pages: { ...pages, numbers, columns: Math.max(1, own), lengths },
  };
}

/** The call of all queries with the keys that they share. */
function prefixCall({ problem, views }: Call, shared: number): Call {
  const { batch, lengthQ, features } = problem, { q, k, v } = views as Required<Views>;
  const rows = batch * lengthQ,
    [, heads, , columns] = q!.size,
    row = q!.strides[lengthQ === 1 ? 0 : 2];
  const line: View = {
    ...q!,
    size: [1, heads, rows, columns],
    strides: [rows * row, q!.strides[1], row, 1],
  };
  const parts = { q: line, k: keysOf(k!, shared, false), v: keysOf(v!, shared, false) };
  const all = { low: -UNBOUNDED, high: UNBOUNDED, offset: shared - rows };
  return {
    views: parts,
    problem: {
      ...problem,
      ...{ batch: 1, lengthQ: rows, lengthK: shared, cached: [shared] },
      features: features.filter(({ name }) => feature(name).stage === "score"),
      spans: [{ ...all, lengthQ: rows, lengthK: shared }],
      operands: specsOf(parts),
    },
  };
}

/** The same call with the keys that are each sequence's own. */
function restCall({ problem, views }: Call, shared: number): Call {
  const { lengthQ, lengthK, spans, cached } = problem, { k, v } = views as Required<Views>;
  const parts = { ...views, k: keysOf(k!, shared, true), v: keysOf(v!, shared, true) };
  return {
    views: parts,
    problem: {
      ...problem,
      lengthK: lengthK - shared,
      cached: cached!.map((n) => Math.max(0, n - shared)),
      spans: spans.map((span) => partOfSpan(span, [0, lengthQ], [shared, lengthK])),
      operands: specsOf(parts),
    },
  };
}

/** The two calls that a call comes to: with the keys that its sequences share, and with those of their own. */
export function takeApart(call: Call, shared: number): [prefix: Call, rest: Call] {
  return [prefixCall(call, shared), restCall(call, shared)];
}

/** Results of the first call as parts of those of the second. */
export function asSequences(
  { batch, queryHeads, lengthQ, valueDim, layout }: AttentionProblem,
  prefix: MergePart,
): { part: MergePart; shape: MergeShape } {
  const { out, lse } = prefix, rows = batch * lengthQ;
  const [, head, row] = out.strides;
  const part = {
    out: {
      ...out,
      size: [batch, queryHeads, lengthQ, valueDim] as const,
      strides: [lengthQ * row, head, row, 1] as const,
    },
    lse: {
      ...lse,
      size: [batch, queryHeads, lengthQ, 1] as const,
      strides: [lengthQ, rows, 1, 1] as const,
    },
  };
  return { part, shape: { layout, batch, heads: queryHeads, length: lengthQ, valueDim } };
}
