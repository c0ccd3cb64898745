/**
 * The library beside the others that a Deno program could use on the CPU: the same inputs, in turns,
 * in one run, each in a process of its own.
 * @module
 */

import { existsSync } from "node:fs";
import { type Case, CHECK_CASE, tagged } from "../cases.ts";
import type { Context, Section } from "../context.ts";
import { GOALS, type Measured, type Value } from "../goals.ts";
import { least, reasonOf } from "../measure/statistics.ts";
import { printTable } from "../measure/table.ts";
import { type CellOptions, type Entry, runCell, TOLERANCE } from "../process/cell.ts";
import type { Job, Task } from "../process/job.ts";
import { ContenderProcess } from "../process/process.ts";
import { OURS, printEntries, storeEntries, timeOf } from "./peers_tables.ts";

const TITLES = {
  forward: "Forward, one thread, copies included",
  causal: "Causal forward, one thread, copies included (half the operations counted)",
  threads: "Two threads, copies included",
  backward: "Gradients of attention, one thread, copies included",
  decode: "Decode: one query against a cache of keys",
  memory: "Peak memory growth",
} as const;
type PeerSection = keyof typeof TITLES;

/** Jobs of a cell, which run against each other: a task, threads, and who does it. */
type Group = readonly [task: Task, threads: number, contenders: readonly string[]];

const TFJS = "tfjs-wasm/heads", JAX = "jax-js/wasm";
const WEB = ["onnxruntime-web/std", "onnxruntime-web/mha", "onnxruntime-web/att23"];
const NATIVE = "onnxruntime-node/mha";
const CACHED = ["onnxruntime-node/std", "onnxruntime-node/att23", JAX];

const CELLS: Readonly<Record<PeerSection, readonly (readonly Group[])[]>> = {
  forward: [[["forward", 1, [OURS, ...WEB, TFJS, JAX, NATIVE]]]],
  causal: [[["causal", 1, [OURS, ...WEB, TFJS, JAX, NATIVE, "onnxruntime-node/att23"]]]],
  // Our single thread runs in the same cell: scaling needs both from the same minute.
  threads: (["forward", "causal"] as const)
    .map((task) => [[task, 2, [OURS, ...WEB, JAX, NATIVE]], [task, 1, [OURS]]]),
  // The forward alone, so that it can be taken off a step that cannot be split.
  backward: [
    [
      ["step", 1, [OURS, TFJS, "tfjs-wasm/grads", JAX]],
      ["backward", 1, [OURS]],
      ["forward", 1, [TFJS, JAX]],
    ],
    [
      ["causal-step", 1, [OURS, TFJS, "tfjs-wasm/grads", JAX]],
      ["causal-backward", 1, [OURS]],
      ["causal", 1, [TFJS, JAX]],
    ],
  ],
  decode: [
    [["forward", 1, [`${OURS}/resident`, OURS, ...WEB, ...CACHED, "tfjs-wasm/batched"]]],
    [["forward", 2, [`${OURS}/resident`, OURS, ...WEB, ...CACHED]]],
  ],
  memory: [[["forward", 1, [OURS, WEB[0]!, TFJS, JAX, NATIVE]]], [["step", 1, [OURS, TFJS, JAX]]]],
};

/** The cells of a section; for a quick look the first of its smallest cases. */
function planCells(section: PeerSection, quick: boolean, modules: string): Job[][] {
  return tagged(`peers ${section}`, quick).flatMap((c) =>
    CELLS[section].slice(0, quick ? 1 : undefined).map((groups) =>
      groups.flatMap(([task, threads, contenders]) =>
        contenders.filter((contender) => fits(contender, task, c)).map((contender) => {
          return { contender, backend: "wasm", task, case: c, threads, modules } as const;
        })
      )
    )
  );
}

/** Whether a contender is worth starting. */
function fits(contender: string, task: Task, c: Case): boolean {
  // From 4096 on the fused operators of onnxruntime-web only fail.
  if (c.lengthQ > 4096 && /web\/(mha|att23)/.test(contender)) return false;
  // The native build would really take the 16 GiB of a 64K × 64K matrix.
  return c.lengthQ <= 16384 || contender === OURS || (task === "forward" && contender !== NATIVE);
}

const FOLDER = new URL("../peers/", import.meta.url);

function peersSection(name: PeerSection): Section {
  return async (context) => {
    await install();
    // Of calls of many seconds, whose memory is the question, one each.
    const once = name === "memory" ? { samples: 0, warmUpMs: 0 } : {};
    const options = { ...cellOptions(context), ...once };
    const cells = planCells(name, context.quick, context.modules.href);
    await check(cells.flat(), options);
    const done: Entry[] = [];
    for (const cell of cells) {
      const jobs = cell.filter((job) => !checked.get(kindOf(job)));
      const entries = jobs.length ? await runCell(jobs, options) : [];
      done.push(...entries);
      storeEntries(context, "peers", name, entries);
    }
    printEntries(TITLES[name], done);
    return goals(name, done);
  };
}

