// Positions of rows that are rotated, for a part of a call that could not count them itself.
import type { AttentionProblem } from "../../problem/problem.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import type { Run } from "../split.ts";
import { type Operand, plainList, type SplitCall } from "./parts.ts";

/** Of each sequence: rows of it that a run of keys has, counted in the sequence. */
export function keysOfRun(
  { packed, batch, lengthK }: AttentionProblem,
  { from, to }: Run,
): (readonly [number, number])[] {
  return Array.from({ length: batch }, (_, n) => {
    const starts = packed?.keys?.starts ?? undefined;
    const begin = starts ? starts[n]! : 0, end = starts ? starts[n + 1]! : lengthK;
    const first = Math.max(0, Math.min(end, from) - begin);
    return [first, Math.max(first, Math.min(end, to) - begin)] as const;
  });
}

/** The numbers of the rows of a side, one sequence behind the other, where the caller gave none. */
function counted(rows: readonly number[], first: (sequence: number) => number): HostTensor {
  const data = Int32Array.from(
    rows.flatMap((n, s) => Array.from({ length: n }, (_, i) => first(s) + i)),
  );
  return { data, shape: [data.length] };
}

/** Rotary with the positions of the rows that a run has, which the part could not know. */
export function rotaryOperands(
  { problem, options: { rotary, cuSeqlensQ } }: SplitCall,
  keys: readonly (readonly [number, number])[],
): { form: Record<string, unknown>; operands: Record<string, Operand> } {
  if (!rotary) return { form: {}, operands: {} };
  const { cos, sin, positionsQ, positionsK, ...form } = rotary;
  const { batch, lengthQ, lengthK, spans, packed } = problem;
  const list = (given: NonNullable<typeof positionsQ>) =>
    given instanceof Int32Array ? given : given.data;
  const starts = plainList(cuSeqlensQ);
  const rowsQ = Array.from(
    { length: batch },
    (_, n) => starts ? starts[n + 1]! - starts[n]! : lengthQ,
  );
  const q = positionsQ
    ? { data: list(positionsQ), shape: [list(positionsQ).length] }
    : counted(rowsQ, (n) => spans[n]!.lengthK - rowsQ[n]!);
  const given = positionsK && list(positionsK), shared = given?.length === lengthK && !packed?.keys;
  const beginOf = (n: number) => packed?.keys ? packed.keys.starts[n]! : shared ? 0 : n * lengthK;
  const k = given
    ? Int32Array.from(
      keys.flatMap(([first, end], n) =>
        Array.from(given.subarray(beginOf(n) + first, beginOf(n) + end))
      ),
    )
    : counted(keys.map(([first, end]) => end - first), (n) => keys[n]![0]).data as Int32Array;
  const table = (value: NonNullable<typeof cos>): HostTensor =>
    value instanceof Float32Array ? { data: value, shape: [value.length] } : value;
  return {
    form: { rotary: form },
    operands: {
      positionsQ: q,
      positionsK: { data: k, shape: [k.length] },
      ...cos && { cos: table(cos) },
      ...sin && { sin: table(sin) },
    },
  };
}
