/**
 * Gradients of attention in TensorFlow.js: its op beside formulas that store the matrix of scores, in one process, in turns,
 * on the WASM backend of TensorFlow.js, one thread each.
 * @module
 */

import { operands } from "../cases.ts";
import type { Context } from "../context.ts";
import type { Measured } from "../goals.ts";
import { raceVerified } from "../measure/race.ts";
import { msOf, outcomeFields } from "../measure/statistics.ts";
import { printProgress, times } from "../measure/table.ts";
import { wallClock } from "../measure/wall_clock.ts";
import { measured, printRaced, type Raced, timeCell } from "./raced.ts";

const SHORTEST = 512;

export async function tfjsSection(context: Context): Promise<Measured[]> {
  const { openTfjs, tfjsSteps } = await import("../subjects/tfjs_ops.ts"); // only here: it is large
  await openTfjs();
  const raced: Raced[] = [];
  for (const c of context.cases("tfjs")) {
    const call = { c, data: operands(c), causal: true };
    const outcomes = await raceVerified(wallClock, tfjsSteps(call), context.race);
    raced.push({
      c,
      causal: true,
      threads: 1,
      title: c.name,
      outcomes: outcomes as unknown as Raced["outcomes"],
    });
    printProgress(c.name, outcomes.map((o) => [o.name, o.failed ?? timeCell(o)]));
    for (const outcome of outcomes) {
      const over = msOf(outcome) / msOf(outcomes[0]!);
      const row = { case: c.name, causal: true, threads: 1, subject: outcome.name };
      context.results.add("tfjs", { ...row, ...outcomeFields(outcome, { over }) });
    }
    context.store(context.results);
  }
  const over = ({ outcomes }: Raced, n: number) => msOf(outcomes[n]!) / msOf(outcomes[0]);
  const head = ["flashAttention", "formula", "times", "by heads", "times"];
  printRaced("TensorFlow.js, wasm: gradients of causal attention, one thread", head, raced, (r) => [
    ...[timeCell(r.outcomes[0]), timeCell(r.outcomes[1]!), times(over(r, 1))],
    ...[timeCell(r.outcomes[2]!), times(over(r, 2))],
  ]);
  const long = raced.filter(({ c }) => c.lengthQ >= SHORTEST);
  return [measured("tfjs gradients", long, (r) => Math.min(over(r, 1), over(r, 2)))];
}
