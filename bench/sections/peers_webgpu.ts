/**
 * The library beside the others that run attention on WebGPU, and beside PyTorch on the same card.
 * @module
 */

import { existsSync } from "node:fs";
import { forwardFlops } from "../cases.ts";
import type { Context } from "../context.ts";
import type { Measured, Value } from "../goals.ts";
import { msOf, nullForNaN } from "../measure/statistics.ts";
import { digits3, printTable, times } from "../measure/table.ts";
import { type Entry, runRounds } from "../process/cell.ts";
import type { Job } from "../process/job.ts";
import { forwardEntrant } from "../subjects/flashtile.ts";
import { measureTorch } from "../subjects/torch.ts";
import { raceCases } from "./raced.ts";
import { OURS, printEntries, storeEntries, timeOf } from "./peers_tables.ts";

/** Contenders by the package that they need. */
const PEERS: Readonly<Record<string, readonly string[]>> = {
  "onnxruntime-web": ["onnxruntime-web/mha", "onnxruntime-web/std"],
  "@jax-js/jax": ["jax-js"],
};

export async function webgpuPeersSection(context: Context): Promise<Measured[]> {
  return [...await librariesPart(context), await torchPart(context)];
}

async function librariesPart(context: Context): Promise<Measured[]> {
  const absent = new Map<string, string>();
  for (const name of Object.keys(PEERS)) {
    if (existsSync(new URL(name, context.modules))) continue;
    const reason = `${name} is not installed: run \`deno install --frozen\` in bench/peers`;
    absent.set(name, reason);
    console.log(`\nSkipped: ${reason}`);
  }
  const contenders = Object.entries(PEERS).flatMap(([name, all]) => absent.has(name) ? [] : all);
  const cases = context.cases("peers"), { software } = context.gpu!;
  const entries: Entry[] = [];
  const options = {
    rounds: context.quick ? 1 : 2,
    samples: context.quick ? 2 : 5,
    budgetMs: context.quick ? 1500 : 8000,
    sampleMs: software ? 100 : 500,
  };
  for (const c of contenders.length ? cases : []) {
    const common = { backend: "webgpu", task: "forward", case: c, threads: 1 } as const;
    const jobs: Job[] = [OURS, ...contenders]
      .map((contender) => ({ contender, ...common, modules: context.modules.href }));
    entries.push(...await runRounds(jobs, options));
  }
  storeEntries("gpu-peers", "peers", entries, context.results);
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
    because: absent.get(name) ?? failed,
  }));
}

async function torchPart(context: Context): Promise<Measured> {
  const id = "webgpu torch";
  const cases = context.cases("forward").filter((c) => c.lengthQ >= 1024);
  const torch = context.gpu!.software
    ? { missing: "a software adapter" }
    : await measureTorch(cases);
  if ("missing" in torch) return { id, values: [], because: torch.missing };
  const rows: string[][] = [];
  const values: Value[] = [];
  const raced = await raceCases(context, cases, { masks: [false, true] }, (call) => [
    forwardEntrant(context, call),
  ]);
  for (const { c, causal, title: of, outcomes: [outcome] } of raced) {
    const time = torch.times.find((t) => t.name === c.name && t.causal === causal)!;
    const { f32Ms, bf16Ms } = time, value = f32Ms / msOf(outcome);
    values.push({ of, value });
    const speeds = [msOf(outcome), f32Ms, bf16Ms ?? NaN].map((ms) =>
      forwardFlops(c, causal) / ms / 1e6
    );
    rows.push([of, ...speeds.map(digits3), times(value)]);
    context.results.add("gpu-torch", {
      ...{ case: c.name, causal, torch: torch.version, f32Ms, bf16Ms },
      flashtileMs: nullForNaN(msOf(outcome)),
      failed: outcome.failed ?? null,
    });
  }
  const head = ["GFLOP/s", "flashtile f32", "torch f32", "torch bf16 flash", "f32 gain"];
  printTable(`PyTorch ${torch.version}, by device clocks`, head, rows);
  return { id, values };
}
