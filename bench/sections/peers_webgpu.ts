/**
 * The library beside the others that run attention on WebGPU, and beside PyTorch on the same card.
 * @module
 */

import { existsSync } from "node:fs";
import { type Case, forwardFlops, operands } from "../cases.ts";
import { type Context, gpuOf } from "../context.ts";
import type { Measured, Value } from "../goals.ts";
import { few, least, msOf, nullForNaN, rate, timingFields } from "../measure/statistics.ts";
import { digits3, milliseconds, percent, printTable, times } from "../measure/table.ts";
import type { Job } from "../process/job.ts";
import { type RoundsOutcome, runRounds } from "../process/rounds.ts";
import { residentForward } from "../subjects/flashtile.ts";
import { measureTorch, type TorchTime } from "../subjects/torch.ts";
import { caseTitle, raceSection } from "./outcomes.ts";

const OURS = "flashtile";
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
  const cases = context.cases("peers"), { software } = gpuOf(context).gpu;
  const outcomes: RoundsOutcome[] = [];
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
    outcomes.push(...await runRounds(jobs, options));
  }
  if (outcomes.length) print(context, outcomes);
  const failed = outcomes.find(({ job, failed }) => job.contender === OURS && failed)?.failed;
  return Object.keys(PEERS).map((name) => ({
    id: `webgpu peers ${name}`,
    values: cases.map((c) => {
      const fastest = least(PEERS[name].map((peer) => msFor(outcomes, c, peer)));
      return { of: c.name, value: fastest / msFor(outcomes, c, OURS) };
    }),
    because: absent.get(name) ?? failed,
  }));
}

function msFor(outcomes: readonly RoundsOutcome[], c: Case, contender: string): number {
  return msOf(
    outcomes.find(({ job }) => job.contender === contender && job.case.name === c.name),
  );
}

function print(context: Context, outcomes: readonly RoundsOutcome[]): void {
  const rows = outcomes.map(({ job, timing, calls, error, failed }) => {
    const { case: c, contender } = job;
    context.results.add("gpu-peers", {
      case: c.name,
      contender,
      gflops: nullForNaN(rate(forwardFlops(c), timing)),
      calls: calls ?? null,
      error: nullForNaN(error),
      failed: failed ?? null,
      ...timingFields(timing),
    });
    if (failed) return [c.name, contender, "fails", "", "", "", ""];
    return [
      c.name,
      contender,
      milliseconds(timing?.medianMs ?? NaN) + few(timing),
      digits3(rate(forwardFlops(c), timing)),
      times(msFor(outcomes, c, contender) / msFor(outcomes, c, OURS)),
      String(calls),
      percent(timing?.spread ?? NaN),
    ];
  });
  const head = ["case", "contender", "call", "GFLOP/s", "/ ours", "calls a sample", "spread"];
  printTable("Libraries on WebGPU, resident tensors, by the clock on the wall", head, rows);
  for (const { job, failed } of outcomes) {
    if (failed) console.log(`${job.contender} on ${job.case.name} fails: ${failed}`);
  }
}

async function torchPart(context: Context): Promise<Measured> {
  const id = "webgpu torch";
  const cases = context.cases("forward").filter((c) => c.lengthQ >= 1024);
  const torch = gpuOf(context).gpu.software
    ? { missing: "a software adapter" }
    : await measureTorch(cases);
  if ("missing" in torch) return { id, values: [], because: torch.missing };
  const rows: string[][] = [];
  const values: Value[] = [];
  for (const time of torch.times) {
    const { causal, f32Ms, bf16Ms } = time;
    const c = cases.find(({ name }) => name === time.name)!;
    const entrant = residentForward(context, c, operands(c), { causal });
    const [outcome] = await raceSection(context, [entrant]);
    const of = caseTitle(c, causal), value = f32Ms / msOf(outcome);
    values.push({ of, value });
    rows.push([of, ...speeds(c, time, msOf(outcome)), times(value)]);
    context.results.add("gpu-torch", {
      ...{ case: c.name, causal, torch: torch.version, f32Ms, bf16Ms: nullForNaN(bf16Ms) },
      flashtileMs: nullForNaN(msOf(outcome)),
      failed: outcome.failed ?? null,
    });
  }
  const head = ["GFLOP/s", "flashtile f32", "torch f32", "torch bf16 flash", "f32 gain"];
  printTable(`PyTorch ${torch.version}, by device clocks`, head, rows);
  return { id, values };
}

function speeds(c: Case, time: TorchTime, oursMs: number): string[] {
  const flops = forwardFlops(c, time.causal);
  return [oursMs, time.f32Ms, time.bf16Ms].map((ms) => digits3(flops / ms / 1e6));
}
