/**
 * What the sections do alike with verified contenders: race them, show them, say what they reached.
 * @module
 */

import { type Call, type Case, operands } from "../cases.ts";
import type { Context } from "../context.ts";
import type { Measured } from "../goals.ts";
import { type Entrant, type Outcome, raceVerified } from "../measure/race.ts";
import { few, msOf, rate } from "../measure/statistics.ts";
import { digits3, milliseconds, percent, printProgress, printTable } from "../measure/table.ts";
import { wallClock } from "../measure/wall_clock.ts";

/** A call, and how its contenders came out, in the order of the entrants. */
export interface Raced {
  readonly c: Case;
  readonly causal: boolean;
  readonly threads: number;
  readonly title: string;
  readonly outcomes: readonly [Outcome, ...Outcome[]];
}

/**
 * Every case of a section, in each way, by the clock of the backend. `keep` adds the rows of a case,
 * which are stored and told when it ends: a run that is cut off loses only the case under way.
 */
export async function raceCases(
  context: Context,
  cases: readonly Case[],
  { masks = [false], counts = [1] }: {
    readonly masks?: readonly boolean[];
    readonly counts?: readonly number[];
  },
  entrants: (call: Call, threads: number) => readonly Entrant[],
  keep: (raced: Raced) => void,
): Promise<Raced[]> {
  await context.limits(); // before any engine is busy
  context.store(context.results);
  const raced: Raced[] = [];
  for (const c of cases) {
    const data = operands(c);
    for (const causal of masks) {
      const call = { c, data, causal }, title = titleOf(c.name, causal);
      for (const threads of counts) {
        const contenders = entrants(call, threads);
        const found = await raceVerified(context.gpu ?? wallClock, contenders, context.race);
        const outcomes = found as [Outcome, ...Outcome[]];
        raced.push({ c, causal, threads, outcomes, title });
        keep(raced.at(-1)!);
        context.store(context.results);
        const way = counts.length > 1 ? `${title} · ${threads}` : title;
        printProgress(way, outcomes.map((o) => [o.name, o.failed ? "fails" : timeCell(o)]));
      }
    }
  }
  return raced;
}

export function titleOf(name: string, causal: boolean): string {
  return causal ? `${name} causal` : name;
}

/** Time of a contender; an asterisk marks few samples. */
export function timeCell(outcome: Outcome): string {
  return milliseconds(msOf(outcome)) + few(outcome.timing);
}

/** Time, rate, share of a limit, error and spread of a contender. */
export function outcomeCells(outcome: Outcome, amount: number, limit: number): string[] {
  const speed = rate(amount, outcome.timing), spread = outcome.timing?.spread ?? NaN;
  const error = outcome.failed ? "fails" : outcome.error.toExponential(0);
  return [timeCell(outcome), digits3(speed), percent(speed / limit), error, percent(spread)];
}

/** A table, and why figures are missing in it, each reason once. */
export function printRaced(
  title: string,
  head: readonly string[],
  raced: readonly Raced[],
  cells: (raced: Raced) => string[],
): void {
  printTable(title, ["case", ...head], raced.map((r) => [r.title, ...cells(r)]));
  const lines = raced.flatMap(({ title, outcomes }) =>
    outcomes.flatMap(({ name, failed }) => failed ? [`${name} on ${title}: ${failed}`] : [])
  );
  for (const line of new Set(lines)) console.log(line);
}

/** What was reached for a goal; `ours` is the outcome without which it is not decided. */
export function measured(
  id: string,
  raced: readonly Raced[],
  value: (raced: Raced) => number,
  ours = 0,
): Measured {
  const because = raced.map(({ outcomes }) => outcomes[ours]!.failed).find(Boolean);
  return { id, values: raced.map((r) => ({ of: r.title, value: value(r) })), because };
}
