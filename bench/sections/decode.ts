/**
 * Decode steps: one query against many keys reads every key and value once and does little else,
 * so bytes a second beside the memory's own speed is the figure that counts.
 * @module
 */

import { caseNamed, kvBytes } from "../cases.ts";
import type { GoalRow } from "../goals.ts";
import { HostSubject, ResidentSubject } from "../subjects/flashtile.ts";
import { race } from "../measure/race.ts";
import { digits3, milliseconds, percent, printTable } from "../measure/table.ts";
import { type Context, rate, timingFields } from "./context.ts";

export async function decodeSection(context: Context): Promise<GoalRow[]> {
  const rows: string[][] = [];
  const values: Record<string, { of: string; value: number }[]> = {};
  for (const name of context.quick ? ["dec4k"] : ["dec4k", "dec32kgqa"]) {
    const c = caseNamed(name);
    for (const threads of context.threads) {
      const engine = await context.engine(threads);
      const resident = new ResidentSubject(engine, c);
      const host = new HostSubject(engine, c);
      const [kernel, call] = await race([
        { name: "resident", run: () => resident.forward() },
        { name: "host", run: () => host.forward() },
      ], context.race);
      resident.dispose();
      const speed = rate(kvBytes(c), kernel);
      const limit = context.roofline(threads).readGBs;
      (values[`${name} ${threads}`] ??= []).push({ of: name, value: speed / limit });
      rows.push([
        name,
        String(threads),
        milliseconds(kernel.medianMs),
        digits3(speed),
        percent(speed / limit),
        percent(speed / context.roofline(1).readGBs),
        milliseconds(call.medianMs),
        percent(kernel.spread),
      ]);
      for (const timing of [kernel, call]) {
        const gbs = rate(kvBytes(c), timing);
        const row = { case: name, threads, kind: timing.name, gbs, share: gbs / limit };
        context.results.add("decode", { ...row, ...timingFields(timing) });
      }
    }
  }
  const head = [
    "case",
    "threads",
    "resident",
    "K/V GB/s",
    "of read limit",
    "of one core's",
    "K/V copied in",
    "spread",
  ];
  printTable("Decode", head, rows);
  return [
    {
      goal: "decode 4k, share of the read bandwidth, 1 thread",
      target: 0.9,
      atLeast: true,
      unit: "",
      values: values["dec4k 1"] ?? [],
    },
    {
      goal: "decode 32k GQA, share of the read bandwidth, 2 threads",
      target: 0.95,
      atLeast: true,
      unit: "",
      values: values["dec32kgqa 2"] ?? [],
    },
  ];
}
