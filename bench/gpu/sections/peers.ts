/**
 * The library beside the others that run attention on WebGPU, and beside PyTorch on the same card.
 * @module
 */

import { existsSync } from "node:fs";
import { type Case, forwardFlops } from "../../cases.ts";
import { nullForNaN } from "../../goals.ts";
import { digits3, milliseconds, percent, printTable, times } from "../../measure/table.ts";
import { forwardCases, gpuOperands, named, PEER_SHAPE } from "../cases.ts";
import { few, type GpuContext, rate, timingFields } from "../context.ts";
import { flashtile } from "../entrants.ts";
import { fastestOf, type GpuGoal, onHardware } from "../goals.ts";
import type { PeerJob } from "../peers/contender.ts";
import { type PeerOutcome, racePeers } from "../peers/process.ts";
import { msOf, raceVerified } from "../../measure/verified_race.ts";
import { measureTorch, type TorchTime } from "../../subjects/torch.ts";

const OURS = "flashtile";
/** Contenders by the package that they need. */
const PEERS: Readonly<Record<string, readonly string[]>> = {
  "onnxruntime-web": ["onnxruntime-web/mha", "onnxruntime-web/std"],
  "@jax-js/jax": ["jax-js"],
};
/** What each is to be beaten by: on hardware, and on a software adapter. */
const TARGETS: Readonly<Record<string, readonly [number, number]>> = {
  "onnxruntime-web": [4, 2.5],
  "@jax-js/jax": [4, 2.1],
};
const LONGER_SHAPE = "1x8x4096x64";

export async function peersSection(context: GpuContext): Promise<GpuGoal[]> {
  const goals = await librariesPart(context);
  return [...goals, await torchPart(context)];
}

async function librariesPart(context: GpuContext): Promise<GpuGoal[]> {
  const { software } = context.gpu;
  const absent = new Map<string, string>();
  for (const name of Object.keys(PEERS)) {
    if (existsSync(new URL(name, context.modules))) continue;
    const reason = `${name} is not installed: run \`deno install --frozen\` in bench/peers`;
    absent.set(name, reason);
    console.log(`\nSkipped: ${reason}`);
  }
  const contenders = Object.entries(PEERS).flatMap(([name, all]) => absent.has(name) ? [] : all);
  const cases = context.shapes ?? named(software ? [PEER_SHAPE] : [PEER_SHAPE, LONGER_SHAPE]);
  const outcomes: PeerOutcome[] = [];
  for (const c of contenders.length ? cases : []) {
    const here = "engine" in context.ours ? [OURS, ...contenders] : contenders;
    const jobs = here.map((contender) => job(context, contender, c));
    outcomes.push(...await racePeers(jobs, context.quick ? 1 : 2));
  }
  if (outcomes.length) print(context, outcomes);
  const missing = "missing" in context.ours ? context.ours.missing : undefined;
  const failed = outcomes.find(({ job, failed }) => job.contender === OURS && failed)?.failed;
  return Object.keys(PEERS).map((name) => {
    const because = absent.get(name) ?? missing ?? failed;
    return {
      goal: `forward / ${name} on WebGPU, L ≥ 1024`,
      target: TARGETS[name][software ? 1 : 0],
      atLeast: true,
      unit: "×",
      values: cases.map((c) => ({ of: c.name, value: gain(outcomes, c, PEERS[name]) })),
      ...(because ? { because } : {}),
    };
  });
}

function job(context: GpuContext, contender: string, c: Case): PeerJob {
  const { software } = context.gpu;
  return {
    contender,
    case: c,
    causal: false,
    modules: context.modules.href,
    samples: context.quick ? 2 : 5,
    budgetMs: context.quick ? 1500 : 8000,
    sampleMs: software ? 100 : 500,
  };
}

function msFor(outcomes: readonly PeerOutcome[], c: Case, contender: string): number {
  const found = outcomes.find(({ job }) => job.contender === contender && job.case.name === c.name);
  return found?.timing?.medianMs ?? NaN;
}

function gain(outcomes: readonly PeerOutcome[], c: Case, peers: readonly string[]): number {
  return fastestOf(peers.map((peer) => msFor(outcomes, c, peer))) / msFor(outcomes, c, OURS);
}

function print(context: GpuContext, outcomes: readonly PeerOutcome[]): void {
  const rows = outcomes.map(({ job, timing, calls, error, failed }) => {
    const { case: c, contender } = job;
    context.results.add("gpu-peers", {
      case: c.name,
      contender,
      gflops: nullForNaN(rate(forwardFlops(c), timing)),
      calls: calls ?? null,
      error: nullForNaN(error),
      failed: failed ?? null,
      ...(timing ? timingFields(timing) : {}),
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

async function torchPart(context: GpuContext): Promise<GpuGoal> {
  const { gpu, quick, shapes } = context;
  const goal = {
    goal: "forward f32 / PyTorch f32 (no TF32), same card",
    target: 1,
    atLeast: true,
    unit: "×",
  };
  const cases = (shapes ?? forwardCases(gpu.software, quick)).filter((c) => c.lengthQ >= 1024);
  const torch = gpu.software ? { missing: "a software adapter" } : await measureTorch(cases);
  if ("missing" in torch) return { ...goal, values: [], because: torch.missing };
  const rows: string[][] = [];
  const values: { of: string; value: number }[] = [];
  for (const time of torch.times) {
    const c = cases.find(({ name }) => name === time.name)!;
    const entrant = flashtile(context, c, gpuOperands(c), time.causal);
    const [outcome] = await raceVerified(context.clock, [entrant], context.race);
    const ratio = time.f32Ms / msOf(outcome);
    const of = c.name + (time.causal ? " causal" : "");
    values.push({ of, value: ratio });
    rows.push([of, ...speeds(c, time, msOf(outcome)), times(ratio)]);
    context.results.add("gpu-torch", {
      case: c.name,
      causal: time.causal,
      torch: torch.version,
      f32Ms: time.f32Ms,
      bf16Ms: nullForNaN(time.bf16Ms),
      flashtileMs: nullForNaN(msOf(outcome)),
      failed: outcome.failed ?? null,
    });
  }
  const head = ["GFLOP/s", "flashtile f32", "torch f32", "torch bf16 flash", "f32 gain"];
  printTable(`PyTorch ${torch.version}, by device clocks`, head, rows);
  const missing = "missing" in context.ours ? { because: context.ours.missing } : {};
  return onHardware(gpu.software, { ...goal, values, ...missing });
}

function speeds(c: Case, time: TorchTime, oursMs: number): string[] {
  const flops = forwardFlops(c, time.causal);
  return [oursMs, time.f32Ms, time.bf16Ms].map((ms) => digits3(flops / ms / 1e6));
}
