/**
 * More threads: the same calls on one engine for each thread count, in turns, copies included.
 * @module
 */

import { caseNamed } from "../cases.ts";
import type { GoalRow } from "../goals.ts";
import { HostSubject } from "../subjects/flashtile.ts";
import { type Contender, race } from "../measure/race.ts";
import { milliseconds, printTable, times } from "../measure/table.ts";
import { type Context, timingFields } from "./context.ts";

const NAMES = ["s128", "s512", "s1024", "s2048", "s4096", "s16384"];
const PASSES = ["forward", "causal", "backward"] as const;

export async function scalingSection(context: Context): Promise<GoalRow[]> {
  const [fewest] = context.threads;
  const rows: string[][] = [];
  const values: { of: string; value: number }[] = [];
  for (const name of context.quick ? ["s512"] : NAMES) {
    for (const pass of PASSES) {
      const c = caseNamed(name);
      const contenders: Contender[] = [];
      for (const threads of context.threads) {
        const subject = new HostSubject(await context.engine(threads), c, {
          causal: pass === "causal",
        });
        if (pass === "backward") await subject.forward();
        const run = pass === "backward" ? () => subject.backward() : () => subject.forward();
        contenders.push({ name: String(threads), run });
      }
      // a kernel may keep new threads on one core for a while, see bench/README.md
      const warmUpMs = context.quick ? 150 : 1500;
      const timings = await race(contenders, { ...context.race, warmUpMs });
      const gains = timings.map((t) => timings[0].medianMs / t.medianMs);
      rows.push([
        `${name} ${pass}`,
        ...timings.map((t) => milliseconds(t.medianMs)),
        ...gains.slice(1).map(times),
      ]);
      const two = context.threads.indexOf(2);
      if (fewest === 1 && two > 0 && pass === "forward" && c.lengthQ >= 1024) {
        values.push({ of: name, value: gains[two] });
      }
      timings.forEach((timing, i) =>
        context.results.add("threads", {
          case: name,
          pass,
          threads: context.threads[i],
          gain: gains[i],
          ...timingFields(timing),
        })
      );
    }
  }
  const counts = context.threads.map((t) => `${t} thread${t === 1 ? "" : "s"}`);
  const gained = context.threads.slice(1).map((t) => `${t} over ${fewest}`);
  printTable("Threads, copies included", ["case", ...counts, ...gained], rows);
  return [{
    goal: "own scaling on 2 threads, L ≥ 1024",
    target: 1.93,
    atLeast: true,
    unit: "×",
    values,
  }];
}
