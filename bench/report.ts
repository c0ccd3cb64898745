/**
 * `deno task bench`: the library on its own, against this machine's limits and against itself.
 *
 * Options: `--quick`, `--only=forward,decode`, `--threads=1,2`, `--budget=SECONDS` for each
 * contender, `--store`.
 * @module
 */

import { parseArgs } from "node:util";
import { type GoalRow, reportGoals } from "./goals.ts";
import { type Engine, wasmEngine } from "./subjects/flashtile.ts";
import { describeMachine, machineLine } from "./measure/machine.ts";
import { QUICK, type RaceOptions } from "./measure/race.ts";
import { measureRoofline, printRoofline, type Roofline } from "./limits/wasm.ts";
import { Results } from "./measure/store.ts";
import { digits3 } from "./measure/table.ts";
import { backwardSection } from "./sections/backward.ts";
import type { Context, Section } from "./sections/context.ts";
import { decodeSection } from "./sections/decode.ts";
import { densitySection } from "./sections/density.ts";
import { causalSection, forwardSection } from "./sections/forward.ts";
import { freshSection } from "./sections/fresh.ts";
import { memorySection } from "./sections/memory.ts";
import { packageSection } from "./sections/package.ts";
import { scalingSection } from "./sections/scaling.ts";
import { unfusedSection } from "./sections/unfused.ts";

const SECTIONS: Readonly<Record<string, Section>> = {
  forward: forwardSection,
  causal: causalSection,
  backward: backwardSection,
  decode: decodeSection,
  threads: scalingSection,
  unfused: unfusedSection,
  density: densitySection,
  memory: memorySection,
  fresh: freshSection,
  package: packageSection,
};

const { values: flags } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    store: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    threads: { type: "string", default: "1,2" },
    budget: { type: "string" },
  },
});

function sectionsWanted(): string[] {
  const names = flags.only.split(",").filter(Boolean);
  for (const name of names) {
    if (!(name in SECTIONS)) {
      throw new RangeError(`--only=${name}: known are ${Object.keys(SECTIONS).join(", ")}`);
    }
  }
  return names.length ? names : Object.keys(SECTIONS);
}

function threadCounts(): number[] {
  const counts = flags.threads.split(",").map(Number).sort((a, b) => a - b);
  if (counts.some((n) => !Number.isInteger(n) || n < 1)) {
    throw new RangeError(`--threads=${flags.threads}: whole numbers from 1 up, such as 1,2`);
  }
  return counts;
}

async function main(): Promise<void> {
  const names = sectionsWanted();
  const threads = threadCounts();
  const machine = describeMachine();
  console.log(machineLine(machine));
  const budget: RaceOptions = flags.budget ? { budgetMs: Number(flags.budget) * 1000 } : {};
  const options = { ...(flags.quick ? QUICK : {}), ...budget };

  const limits = new Map<number, Roofline>();
  for (const n of new Set([1, ...threads])) limits.set(n, await measureRoofline(n, options));
  printRoofline([...limits.values()]);
  const results = new Results();
  for (const limit of limits.values()) results.add("roofline", { ...limit });

  const engines = new Map<number, Engine>();
  const context: Context = {
    quick: flags.quick,
    race: options,
    threads,
    results,
    roofline: (n) => limits.get(n) ?? fail(`no roofline for ${n} threads`),
    engine: async (n) => {
      const engine = engines.get(n) ?? await wasmEngine(n);
      engines.set(n, engine);
      return engine;
    },
  };
  const goals: GoalRow[] = [];
  for (const name of names) {
    try {
      goals.push(...await SECTIONS[name](context));
    } catch (error) {
      // The other sections are worth having all the same.
      console.error(`\n${name} failed:`, error);
      Deno.exitCode = 1;
    }
  }
  for (const engine of engines.values()) engine.dispose();
  reportGoals(goals, results);
  console.log(`\n${digits3(performance.now() / 60000)} minutes`);
  if (flags.store) results.store(machine);
}

function fail(message: string): never {
  throw new Error(message);
}

await main();
