/**
 * `deno task bench`: the library against the limits of the machine and against itself; with `--peers`
 * beside other libraries; with `--backend=webgpu` on a GPU. Then the goals. See bench/README.md.
 * @module
 */

import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { ParseArgsOptionsConfig } from "node:util";
import { caseOf, tagged } from "./cases.ts";
import type { Context, Flags, Limits, Section } from "./context.ts";
import { OPTIONS, readFlags, refuse, usage } from "./flags.ts";
import { type Measured, reportGoals } from "./goals.ts";
import { measureRooflines } from "./limits/wasm.ts";
import { adapterName, measureDevice, printDevice } from "./limits/webgpu.ts";
import { GpuClock } from "./measure/gpu_clock.ts";
import { describeMachine, type Machine, machineLine } from "./measure/machine.ts";
import type { RaceOptions } from "./measure/race.ts";
import { Results, storedRows } from "./measure/store.ts";
import { digits3 } from "./measure/table.ts";
import { backwardSection } from "./sections/backward.ts";
import { cachesSection } from "./sections/caches.ts";
import { decodeSection } from "./sections/decode.ts";
import { densitySection } from "./sections/density.ts";
import { featuresSection } from "./sections/features.ts";
import { causalSection, forwardSection } from "./sections/forward.ts";
import { freshSection, peersFreshSection } from "./sections/fresh.ts";
import { hostSection } from "./sections/host.ts";
import { int8Section } from "./sections/int8.ts";
import { linformerErrorSection, linformerSection } from "./sections/linformer.ts";
import { maxSimSection } from "./sections/max_sim.ts";
import { memorySection } from "./sections/memory.ts";
import { packageSection } from "./sections/package.ts";
import { peersSections } from "./sections/peers.ts";
import { webgpuPeersSection } from "./sections/peers_webgpu.ts";
import { scalingSection } from "./sections/scaling.ts";
import { sparseSection } from "./sections/sparse.ts";
import { tfjsSection } from "./sections/tfjs.ts";
import { tilesSection } from "./sections/tiles.ts";
import { unfusedSection } from "./sections/unfused.ts";
import { workersSection } from "./sections/workers.ts";
import { isSoftware } from "../src/webgpu/device/device.ts";
import { type Engine, wasmEngine, webgpuEngine } from "./subjects/flashtile.ts";

export type Sections = Readonly<Record<string, Section>>;

const both: Sections = {
  facts: (context) => context.limits().then(() => []),
  forward: forwardSection,
  backward: backwardSection,
  decode: decodeSection,
};
const SUITES: Readonly<Record<"wasm" | "peers" | "webgpu", Sections>> = {
  wasm: {
    ...both,
    causal: causalSection,
    caches: cachesSection,
    threads: scalingSection,
    workers: workersSection,
    unfused: unfusedSection,
    density: densitySection,
    features: featuresSection,
    max_sim: maxSimSection,
    memory: memorySection,
    fresh: freshSection,
    int8: int8Section,
    linformer: linformerSection,
    linformer_error: linformerErrorSection,
    package: packageSection,
    sparse: sparseSection,
    tfjs: tfjsSection,
    tiles: tilesSection,
  },
  peers: { ...peersSections, fresh: peersFreshSection },
  webgpu: { ...both, host: hostSection, peers: webgpuPeersSection },
};
/** Sections that run only when they are named. */
const ASKED = ["int8", "linformer", "linformer_error", "sparse", "tfjs", "tiles", "sweep"];
/** Sections that take the shapes asked for. */
const SHAPED = ["forward", "half", "backward", "peers"];

/** Runs a report; a tool may add sections with options of their own. */
export async function bench(
  args: readonly string[],
  added: { sections: Sections; options: ParseArgsOptionsConfig } = { sections: {}, options: {} },
): Promise<void> {
  const options = { ...OPTIONS, ...added.options };
  const flags = readFlags(args, options);
  const { backend } = flags;
  if (backend !== "wasm" && backend !== "webgpu") {
    refuse(`--backend=${backend}: wasm or webgpu`);
  }
  const suite = flags.peers && backend === "wasm" ? "peers" : backend;
  const sections = { ...SUITES[suite], ...added.sections };
  if (flags.help) return console.log(usage(options, Object.keys(sections)));
  const results = new Results();
  // a report alone is of what is stored
  const names = flags.html && !flags.only ? [] : sectionsWanted(sections, String(flags.only));
  if (names.length === 0) return await writeReport(results);
  const { machine, ...context } = backend === "wasm"
    ? onCpu(flags, results)
    : await onGpu(flags, results, names);
  const store = (rows: Results) => flags.store && rows.store(machine);
  const measured: Measured[] = [];
  for (const name of names) {
    try {
      measured.push(...await sections[name]!({ ...context, store }));
    } catch (error) {
      // The other sections are worth having all the same.
      console.error(`\n${name} failed:`, error);
      Deno.exitCode = 1;
    }
    store(results); // a run that is cut off keeps the sections before
  }
  if (measured.length) reportGoals(measured, context.gpu?.software ?? false, results);
  console.log(`\n${digits3(performance.now() / 60000)} minutes`);
  if (flags.html) await writeReport(results, machine);
  store(results);
}

