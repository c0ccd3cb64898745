/**
 * Workers with memories of their own beside as many threads of one engine, in turns, copies included.
 * @module
 */

import { operands } from "../cases.ts";
import type { Context } from "../context.ts";
import type { Measured } from "../goals.ts";
import { race, type Work } from "../measure/race.ts";
import { timingFields } from "../measure/statistics.ts";
import { milliseconds, printTable, times } from "../measure/table.ts";
import { wallClock } from "../measure/wall_clock.ts";
import { Subject, wasmEngine } from "../subjects/flashtile.ts";

const PASSES = ["forward", "causal", "backward"] as const;

export async function workersSection(context: Context): Promise<Measured[]> {
  const workers = Math.max(2, ...context.threads), rows: string[][] = [];
  const engines = [
    ["1 thread", await wasmEngine(1)],
    [`${workers} threads`, await wasmEngine(workers)],
    [`${workers} workers`, await wasmEngine(1, { workers })],
  ] as const;
  for (const c of context.cases("threads")) {
    const data = operands(c);
    for (const pass of PASSES) {
      const works: Work[] = [];
      for (const [, engine] of engines) {
        const subject = new Subject(engine, { c, data, causal: pass === "causal" }, {}, "host");
        if (pass === "backward") await subject.forward();
        works.push(subject.work(pass === "backward" ? pass : "forward"));
      }
      const warmUpMs = context.quick ? 150 : 1500; // as for threads
      const timings = await race(wallClock, works, { ...context.race, warmUpMs });
      const [, threads, sent] = timings.map(({ medianMs }) => medianMs);
      rows.push([
        `${c.name} ${pass}`,
        ...timings.map(({ medianMs }) => milliseconds(medianMs)),
        times(threads! / sent!),
      ]);
      timings.forEach((timing, i) => {
        const row = { case: c.name, pass, engine: engines[i]![0], ofThreads: threads! / sent! };
        context.results.add("workers", { ...row, ...timingFields(timing) });
      });
    }
  }
  for (const [, engine] of engines) engine.dispose();
  const names = engines.map(([name]) => name);
  const title = "Workers with memories of their own, copies included";
  printTable(title, ["case", ...names, "workers over threads"], rows);
  return [];
}
