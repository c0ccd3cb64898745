/**
 * `deno task bench`: the library against the limits of the machine and against itself; with `--peers`
 * beside other libraries; with `--backend=webgpu` on a GPU. Then the goals.
 *
 * Options: `--only=forward,decode` (some sections), `--quick` (does it run?), `--budget=SECONDS` for
 * each contender, `--store` (appends to bench/results), `--threads=1,2` (CPU), `--samples=N` (peers),
 * `--shapes=1x8x4096x64,…` (batch × heads × length × head dimension, WebGPU: forward, backward and
 * peers), `--modules=DIR` (where the peers are installed). See bench/README.md.
 * @module
 */

import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import { caseOf, tagged } from "./cases.ts";
import type { Context, Flags, Limits, Section } from "./context.ts";
import { type Measured, reportGoals } from "./goals.ts";
import { measureRooflines } from "./limits/wasm.ts";
import { measureDevice, printDevice } from "./limits/webgpu.ts";
import { GpuClock } from "./measure/gpu_clock.ts";
import { adapterName, openGpu } from "./measure/gpu_device.ts";
import { describeMachine, machineLine } from "./measure/machine.ts";
import type { RaceOptions } from "./measure/race.ts";
import { reasonOf } from "./measure/statistics.ts";
import { Results } from "./measure/store.ts";
import { digits3 } from "./measure/table.ts";
import { backwardSection } from "./sections/backward.ts";
import { decodeSection } from "./sections/decode.ts";
import { densitySection } from "./sections/density.ts";
import { causalSection, forwardSection } from "./sections/forward.ts";
import { freshSection, peersFreshSection } from "./sections/fresh.ts";
import { hostSection } from "./sections/host.ts";
import { memorySection } from "./sections/memory.ts";
import { packageSection } from "./sections/package.ts";
import { peersSection } from "./sections/peers.ts";
import { webgpuPeersSection } from "./sections/peers_webgpu.ts";
import { scalingSection } from "./sections/scaling.ts";
import { tilesSection } from "./sections/tiles.ts";
import { unfusedSection } from "./sections/unfused.ts";
import { type Engine, wasmEngine, webgpuEngine } from "./subjects/flashtile.ts";

export type Sections = Readonly<Record<string, Section>>;

const facts: Section = async (context) => {
  await context.limits();
  return [];
};
const SUITES: Readonly<Record<"wasm" | "peers" | "webgpu", Sections>> = {
  wasm: {
    facts,
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
    tiles: tilesSection,
  },
  peers: {
    forward: peersSection("forward"),
    causal: peersSection("causal"),
    threads: peersSection("threads"),
    backward: peersSection("backward"),
    decode: peersSection("decode"),
    memory: peersSection("memory"),
    fresh: peersFreshSection,
  },
  webgpu: {
    facts,
    forward: forwardSection,
    backward: backwardSection,
    decode: decodeSection,
    host: hostSection,
    peers: webgpuPeersSection,
  },
};
/** Sections that run only when they are named. */
const ASKED = ["tiles", "sweep"];
/** Sections that take the shapes asked for. */
const SHAPED = ["forward", "half", "backward", "peers"];

const OPTIONS: ParseArgsOptionsConfig = {
  backend: { type: "string", default: "wasm" },
  peers: { type: "boolean", default: false },
  quick: { type: "boolean", default: false },
  store: { type: "boolean", default: false },
  only: { type: "string", default: "" },
  threads: { type: "string", default: "1,2" },
  budget: { type: "string" },
  samples: { type: "string" },
  shapes: { type: "string" },
  modules: { type: "string" },
};

/** Runs a report; a tool may add sections with options of their own. */
export async function bench(
  args: readonly string[],
  added: { sections: Sections; options: ParseArgsOptionsConfig } = { sections: {}, options: {} },
): Promise<void> {
  const options = { ...OPTIONS, ...added.options };
  const flags = parseArgs({ args: [...args], options }).values as Flags;
  const { backend } = flags;
  if (backend !== "wasm" && backend !== "webgpu") {
    throw new RangeError(`--backend=${backend}: wasm or webgpu`);
  }
  const sections = {
    ...SUITES[flags.peers && backend === "wasm" ? "peers" : backend],
    ...added.sections,
  };
  const names = sectionsWanted(sections, String(flags.only));
  const results = new Results();
  const { context, machine, close } = backend === "wasm"
    ? onCpu(flags, results)
    : await onGpu(flags, results, names);
  const store = (rows: Results) => {
    if (flags.store) rows.store(machine);
  };
  const measured: Measured[] = [];
  for (const name of names) {
    try {
      measured.push(...await sections[name]({ ...context, store }));
    } catch (error) {
      // The other sections are worth having all the same.
      console.error(`\n${name} failed:`, error);
      Deno.exitCode = 1;
    }
    store(results); // a run that is cut off keeps the sections before
  }
  close();
  if (measured.length) reportGoals(measured, context.gpu?.software ?? false, results);
  console.log(`\n${digits3(performance.now() / 60000)} minutes`);
  store(results);
}

