/**
 * What every section of the report shares.
 * @module
 */

import type { Engine } from "../subjects/flashtile.ts";
import type { RaceOptions, Timing } from "../measure/race.ts";
import type { GoalRow } from "../goals.ts";
import type { Roofline } from "../limits/wasm.ts";
import type { Results, Row } from "../measure/store.ts";

export interface Context {
  readonly quick: boolean;
  readonly race: RaceOptions;
  /** Thread counts asked for, ascending. */
  readonly threads: readonly number[];
  readonly results: Results;
  /** The limits measured at the start of this run. */
  roofline(threads: number): Roofline;
  /** One engine for each thread count, warm between sections. */
  engine(threads: number): Promise<Engine>;
}

/** A section prints its table, keeps its rows, and says how its goals came out. */
export type Section = (context: Context) => Promise<GoalRow[]>;

/** The fields of a timing that a stored row carries. */
export function timingFields({ medianMs, minMs, spread, samples }: Timing): Row {
  return { medianMs, minMs, spread, samples };
}

/** Billions a second: operations or bytes of one call over its median time. */
export function rate(amount: number, timing: Timing): number {
  return amount / timing.medianMs / 1e6;
}
