/**
 * What is made of a contender's samples, and how it is told.
 * @module
 */

import type { Outcome } from "./race.ts";
import type { Row } from "./store.ts";

/** What is kept of one contender's samples. Times are milliseconds of one call. */
export interface Timing {
  readonly name: string;
  readonly medianMs: number;
  readonly minMs: number;
  /** Interquartile range over the median: above about 0.1 the machine was not quiet. */
  readonly spread: number;
  readonly samples: number;
}

/** Median, minimum and spread of a list of times. */
export function summarize(name: string, times: readonly number[]): Timing {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))]!;
  const medianMs = at(0.5);
  const spread = (at(0.75) - at(0.25)) / medianMs;
  return { name, medianMs, minMs: sorted[0]!, spread, samples: sorted.length };
}

/** The fields of a timing that a stored row carries. */
export function timingFields(timing: Timing | undefined): Row {
  const { name: _, ...fields } = timing ?? { name: "" };
  return fields;
}

/** The fields of a verified outcome that a stored row carries, with figures that may be missing. */
export function outcomeFields(
  outcome: Omit<Outcome, "name">,
  figures: Readonly<Record<string, number>>,
): Row {
  const known = Object.entries({ ...figures, error: outcome.error })
    .map(([name, value]) => [name, nullForNaN(value)]);
  const { failed = null, timing } = outcome;
  return { ...Object.fromEntries(known), failed, ...timingFields(timing) };
}

/** Milliseconds of what was timed, or NaN. */
export function msOf(of: Pick<Outcome, "timing"> | undefined): number {
  return of?.timing?.medianMs ?? NaN;
}

/** Billions a second: operations or bytes of one call over its median time. */
export function rate(amount: number, timing: Timing | undefined): number {
  return timing ? amount / timing.medianMs / 1e6 : NaN;
}

/** An asterisk marks a median of fewer than seven samples. */
export function few(timing: Timing | undefined): string {
  return timing && timing.samples < 7 ? "*" : "";
}

/** The least of those that were measured; NaN where none was. */
export function least(values: readonly number[]): number {
  const known = values.filter((value) => !Number.isNaN(value));
  return known.length ? Math.min(...known) : NaN;
}

/** JSON has no NaN. */
export function nullForNaN(value: number | undefined): number | null {
  return value === undefined || !Number.isFinite(value) ? null : value;
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
