// Rotations of the rows of an operand, as data: what a feature of the stage `load` gives for each operand that it
// changes, and all that backends know of it.
import type { InputName } from "../../tensor/operands.ts";

/** Rows of one sequence: the row of the table of its first row, and how many of its rows turn. */
export interface TurningRows {
  readonly first: number;
  readonly count: number;
}

/** How pairs of columns of each row turn: (a, b) becomes (a cos - b sin, b cos + a sin). */
export interface RowRotation {
  /** Leading columns that turn, an even number; those behind them stay. */
  readonly dims: number;
  /** Pairs are neighbours, 2p and 2p + 1, or else p and p + dims / 2. */
  readonly interleaved: boolean;
  /** Rows of `dims` numbers: the cosines of all pairs, then their sines. */
  readonly table: Float32Array;
  /** Rows of each sequence; those behind the last that turns stay: nobody reads them. */
  readonly sequences: readonly TurningRows[];
}

/** The operands that a feature turns. */
export type Rotations = { readonly [name in InputName]?: RowRotation };

/** What turns of the rows [begin, end) of a sequence, from row `begin` on. */
export function turningRows(
  { sequences }: RowRotation,
  sequence: number,
  [begin, end]: readonly [begin: number, end: number],
): TurningRows {
  const { first, count } = sequences[sequence]!;
  return { first: first + begin, count: Math.max(0, Math.min(count, end) - begin) };
}

/** The same of rows that count from row `begin` of each sequence. */
export function rotationFrom(rotation: RowRotation, begin: number): RowRotation {
  const sequences = rotation.sequences.map((_, n) => turningRows(rotation, n, [begin, Infinity]));
  return { ...rotation, sequences };
}