function sectionsWanted(sections: Sections, only: string): string[] {
  const known = Object.keys(sections), names = only.split(",").filter(Boolean);
  for (const name of names) {
    if (!known.includes(name)) {
      throw new RangeError(`--only=${name}: known are ${known.join(", ")}`);
    }
  }
  return names.length ? names : known.filter((name) => !ASKED.includes(name));
}

interface Bench {
  readonly context: Omit<Context, "store">;
  readonly machine: ReturnType<typeof describeMachine>;
  close(): void;
}

function onCpu(flags: Flags, results: Results): Bench {
  const threads = String(flags.threads).split(",").map(Number).sort((a, b) => a - b);
  if (threads.some((n) => !Number.isInteger(n) || n < 1)) {
    throw new RangeError(`--threads=${flags.threads}: whole numbers from 1 up, such as 1,2`);
  }
  const machine = describeMachine();
  console.log(machineLine(machine));
  const quick = Boolean(flags.quick);
  const race = withBudget(quick ? { samples: 3, budgetMs: 600, warmUpMs: 150 } : {}, flags);
  const counts = [...new Set([1, ...threads])];
  const measured = once(() => measureRooflines(counts, race, results));
  const engines = new Map<number, Engine>();
  const engine = async (count = 1) => {
    const found = engines.get(count) ?? await wasmEngine(count);
    engines.set(count, found);
    return found;
  };
  const limits = async (count = 1) => (await measured())[counts.indexOf(count)];
  const cases = (section: string) => tagged(`wasm ${section}`, quick);
  const close = () => {
    for (const engine of engines.values()) engine.dispose();
  };
  const context = { flags, quick, race, threads, results, modules: modulesFolder(flags) };
  return { context: { backend: "wasm", ...context, cases, limits, engine }, machine, close };
}

async function onGpu(flags: Flags, results: Results, names: readonly string[]): Promise<Bench> {
  const shapes = flags.shapes ? String(flags.shapes).split(",").map((s) => caseOf(s)) : undefined;
  const gpu = await openGpu(), { software } = gpu, quick = Boolean(flags.quick);
  const found = await webgpuEngine().catch((error) => reasonOf(error));
  const device = typeof found === "string" ? gpu.device : found.device;
  const gpuClock = new GpuClock(device, software);
  const adapter = adapterName(gpu.adapter);
  const machine = { ...describeMachine(), adapter, software, clock: gpuClock.source };
  console.log(machineLine(machine));
  printDevice(gpu);
  console.log(`flashtile: ${typeof found === "string" ? found : found.reason}`);
  console.log(`timed by ${gpuClock.source}`);
  const usual = software
    ? { samples: 7, budgetMs: 9000, warmUpMs: 50 }
    : { samples: 7, budgetMs: 4000, warmUpMs: 100 }; // its clock is up: see gpu_clock.ts
  const options = quick ? { samples: 3, budgetMs: 1500, warmUpMs: 50 } : usual;
  // the budget of a sweep is its own
  const race = names.includes("sweep") ? options : withBudget(options, flags);
  const cases = (section: string) =>
    SHAPED.includes(section) && shapes ||
    tagged(`${software ? "software" : "gpu"} ${section}`, quick);
  const engine = () =>
    typeof found === "string"
      ? Promise.reject(new Error(`the library has no WebGPU engine here: ${found}`))
      : Promise.resolve(found);
  const limits = once(() => measureDevice(gpu, race, results));
  const context = { flags, quick, race, threads: [1], results, modules: modulesFolder(flags) };
  const context2 = { backend: "webgpu" as const, ...context, gpu, gpuClock, cases, limits, engine };
  return { context: context2, machine, close() {} };
}

function withBudget(options: RaceOptions, { budget }: Flags): RaceOptions {
  return budget ? { ...options, budgetMs: Number(budget) * 1000 } : options;
}

function modulesFolder({ modules }: Flags): URL {
  if (!modules) return new URL("./peers/node_modules/", import.meta.url);
  return pathToFileURL(resolve(String(modules)) + "/");
}

function once<T extends Limits | readonly Limits[]>(measure: () => Promise<T>): () => Promise<T> {
  let found: Promise<T> | undefined;
  return () => found ??= measure();
}

if (import.meta.main) {
  await bench(Deno.args);
  Deno.exit();
}