function cellOptions({ quick, flags }: Context): CellOptions {
  const defaults = quick ? { budget: 0.5, samples: 3 } : { budget: 25, samples: 7 };
  return {
    budgetMs: Number(flags.budget ?? defaults.budget) * 1000,
    samples: Number(flags.samples ?? defaults.samples),
    warmUpMs: quick ? 150 : 300,
    threadsWarmUpMs: quick ? 150 : 1500,
    limitMs: quick ? 60_000 : 240_000,
  };
}

async function install(): Promise<void> {
  if (existsSync(new URL("node_modules", FOLDER))) return;
  console.log("Installing the peers (about 750 MB, once) …");
  const args = ["install", "--frozen", "--quiet"];
  const { code } = await new Deno.Command(Deno.execPath(), { args, cwd: FOLDER }).spawn().status;
  if (code !== 0) throw new Error("deno install failed in bench/peers");
}

/** Same contender, task and threads: what is checked once, whatever the shape. */
function kindOf(job: Job): string {
  return `${job.contender} ${job.task} ${job.threads}`;
}

/** Kinds of jobs that were checked in this run, and whether they gave a wrong result. */
const checked = new Map<string, boolean>();

/** Runs every kind of job once on a small case: a fast wrong answer must not enter a table. */
async function check(jobs: readonly Job[], { limitMs }: CellOptions): Promise<void> {
  const rows: string[][] = [];
  for (const job of jobs) {
    const kind = kindOf(job);
    if (checked.has(kind)) continue;
    const process = new ContenderProcess({ ...job, case: CHECK_CASE });
    let result: string, wrong = false;
    try {
      await process.ready(limitMs);
      const error = await process.ask(limitMs, "check");
      wrong = !(error < TOLERANCE);
      result = `${error.toExponential(1)}${wrong ? "  WRONG" : ""}`;
    } catch (error) {
      result = reasonOf(error);
    }
    await process.stop();
    checked.set(kind, wrong);
    rows.push([job.contender, job.task, String(job.threads), result]);
  }
  const head = ["contender", "task", "threads", "largest error"];
  if (rows.length) printTable("Against float64 on a small case (unit normals)", head, rows);
}

/** The goals of a section: most say themselves whom they compare, the others are made here. */
function goals(section: PeerSection, entries: readonly Entry[]): Measured[] {
  return GOALS.filter(({ id }) => id.startsWith(`peers ${section}`)).map(({ id, against }) => {
    if (!against) return { id, values: OWN[id]!(entries) };
    const { cases, task, threads, ours } = against, rivals = new RegExp(against.rivals);
    const values = cases.split(" ").map((of) => {
      const ms = timeOf(entries, of, task, threads, ours);
      return { of, value: timeOf(entries, of, task, threads, rivals) / ms };
    });
    return { id, values };
  });
}

const OWN: Readonly<Record<string, (entries: readonly Entry[]) => Value[]>> = {
  "peers threads scaling": (entries) =>
    ["s1024", "s2048", "s4096"].map((of) => {
      const time = (threads: number) => timeOf(entries, of, "forward", threads, OURS);
      return { of, value: time(1) / time(2) };
    }),

  /** A peer's step less its forward, over our backward: what the gradients alone cost. */
  "peers backward gradients": (entries) =>
    ["s512", "s1024", "s2048"].flatMap((name) =>
      ["", "causal-"].map((causal) => {
        const ms = (task: string, peer: RegExp) => timeOf(entries, name, task, 1, peer);
        const forward = causal ? "causal" : "forward";
        const peers = [/^tfjs-wasm/, /^jax-js/]
          .map((peer) => ms(`${causal}step`, peer) - ms(forward, peer));
        const ours = timeOf(entries, name, `${causal}backward`, 1, OURS);
        return { of: causal ? `${name} causal` : name, value: least(peers) / ours };
      })
    ),

  /** What our engine says it holds, after the call that needed most. */
  "peers memory": (entries) =>
    entries.filter(({ job }) => job.case.name === "s65536" && job.contender === OURS)
      .map(({ job, own }) => ({ of: job.task, value: (own?.total ?? NaN) / 2 ** 20 })),
};

export const peersSections: Readonly<Record<string, Section>> = Object.fromEntries(
  Object.keys(TITLES).map((name) => [name, peersSection(name as PeerSection)]),
);