/** What is stored, and the run just made, as a page; the plots are loaded only here. */
async function writeReport(results: Results, machine?: Machine): Promise<void> {
  const { reportPage } = await import("./report/page.ts");
  const file = new URL("report.html", import.meta.url);
  const source = (kind: string) => [
    ...storedRows(kind),
    ...machine ? results.unstored(kind).map((row) => ({ row, machine })) : [],
  ];
  await Deno.writeTextFile(file, reportPage(source, new Date().toISOString().slice(0, 10)));
  console.log(`\nreport: ${file.pathname}`);
}

function sectionsWanted(sections: Sections, only: string): string[] {
  const known = Object.keys(sections), names = only.split(",").filter(Boolean);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown) refuse(`--only=${unknown}: known are ${known.join(", ")}`);
  return names.length ? names : known.filter((name) => !ASKED.includes(name));
}

type Bench = Omit<Context, "store"> & { readonly machine: Machine };

/** What both reports have. */
function common(flags: Flags, race: RaceOptions, ownBudget = false) {
  const { budget, modules } = flags, installed = new URL("./peers/node_modules/", import.meta.url);
  return {
    ...{ flags, quick: Boolean(flags.quick) },
    race: budget && !ownBudget ? { ...race, budgetMs: Number(budget) * 1000 } : race,
    modules: modules ? pathToFileURL(resolve(String(modules)) + "/") : installed,
  };
}

function onCpu(flags: Flags, results: Results): Bench {
  const threads = String(flags.threads).split(",").map(Number).sort((a, b) => a - b);
  if (threads.some((n) => !Number.isInteger(n) || n < 1)) {
    refuse(`--threads=${flags.threads}: whole numbers from 1 up, such as 1,2`);
  }
  const machine = describeMachine();
  console.log(machineLine(machine));
  const shared = common(flags, flags.quick ? { samples: 3, budgetMs: 600, warmUpMs: 150 } : {});
  const counts = [...new Set([1, ...threads])];
  const engines = new Map<number, Promise<Engine>>();
  let measured: Promise<readonly Limits[]> | undefined;
  return {
    ...{ backend: "wasm", machine, threads, results },
    ...shared,
    cases: (section) => tagged(`wasm ${section}`, shared.quick),
    async limits(count = 1) {
      measured ??= measureRooflines(counts, shared.race, results);
      return (await measured)[counts.indexOf(count)]!;
    },
    engine(count = 1) {
      if (!engines.has(count)) engines.set(count, wasmEngine(count));
      return engines.get(count)!;
    },
  };
}

async function onGpu(flags: Flags, results: Results, names: readonly string[]): Promise<Bench> {
  const shapes = flags.shapes ? String(flags.shapes).split(",").map((s) => caseOf(s)) : undefined;
  const engine = await webgpuEngine(), { adapterInfo } = engine.device;
  const software = isSoftware(adapterInfo), gpu = new GpuClock(engine.device, software);
  const adapter = adapterName(adapterInfo);
  const machine = { ...describeMachine(), adapter, software, clock: gpu.source };
  console.log(machineLine(machine));
  printDevice(gpu);
  console.log(`flashtile: ${engine.reason}\ntimed by ${gpu.source}`);
  const usual = software
    ? { samples: 7, budgetMs: 9000, warmUpMs: 50 }
    : { samples: 7, budgetMs: 4000, warmUpMs: 50 }; // its clock is up: see gpu_clock.ts
  const race = flags.quick ? { samples: 3, budgetMs: 1500, warmUpMs: 50 } : usual;
  // the budget of a sweep is its own
  const shared = common(flags, race, names.includes("sweep"));
  const mine = software ? "software" : "gpu";
  let measured: Promise<Limits> | undefined;
  return {
    ...{ backend: "webgpu", machine, threads: [1], gpu, results },
    ...shared,
    cases: (section) =>
      SHAPED.includes(section) && shapes || tagged(`${mine} ${section}`, shared.quick),
    limits: () => measured ??= measureDevice(gpu, shared.race, results),
    engine: () => Promise.resolve(engine),
  };
}

if (import.meta.main) {
  await bench(Deno.args);
  Deno.exit();
}
