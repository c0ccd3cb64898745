// What a problem costs, for planning, explain() and benchmarks.
import type { AttentionProblem } from "../problem/problem.ts";
import { roomsOf, type SequenceRoom } from "./sequences.ts";
import { visiblePairs } from "./visible.ts";

/** Operations and bytes of a problem. */
export interface Cost {
  /** (query, key) pairs that structural masks leave, over batch and heads. */
  readonly visiblePairs: number;
  /** Pairs with no mask at all. */
  readonly pairs: number;
  /** Floating-point operations of the products over visible pairs. */
  readonly flops: number;
  /** Bytes of the tensors that are read and written. */
  readonly bytes: number;
}

/** Cost of a problem. Boolean masks and bias are not looked into. */
export function problemCost(problem: AttentionProblem): Cost {
  const { queryHeads, kvHeads, lengthK, headDim, valueDim } = problem;
  const counted = new Map<string, number>();
  let visible = 0;
  for (const span of problem.spans) {
    const key = `${span.lengthQ} ${span.lengthK} ${span.low} ${span.high}`;
    let pairs = counted.get(key);
    if (pairs === undefined) {
      pairs = visiblePairs(span, 0, span.lengthQ, 0, lengthK);
      counted.set(key, pairs);
    }
    visible += pairs * queryHeads;
  }
  const backward = problem.pass === "backward";
  const products = backward ? 3 * headDim + 2 * valueDim : headDim + valueDim;
  const rooms = roomsOf(problem), columns = (headDim + valueDim) * 4;
  const sum = (of: (room: SequenceRoom) => number) => rooms.reduce((n, room) => n + of(room), 0);
  const queryBytes = sum(({ lengthQ }) => lengthQ) * queryHeads * columns;
  const keyBytes = sum(({ lengthK }) => lengthK) * kvHeads * columns;
  const pairs = sum(({ lengthQ, lengthK }) => lengthQ * lengthK) * queryHeads;
  return {
    visiblePairs: visible,
    pairs,
    flops: 2 * visible * products,
    bytes: (queryBytes + keyBytes) * (backward ? 2 : 1) +
      (problem.pass === "scores" ? 4 * pairs : 0),
  };
}
