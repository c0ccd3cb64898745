/** Functions of scores and of visibility as the references know them: plain arithmetic, beside what the library is given. */

/** Where a pair lies: numbers within its sequence, and those of the sequence. */
export interface Place {
  readonly batch: number;
  readonly head: number;
  readonly kvHead: number;
  readonly query: number;
  readonly key: number;
  readonly lengthQ: number;
  readonly lengthK: number;
  /** The key that the query stands at. */
  readonly diagonal: number;
}

/** Rounds an intermediate value: not at all, or to float32. */
export type Round = (value: number) => number;

/** A function of scores: what the library made of it (`kind`), and what it means. */
export interface ScoreFunction {
  readonly kind: "scoreMod";
  value(score: number, place: Place, round: Round): number;
  /** d value / d score */
  slope(score: number, place: Place): number;
  readonly learned?: Learned;
}

/** What a function of scores is to learn: the values of its captured arrays, one array behind the other. */
export interface Learned {
  /** Read by `value`; tests of gradients change them. */
  readonly values: Float64Array;
  /** d value / d each element that it depends on. */
  terms(score: number, place: Place): readonly (readonly [element: number, slope: number])[];
}

/** A mask as the library made it. */
interface Mask {
  readonly kind: "maskMod";
  and(other: Mask): Mask;
  or(other: Mask): Mask;
  not(): Mask;
}

/** A mask, likewise. */
export interface MaskFunction extends Mask {
  visible(place: Place): boolean;
}

/** A block mask as the library made it, and what it means. */
export interface BlockMaskFunction {
  readonly lengthQ: number;
  readonly lengthK: number;
  readonly blockSize: readonly [rows: number, keys: number];
  readonly density: number;
  describe(
    rows: readonly [number, number],
    keys: readonly [number, number],
  ): { readonly empty: number; readonly partial: number; readonly full: number };
  visible(place: Place): boolean;
}
