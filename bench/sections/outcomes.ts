/**
 * What the sections do alike with verified contenders: race them, keep them, show them.
 * @module
 */

import type { Case } from "../cases.ts";
import type { Context } from "../context.ts";
import { type Entrant, type Outcome, raceVerified } from "../measure/race.ts";
import { few, msOf, rate } from "../measure/statistics.ts";
import { digits3, milliseconds, percent } from "../measure/table.ts";
import { wallClock } from "../measure/wall_clock.ts";

/** By the clock of the backend. */
export async function raceSection(
  context: Context,
  entrants: readonly Entrant[],
): Promise<Outcome[]> {
  return await raceVerified(context.gpuClock ?? wallClock, entrants, context.race);
}

/** Time, rate, share of a limit, error and spread of a contender, as cells of a table. */
export function outcomeCells(outcome: Outcome, amount: number, limit: number): string[] {
  const { timing } = outcome, speed = rate(amount, timing);
  const cells = [milliseconds(msOf(outcome)) + few(timing), digits3(speed), percent(speed / limit)];
  const error = outcome.failed ? "fails" : outcome.error.toExponential(0);
  return [...cells, error, percent(timing?.spread ?? NaN)];
}

export function caseTitle(c: Case, causal: boolean): string {
  return `${c.name}${causal ? " causal" : ""}`;
}

/** Why figures are missing from the table above, each reason once. */
export function printFailures(all: readonly { of: string; outcome: Outcome }[]): void {
  const lines = all.flatMap(({ of, outcome: { name, failed } }) =>
    failed ? [`${name} on ${of}: ${failed}`] : []
  );
  for (const line of new Set(lines)) console.log(line);
}
