// How far a result is off, in multiples of what is expected of it.
import type { VerifiedElement } from "../problem/verification.ts";

/** Storage types of results. */
export type Stored = "f32" | "f16" | "bf16";

/** Largest error that half a unit in the last place of a storage type makes, relative and at least. */
const STORED: Readonly<Record<Stored, readonly [relative: number, least: number]>> = {
  f32: [0, 2 ** -150],
  f16: [2 ** -11, 2 ** -25],
  bf16: [2 ** -8, 2 ** -134],
};

const LARGEST = 3.4028234663852886e38;

/**
 * How far off an element is, in multiples of what is expected; what is not finite must be so on both sides, and what is
 * within half a unit of the largest number may be.
 */
function errorOf(got: number, want: number, expected: number, dtype: Stored): number {
  const [relative, least] = STORED[dtype], most = dtype === "f16" ? 65504 : LARGEST;
  if (!Number.isFinite(got)) return Math.abs(want) * (1 + relative) <= most ? Infinity : 0;
  if (!(Math.abs(want) <= most * (1 + relative))) return Infinity;
  const rounding = relative * Math.abs(want) + least;
  const off = Math.max(0, Math.abs(got - want) - rounding);
  return off === 0 ? 0 : off / Math.max(expected, 2 ** -149);
}

/** The largest error so far. */
export class Worst {
  error = 0;
  at: VerifiedElement | undefined;

  /** Compares a row; `place`: where it is, `got`: its elements by column. */
  compare(
    place: Omit<VerifiedElement, "column" | "got" | "expected">,
    wanted: { readonly values: Float64Array; readonly error: number },
    got: (column: number) => number,
    dtype: Stored,
  ): void {
    wanted.values.forEach((expected, column) => {
      const y = got(column), error = errorOf(y, expected, wanted.error, dtype);
      if (error <= this.error) return;
      this.error = error;
      this.at = { ...place, column, got: y, expected };
    });
  }

  /** As a result has it. */
  get found(): { error: number; at?: VerifiedElement } {
    return { error: this.error, ...this.at && { at: this.at } };
  }
}
