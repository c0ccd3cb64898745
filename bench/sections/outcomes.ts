/**
 * What the sections do alike with verified contenders: race them, keep them, show them.
 * @module
 */

import type { Case } from "../cases.ts";
import type { Context } from "../context.ts";
import { type Entrant, type Outcome, raceVerified } from "../measure/race.ts";
import { nullForNaN, timingFields } from "../measure/statistics.ts";
import type { Row } from "../measure/store.ts";
import { wallClock } from "../measure/wall_clock.ts";

/** By the clock of the backend. */
export async function raceSection(
  context: Context,
  entrants: readonly Entrant[],
): Promise<Outcome[]> {
  return await raceVerified(context.gpuClock ?? wallClock, entrants, context.race);
}

/** The fields of an outcome that a stored row carries, with figures that may be missing. */
export function outcomeFields(outcome: Outcome, figures: Record<string, number>): Row {
  return {
    ...Object.fromEntries(Object.entries(figures).map(([name, x]) => [name, nullForNaN(x)])),
    error: nullForNaN(outcome.error),
    failed: outcome.failed ?? null,
    ...timingFields(outcome.timing),
  };
}

export function caseTitle(c: Case, causal: boolean): string {
  return `${c.name}${causal ? " causal" : ""}`;
}

export function shownError({ failed, error }: Outcome): string {
  return failed ? "fails" : error.toExponential(0);
}

/** Why figures are missing from the table above, each reason once. */
export function printFailures(all: readonly { of: string; outcome: Outcome }[]): void {
  const lines = all.flatMap(({ of, outcome: { name, failed } }) =>
    failed ? [`${name} on ${of}: ${failed}`] : []
  );
  for (const line of new Set(lines)) console.log(line);
}
