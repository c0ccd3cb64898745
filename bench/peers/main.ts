/**
 * `deno task bench:peers`: our library beside the others that a Deno program could use, on the same
 * inputs, in turns, in one run; then the goals.
 *
 * Options: `--quick`, `--only=forward,decode`, `--budget=SECONDS` for each contender of a cell,
 * `--samples=N`, `--store`.
 * @module
 */

import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { CHECK_CASE } from "../cases.ts";
import { reportGoals } from "../goals.ts";
import { describeMachine, machineLine } from "../measure/machine.ts";
import { Results } from "../measure/store.ts";
import { digits3, milliseconds, printTable } from "../measure/table.ts";
import { type CellOptions, checkContender, runCell } from "./cell.ts";
import { measureFreshStarts } from "./fresh.ts";
import { type CellResult, peerGoals } from "./goals.ts";
import type { Job } from "./job.ts";
import { planSections, type Section, SECTION_NAMES } from "./plan.ts";
import { printSection, storeCell } from "./tables.ts";

/** Above this a contender is wrong, not merely rounded: f32 attention of unit normals errs by 1e-6. */
const TOLERANCE = 1e-5;

const { values: flags } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    store: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    budget: { type: "string" },
    samples: { type: "string" },
  },
});

function cellOptions(): CellOptions {
  const defaults = flags.quick ? { budget: 0.5, samples: 3 } : { budget: 25, samples: 7 };
  return {
    budgetMs: Number(flags.budget ?? defaults.budget) * 1000,
    samples: Number(flags.samples ?? defaults.samples),
    warmUpMs: flags.quick ? 150 : 300,
    threadsWarmUpMs: flags.quick ? 150 : 1500,
    limitMs: flags.quick ? 60_000 : 240_000,
  };
}

/** The named sections, and `fresh`; all of them when none is named. */
function wanted(): (name: string) => boolean {
  const known: string[] = [...SECTION_NAMES, "fresh"];
  const names = flags.only.split(",").filter(Boolean);
  for (const name of names) {
    if (!known.includes(name)) {
      throw new RangeError(`--only=${name}: known are ${known.join(", ")}`);
    }
  }
  return (name) => names.length === 0 || names.includes(name);
}

async function install(): Promise<void> {
  if (existsSync(new URL("node_modules", import.meta.url))) return;
  console.log("Installing the peers (about 750 MB, once) …");
  const command = new Deno.Command(Deno.execPath(), {
    args: ["install", "--frozen", "--quiet"],
    cwd: new URL(".", import.meta.url),
  });
  const { code } = await command.spawn().status;
  if (code !== 0) throw new Error("deno install failed in bench/peers");
}

/** Same contender, task and threads: what is checked once, whatever the shape. */
function kindOf(job: Job): string {
  return `${job.contender} ${job.task} ${job.threads}`;
}

/**
 * Runs every kind of job once on a small case; returns the kinds that gave a wrong result. A fast
 * wrong answer must not enter a table.
 */
async function check(
  sections: readonly Section[],
  options: CellOptions,
): Promise<ReadonlySet<string>> {
  const jobs = new Map<string, Job>();
  for (const { cells } of sections) {
    for (const job of cells.flatMap((cell) => cell.jobs)) {
      jobs.set(kindOf(job), { ...job, case: CHECK_CASE });
    }
  }
  const rows: string[][] = [];
  const wrong = new Set<string>();
  for (const [kind, job] of jobs) {
    const { error, failed } = await checkContender(job, options.limitMs);
    const good = error !== undefined && error < TOLERANCE;
    if (!failed && !good) wrong.add(kind);
    const result = failed ?? `${error?.toExponential(1)}${good ? "" : "  WRONG"}`;
    rows.push([job.contender, job.task, String(job.threads), result]);
  }
  const head = ["contender", "task", "threads", "largest error"];
  if (rows.length) printTable("Against float64 on a small case (unit normals)", head, rows);
  return wrong;
}

async function main(): Promise<void> {
  const isWanted = wanted();
  const options = cellOptions();
  const machine = describeMachine();
  const results = new Results();
  console.log(machineLine(machine));
  await install();
  const sections = planSections(flags.quick).filter((section) => isWanted(section.name));
  const wrong = await check(sections, options);
  const done: CellResult[] = [];
  for (const section of sections) {
    const part: CellResult[] = [];
    for (const cell of section.cells) {
      const settings = cell.once ? { ...options, samples: 0, warmUpMs: 0 } : options;
      const jobs = cell.jobs.filter((job) => !wrong.has(kindOf(job)));
      const entries = jobs.length ? await runCell(jobs, settings) : [];
      part.push({ cell, entries });
      storeCell(section.name, { cell, entries }, results);
      console.error(`… ${section.name} ${cell.case.name} ${cell.task}, ${cell.threads} thread(s)`);
    }
    printSection(section, part);
    done.push(...part);
  }
  const fresh = isWanted("fresh") ? await measureFreshStarts(flags.quick ? 3 : 11) : [];
  if (fresh.length) {
    const rows = fresh.map((f) => [
      f.contender,
      milliseconds(f.wholeMs),
      milliseconds(f.beyondEmptyMs),
    ]);
    const title = "First result in a fresh process (1, 12, 128, 128, 64)";
    printTable(title, ["contender", "whole process", "beyond an empty one"], rows);
    for (const f of fresh) results.add("peers-fresh", { ...f });
  }
  reportGoals(peerGoals(done, fresh), results);
  console.log(`\n${digits3(performance.now() / 60000)} minutes`);
  if (flags.store) results.store(machine);
}

await main();
Deno.exit(0);
