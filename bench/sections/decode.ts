/**
 * Decode steps: one query against many keys reads every key and value once and does little else, so
 * bytes a second beside the memory's own speed is the figure that counts.
 * @module
 */

import { type Case, kvBytes, operands } from "../cases.ts";
import { type Context, kindOf } from "../context.ts";
import type { Measured } from "../goals.ts";
import type { Outcome } from "../measure/race.ts";
import { msOf, outcomeFields, rate } from "../measure/statistics.ts";
import { digits3, milliseconds, percent, printTable } from "../measure/table.ts";
import { forwardEntrant } from "../subjects/flashtile.ts";
import { outcomeCells, printFailures, raceSection } from "./outcomes.ts";

/** From here on the goal of a GPU holds: less may stay in a cache from one launch to the next. */
const LEAST_BYTES = 64e6;

interface Raced {
  readonly c: Case;
  readonly threads: number;
  readonly ours: Outcome;
  /** Keys and values in host tensors. */
  readonly copied?: Outcome;
}

export async function decodeSection(context: Context): Promise<Measured[]> {
  const wasm = context.backend === "wasm";
  await context.limits(); // before any engine is busy
  const results: Raced[] = [];
  for (const c of context.cases("decode")) {
    const call = { c, data: operands(c), causal: false };
    for (const threads of wasm ? context.threads : [1]) {
      const entrants = [forwardEntrant(context, call, { threads })];
      if (wasm) entrants.push(forwardEntrant(context, call, { threads, place: "host" }));
      const outcomes = await raceSection(context, entrants);
      results.push({ c, threads, ours: outcomes[0], copied: outcomes[1] });
      for (const outcome of outcomes) {
        const gbs = rate(kvBytes(c), outcome.timing);
        context.results.add(kindOf(context, "decode"), {
          case: c.name,
          ...(wasm ? { threads, kind: outcome.name } : {}),
          ...outcomeFields(outcome, { gbs, share: gbs / await limit(context, threads) }),
        });
      }
    }
  }
  const rows: string[][] = [];
  for (const { c, threads, ours, copied } of results) {
    const { readGBs, copyGBs } = await context.limits(threads);
    rows.push([
      ...[c.name, String(threads), digits3(kvBytes(c) / 1e6)],
      ...outcomeCells(ours, kvBytes(c), readGBs),
      percent(rate(kvBytes(c), ours.timing) / copyGBs),
      ...(copied ? [milliseconds(msOf(copied))] : []),
    ]);
  }
  const head = [
    "case",
    "threads",
    "K/V MB",
    "step",
    "GB/s",
    "of read",
    "error",
    "spread",
    "of copy",
  ];
  printTable("Decode, f32, resident", [...head, ...(wasm ? ["K/V copied in"] : [])], rows);
  printFailures(results.map(({ c, ours }) => ({ of: c.name, outcome: ours })));
  return await goals(context, results);
}

/** What the memory can do: read on the CPU; on a GPU the goal is a share of its copies. */
async function limit(context: Context, threads: number): Promise<number> {
  const { readGBs, copyGBs } = await context.limits(threads);
  return context.backend === "wasm" ? readGBs : copyGBs;
}

async function goals(context: Context, results: readonly Raced[]): Promise<Measured[]> {
  const because = results.find(({ ours }) => ours.failed)?.ours.failed;
  const shares = await Promise.all(results.map(async ({ c, threads, ours }) => ({
    ...{ c, threads, of: c.name },
    value: rate(kvBytes(c), ours.timing) / await limit(context, threads),
  })));
  if (context.backend === "webgpu") {
    const values = shares.filter(({ c }) => kvBytes(c) >= LEAST_BYTES);
    return [{ id: "webgpu decode", values, because }];
  }
  return [["dec4k", 1], ["dec32kgqa", 2]].map(([name, threads]) => ({
    id: `wasm decode ${name} ${threads}`,
    values: shares.filter((share) => share.of === name && share.threads === threads),
    because,
  }));
}
