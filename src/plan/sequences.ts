// Sequences as planning sees them: how many rows and keys each has, and where they begin in a packed tensor.
import { lengthOf } from "../problem/packing.ts";
import type { AttentionProblem } from "../problem/problem.ts";
import type { OperandName } from "../tensor/operands.ts";
import { follows } from "../tensor/operands.ts";

/** Rows of one sequence; keys that `keyLengths` leaves unused count. */
export interface SequenceRoom {
  readonly lengthQ: number;
  readonly lengthK: number;
}

/** Where the rows of the sequence of a region begin in tensors whose side is packed; missing where it is not. */
export interface RowBases {
  readonly queryBase?: number | undefined;
  readonly keyBase?: number | undefined;
}

/** The row of an operand that is row 0 to a region; undefined where its side is not packed. */
export function baseOf(name: OperandName, { queryBase, keyBase }: RowBases): number | undefined {
  const what = follows(name);
  return what === "queries" ? queryBase : what === "keys" ? keyBase : undefined;
}

/** Rows of sequence `index`. */
export function roomOf(
  { lengthQ, lengthK, packed }: AttentionProblem,
  index: number,
): SequenceRoom {
  return {
    lengthQ: packed?.queries ? lengthOf(packed.queries, index) : lengthQ,
    lengthK: packed?.keys ? lengthOf(packed.keys, index) : lengthK,
  };
}

/** Rows of every sequence. */
export function roomsOf(problem: AttentionProblem): SequenceRoom[] {
  return Array.from({ length: problem.batch }, (_, index) => roomOf(problem, index));
}

/** A region as sequences see it. */
interface SequenceRegion extends RowBases {
  readonly batchBegin: number;
  readonly batchEnd: number;
}

/**
 * The regions of a problem; of a packed one, `regionsOf` sees each sequence as a problem of its own length, and its
 * regions get the batch index of the sequence and its bases.
 */
export function regionsBySequence<R extends SequenceRegion>(
  problem: AttentionProblem,
  regionsOf: (problem: AttentionProblem) => R[],
): R[] {
  const { packed } = problem;
  if (!packed) return regionsOf(problem);
  return roomsOf(problem).flatMap((room, index) => {
    const sequence = {
      batchBegin: index,
      batchEnd: index + 1,
      queryBase: packed.queries?.starts[index],
      keyBase: packed.keys?.starts[index],
    };
    return regionsOf({ ...problem, ...room, batch: 1 }).map((region) => ({
      ...region,
      ...sequence,
    }));
  });
}

/** Whether no work may write some rows of results: those behind the last sequence, and of sequences without a pair. */
export function isSparse(problem: AttentionProblem): boolean {
  const { packed } = problem;
  if (!packed) return false;
  const behind = [packed.queries, packed.keys].some((side) =>
    side && side.starts.at(-1)! < side.rows
  );
  return behind || roomsOf(problem).some(({ lengthQ, lengthK }) => lengthQ * lengthK === 0);
}
