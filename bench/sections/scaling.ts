/**
 * More threads: the same calls on one engine for each thread count, in turns, copies included.
 * @module
 */

import { operands } from "../cases.ts";
import type { Context } from "../context.ts";
import type { Measured, Value } from "../goals.ts";
import { race, type Work } from "../measure/race.ts";
import { timingFields } from "../measure/statistics.ts";
import { milliseconds, printTable, times } from "../measure/table.ts";
import { wallClock } from "../measure/wall_clock.ts";
import { Subject } from "../subjects/flashtile.ts";

const PASSES = ["forward", "causal", "backward"] as const;

export async function scalingSection(context: Context): Promise<Measured[]> {
  const [fewest] = context.threads, two = context.threads.indexOf(2);
  const rows: string[][] = [];
  const values: Value[] = [];
  for (const c of context.cases("threads")) {
    const data = operands(c);
    for (const pass of PASSES) {
      const works: Work[] = [];
      for (const threads of context.threads) {
        const call = { c, data, causal: pass === "causal" };
        const subject = new Subject(await context.engine(threads), call, {}, "host");
        if (pass === "backward") await subject.forward();
        works.push(subject.work(pass === "backward" ? pass : "forward"));
      }
      // a kernel may keep new threads on one core for a while, see bench/README.md
      const warmUpMs = context.quick ? 150 : 1500;
      const timings = await race(wallClock, works, { ...context.race, warmUpMs });
      const gains = timings.map((t) => timings[0]!.medianMs / t.medianMs);
      const each = timings.map((t) => milliseconds(t.medianMs));
      rows.push([`${c.name} ${pass}`, ...each, ...gains.slice(1).map(times)]);
      if (fewest === 1 && two > 0 && pass === "forward" && c.lengthQ >= 1024) {
        values.push({ of: c.name, value: gains[two]! });
      }
      timings.forEach((timing, i) => {
        const row = { case: c.name, pass, threads: context.threads[i]!, gain: gains[i]! };
        context.results.add("threads", { ...row, ...timingFields(timing) });
      });
    }
  }
  const counts = context.threads.map((t) => `${t} thread${t === 1 ? "" : "s"}`);
  const gained = context.threads.slice(1).map((t) => `${t} over ${fewest}`);
  printTable("Threads, copies included", ["case", ...counts, ...gained], rows);
  return [{ id: "wasm threads", values }];
}
