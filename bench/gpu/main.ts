/**
 * `deno task bench:gpu`: the library on WebGPU against the limits of the device, an unfused rival in
 * the same harness, and other libraries, in one run; then the goals.
 *
 * Options: `--quick`, `--only=facts,forward,backward,decode,host,peers,sweep`, `--shapes=1x8x4096x64,…`
 * (batch × heads × length × head dimension, for forward, backward and peers), `--modules=DIR` (where
 * the peers are installed), `--budget=SECONDS` for each contender (or the whole sweep), `--store`.
 * The sweep runs only when it is named, and takes `--kernels=forward,dq,dkv,decode`, `--dims=64,…`,
 * `--lengths=4096,…`, `--heads=16,…`, `--causal`.
 * @module
 */

import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { describeMachine, machineLine } from "../measure/machine.ts";
import type { RaceOptions } from "../measure/race.ts";
import { Results } from "../measure/store.ts";
import { digits3 } from "../measure/table.ts";
import { named } from "./cases.ts";
import { GpuClock } from "../measure/gpu_clock.ts";
import { type GpuContext, type GpuSection, type Ours, reasonOf } from "./context.ts";
import { adapterName, type Gpu, openGpu } from "../measure/gpu_device.ts";
import { type Facts, measureFacts, printDevice, printFacts } from "../limits/webgpu.ts";
import { type GpuGoal, reportGpuGoals } from "./goals.ts";
import { openEngine } from "../subjects/flashtile_webgpu.ts";
import { backwardSection } from "./sections/backward.ts";
import { decodeSection } from "./sections/decode.ts";
import { forwardSection } from "./sections/forward.ts";
import { hostSection } from "./sections/host.ts";
import { peersSection } from "./sections/peers.ts";
import { sweepSection } from "../../tools/tune/sweep.ts";
import { SWEEP_FLAGS, sweepOptions } from "../../tools/tune/options.ts";

const SECTIONS: Readonly<Record<string, GpuSection>> = {
  facts: factsSection,
  forward: forwardSection,
  backward: backwardSection,
  decode: decodeSection,
  host: hostSection,
  peers: peersSection,
  sweep: sweepSection,
};
/** Sections of a run that names none. */
const USUAL = Object.keys(SECTIONS).filter((name) => name !== "sweep");

const { values: flags } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    store: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    shapes: { type: "string" },
    modules: { type: "string" },
    budget: { type: "string" },
    ...SWEEP_FLAGS,
  },
});

function sectionsWanted(): string[] {
  const names = flags.only.split(",").filter(Boolean);
  for (const name of names) {
    if (!(name in SECTIONS)) {
      throw new RangeError(`--only=${name}: known are ${Object.keys(SECTIONS).join(", ")}`);
    }
  }
  return names.length ? names : USUAL;
}

function raceOptions(software: boolean, sweeps: boolean): RaceOptions {
  const usual = software
    ? { samples: 7, budgetMs: 9000, warmUpMs: 50 }
    : { samples: 7, budgetMs: 4000, warmUpMs: 100 }; // its clock is up: see clock.ts
  const options = flags.quick ? { samples: 3, budgetMs: 1500, warmUpMs: 50 } : usual;
  // the budget of a sweep is its own
  return flags.budget && !sweeps ? { ...options, budgetMs: Number(flags.budget) * 1000 } : options;
}

async function factsSection(context: GpuContext): Promise<GpuGoal[]> {
  await context.facts();
  return [];
}

/** The limits of the device, measured, printed and kept when a section first needs them. */
function factsOnce(gpu: Gpu, options: RaceOptions, results: Results): () => Promise<Facts> {
  let facts: Promise<Facts> | undefined;
  const measure = async () => {
    const found = await measureFacts(gpu, options);
    printFacts(found);
    const { peak, ...rest } = found;
    results.add("gpu-facts", {
      ...rest,
      fmaGflops: peak.gflops,
      chains: peak.chains,
      wallOverTimestamps: Number.isNaN(peak.wallOverTimestamps) ? null : peak.wallOverTimestamps,
      features: gpu.features.join(" "),
    });
    return found;
  };
  return () => facts ??= measure();
}

async function findOurs(): Promise<Ours> {
  try {
    return { engine: await openEngine() };
  } catch (error) {
    console.log(`flashtile: ${reasonOf(error)}`);
    return { missing: "the library has no WebGPU engine here" };
  }
}

function modulesFolder(): URL {
  if (!flags.modules) return new URL("../peers/node_modules/", import.meta.url);
  return pathToFileURL(resolve(flags.modules) + "/");
}

async function main(): Promise<void> {
  const names = sectionsWanted();
  const shapes = flags.shapes ? named(flags.shapes.split(",")) : undefined;
  const gpu = await openGpu();
  const ours = await findOurs();
  const clock = new GpuClock("engine" in ours ? ours.engine.device : gpu.device, gpu.software);
  const machine = {
    ...describeMachine(),
    adapter: adapterName(gpu.adapter),
    software: gpu.software,
    clock: clock.source,
  };
  console.log(machineLine(machine));
  printDevice(gpu);
  if ("engine" in ours) console.log(`flashtile: ${ours.engine.reason}`);
  console.log(`timed by ${clock.source}`);
  const results = new Results();
  const race = raceOptions(gpu.software, names.includes("sweep"));
  const context: GpuContext = {
    ...{ gpu, quick: flags.quick, shapes, race, results, ours, clock },
    modules: modulesFolder(),
    sweep: sweepOptions(flags, gpu.software),
    ...(flags.store ? { store: (rows: Results) => rows.store(machine) } : {}),
    facts: factsOnce(gpu, race, results),
  };
  const goals: GpuGoal[] = [];
  for (const name of names) {
    try {
      goals.push(...await SECTIONS[name](context));
    } catch (error) {
      // The other sections are worth having all the same.
      console.error(`\n${name} failed:`, error);
      Deno.exitCode = 1;
    }
    if (flags.store) results.store(machine); // a run that is cut off keeps the sections before
  }
  if (goals.length) reportGpuGoals(goals, results);
  console.log(`\n${digits3(performance.now() / 60000)} minutes`);
  if (flags.store) results.store(machine);
}

await main();
Deno.exit();
