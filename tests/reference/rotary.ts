/** Rotary positions from their definition in docs/rotary.md: angles in float64, rows one by one. */

import type { Round } from "./functions.ts";
import { keyCount } from "./features.ts";
import { type Problem, readPacked } from "./problem.ts";

type Side = "q" | "k";

/** The position of a row. */
function positionOf(problem: Problem, side: Side, batch: number, row: number): number {
  const { positionsQ, positionsK } = problem.options.rotary!;
  const given = side === "q" ? positionsQ : positionsK;
  const length = side === "q" ? problem.lengthQ : problem.lengthK;
  if (given) return given.length === length ? given[row]! : given[batch * length + row]!;
  return side === "q" ? row + keyCount(problem, batch) - length : row;
}

/** The columns of pair p. */
function pairOf(
  { dims, interleaved }: { dims: number; interleaved?: boolean | undefined },
  p: number,
) {
  return interleaved ? [2 * p, 2 * p + 1] as const : [p, p + dims / 2] as const;
}

/**
 * Rows of q or k, [batch, head, row, headDim], turned; `inverse`: back. `round` is applied to everything: the plain
 * formula in float32 takes cosines and sines from float64 and multiplies in float32.
 */
export function turned(
  problem: Problem,
  side: Side,
  values: Float64Array,
  inverse = false,
  round: Round = (x) => x,
): Float64Array {
  const { options: { rotary }, batch, headDim } = problem;
  if (!rotary || (side === "k" && rotary.keys === false)) return values;
  const { base = 10000, dims = headDim, interleaved, cos, sin } = rotary;
  const tables = cos && sin && { cos: readPacked(cos), sin: readPacked(sin) };
  const heads = side === "q" ? problem.queryHeads : problem.kvHeads;
  const length = side === "q" ? problem.lengthQ : problem.lengthK, result = values.slice();
  for (let at = 0; at < batch * heads * length; at++) {
    const b = Math.floor(at / (heads * length)), row = at % length;
    // nobody reads what lies behind the keys in use, and tables may have no position for it
    if (side === "k" && row >= keyCount(problem, b)) continue;
    const position = positionOf(problem, side, b, row);
    for (let p = 0; p < dims / 2; p++) {
      const angle = position * base ** (-2 * p / dims), place = position * dims / 2 + p;
      const c = round(tables ? tables.cos[place]! : Math.cos(angle));
      const s = round(tables ? tables.sin[place]! : Math.sin(angle)) * (inverse ? -1 : 1);
      const [first, second] = pairOf({ dims, interleaved }, p).map((column) =>
        at * headDim + column
      ) as [number, number];
      const x = values[first]!, y = values[second]!;
      result[first] = round(round(x * c) - round(y * s));
      result[second] = round(round(y * c) + round(x * s));
    }
  }
  return result;
}
