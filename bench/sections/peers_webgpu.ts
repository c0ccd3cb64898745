/**
 * The library beside the others that run attention on WebGPU, and beside PyTorch on the same card.
 * @module
 */

import { existsSync } from "node:fs";
import { type Call, forwardFlops } from "../cases.ts";
import type { Context } from "../context.ts";
import type { Measured } from "../goals.ts";
import { msOf, nullForNaN } from "../measure/statistics.ts";
import { digits3, milliseconds, printProgress, printTable, times } from "../measure/table.ts";
import { type Entry, runRounds } from "../process/cell.ts";
import { forwardEntrant } from "../subjects/flashtile.ts";
import { measureTorch } from "../subjects/torch.ts";
import { raceCases, type Raced, titleOf } from "./raced.ts";
import { OURS, printEntries, storeEntries, timeOf } from "./peers_tables.ts";

/** Contenders by the package that they need. */
const PEERS: Readonly<Record<string, readonly [string, ...string[]]>> = {
  "onnxruntime-web": ["onnxruntime-web/mha", "onnxruntime-web/std"],
  "@jax-js/jax": ["jax-js"],
};

export async function webgpuPeersSection(context: Context): Promise<Measured[]> {
  return [...await librariesPart(context), await torchPart(context)];
}

async function librariesPart(context: Context): Promise<Measured[]> {
  const { quick, modules } = context, cases = context.cases("peers"), entries: Entry[] = [];
  const missing = (name: string) =>
    existsSync(new URL(name, modules))
      ? undefined
      : `${name} is not installed: run \`deno install --frozen\` in bench/peers`;
  for (const name of Object.keys(PEERS)) {
    if (missing(name)) console.log(`\nSkipped: ${missing(name)}`);
  }
  const contenders = Object.keys(PEERS).filter((name) => !missing(name))
    .flatMap((name) => PEERS[name]!);
  const options = {
    ...(quick
      ? { rounds: 1, samples: 2, budgetMs: 1500 }
      : { rounds: 2, samples: 4, budgetMs: 8000 }),
    sampleMs: context.gpu!.software ? 100 : 500,
  };
  for (const c of contenders.length ? cases : []) {
    const common = { backend: "webgpu", task: "forward", case: c, threads: 1 } as const;
    const jobs = [OURS, ...contenders]
      .map((contender) => ({ contender, ...common, modules: modules.href }));
    const found = await runRounds(jobs, options);
    storeEntries(context, "gpu-peers", "peers", found);
    entries.push(...found);
  }
  if (entries.length) {
    printEntries("Libraries on WebGPU, resident tensors, by the clock on the wall", entries);
  }
  const failed = entries.find(({ job, failed }) => job.contender === OURS && failed)?.failed;
  return Object.entries(PEERS).map(([name, [peer]]) => ({
    id: `webgpu peers ${name}`,
    values: cases.map(({ name: of }) => {
      const time = (who: string | RegExp) => timeOf(entries, of, "forward", 1, who);
      return { of, value: time(new RegExp(`^${peer.split("/")[0]}`)) / time(OURS) };
    }),
    because: missing(name) ?? failed,
  }));
}

async function torchPart(context: Context): Promise<Measured> {
  const id = "webgpu torch";
  const cases = context.cases("forward").filter((c) => c.lengthQ >= 1024);
  const torch = context.gpu!.software
    ? { missing: "a software adapter" }
    : await measureTorch(cases);
  if ("missing" in torch) return { id, values: [], because: torch.missing };
  const told = torch.times.map((t) => [titleOf(t.name, t.causal), milliseconds(t.f32Ms)]);
  printProgress(`PyTorch ${torch.version}`, told);
  const timesOf = ({ c, causal }: Raced) =>
    torch.times.find((t) => t.name === c.name && t.causal === causal)!;
  const keep = (r: Raced) => {
    const { f32Ms, bf16Ms } = timesOf(r), { c, causal, outcomes: [outcome] } = r;
    context.results.add("gpu-torch", {
      ...{ case: c.name, causal, torch: torch.version, f32Ms, bf16Ms },
      ...{ flashtileMs: nullForNaN(msOf(outcome)), failed: outcome.failed ?? null },
    });
  };
  const entrants = (call: Call) => [forwardEntrant(context, call)];
  const raced = await raceCases(context, cases, { masks: [false, true] }, entrants, keep);
  const rows = raced.map((r) => {
    const { f32Ms, bf16Ms } = timesOf(r), ms = msOf(r.outcomes[0]);
    const speeds = [ms, f32Ms, bf16Ms ?? NaN].map((ms) => forwardFlops(r.c, r.causal) / ms / 1e6);
    return { of: r.title, speeds, value: f32Ms / ms };
  });
  const head = ["GFLOP/s", "flashtile f32", "torch f32", "torch bf16 flash", "f32 gain"];
  const cells = rows.map(({ of, speeds, value }) => [of, ...speeds.map(digits3), times(value)]);
  printTable(`PyTorch ${torch.version}, by device clocks`, head, cells);
  return { id, values: rows };
}
