/**
 * Forward and causal forward as shares of the multiply-add peak. On the CPU the kernel alone, on
 * resident tensors, beside a call with host tensors and the copies that come with them; on a GPU the
 * library beside the unfused baseline on the same device, then the same with f16 storage.
 * @module
 */

import { type Call, type Case, forwardFlops, operands } from "../cases.ts";
import { type Context, gpuOf, kindOf } from "../context.ts";
import type { Measured } from "../goals.ts";
import type { Outcome } from "../measure/race.ts";
import { few, msOf, outcomeFields, rate } from "../measure/statistics.ts";
import { digits3, milliseconds, printTable, times } from "../measure/table.ts";
import { forwardEntrant, type Place } from "../subjects/flashtile.ts";
import { unfusedForward } from "../subjects/unfused_webgpu.ts";
import { caseTitle, outcomeCells, printFailures, raceSection } from "./outcomes.ts";

interface Raced {
  readonly c: Case;
  readonly causal: boolean;
  readonly ours: Outcome;
  readonly beside?: Outcome;
}

export async function forwardSection(context: Context): Promise<Measured[]> {
  if (context.backend === "wasm") {
    const results = await raceCases(context, "forward", [false]);
    await print(context, "Forward, one thread", results);
    return wasmGoals(context, results);
  }
  const results = await raceCases(context, "forward", [false, true]);
  await print(context, "Forward, f32, resident", results);
  if (!context.quick) {
    const half = await raceCases(context, "half", [false, true], "f16");
    await print(context, "Forward, f16 storage (arithmetic in f32)", half);
  }
  return webgpuGoals(context, results);
}

/** On the CPU a section of its own. */
export async function causalSection(context: Context): Promise<Measured[]> {
  const results = await raceCases(context, "causal", [true]);
  await print(context, "Causal forward, one thread (half the operations counted)", results);
  return [];
}

async function raceCases(
  context: Context,
  section: string,
  masks: readonly boolean[],
  dtype: Place = "f32",
): Promise<Raced[]> {
  await context.limits(); // before any engine is busy
  const results: Raced[] = [];
  for (const c of context.cases(section)) {
    const data = operands(c);
    for (const causal of masks) {
      results.push(await raceForward(context, { c, data, causal }, dtype));
    }
  }
  return results;
}

async function raceForward(context: Context, call: Call, dtype: Place): Promise<Raced> {
  const { c, causal } = call, wasm = context.backend === "wasm";
  const beside = () =>
    wasm
      ? forwardEntrant(context, call, { place: "host" })
      : unfusedForward(gpuOf(context).clock.device, call);
  const entrants = [forwardEntrant(context, call, { place: dtype })];
  if (dtype === "f32") entrants.push(beside());
  const outcomes = await raceSection(context, entrants);
  const { gflops: peak } = await context.limits();
  for (const outcome of outcomes) {
    const gflops = rate(forwardFlops(c, causal), outcome.timing);
    context.results.add(kindOf(context, "forward"), {
      case: c.name,
      causal,
      ...(wasm ? { threads: 1, kind: outcome.name } : { dtype, contender: outcome.name }),
      ...outcomeFields(outcome, { gflops, share: gflops / peak }),
    });
  }
  return { c, causal, ours: outcomes[0], beside: outcomes[1] };
}

async function print(context: Context, title: string, results: readonly Raced[]): Promise<void> {
  const { gflops: peak } = await context.limits();
  const rows = results.map(({ c, causal, ours, beside }) => {
    const flops = forwardFlops(c, causal);
    const row = [caseTitle(c, causal), ...outcomeCells(ours, flops, peak)];
    if (!beside) return row;
    const ms = milliseconds(msOf(beside)) + few(beside.timing);
    const gflops = digits3(rate(flops, beside.timing));
    return [...row, ms, gflops, times(msOf(beside) / msOf(ours))];
  });
  const other = context.backend === "wasm" ? "with copies" : "unfused";
  const head = ["case", "kernel", "GFLOP/s", "of peak", "error", "spread"];
  printTable(title, [...head, other, "GFLOP/s", "/ kernel"], rows);
  printFailures(
    results.flatMap(({ c, causal, ours, beside }) =>
      [ours, ...(beside ? [beside] : [])].map((outcome) => ({ of: caseTitle(c, causal), outcome }))
    ),
  );
}

async function wasmGoals(context: Context, results: readonly Raced[]): Promise<Measured[]> {
  const { gflops: peak } = await context.limits();
  return [64, 128].map((headDim) => ({
    id: `wasm forward ${headDim}`,
    values: results.filter(({ c }) => c.headDim === headDim && c.lengthQ >= 1024)
      .map(({ c, ours }) => ({ of: c.name, value: rate(forwardFlops(c), ours.timing) / peak })),
  }));
}

async function webgpuGoals(context: Context, results: readonly Raced[]): Promise<Measured[]> {
  const { gflops: peak } = await context.limits();
  const because = results.find(({ ours }) => ours.failed)?.ours.failed;
  const gains = (wanted: boolean) =>
    results.filter(({ c, causal }) => causal === wanted && c.lengthK >= 1024)
      .map(({ c, ours, beside }) => ({ of: c.name, value: msOf(beside) / msOf(ours) }));
  const { software } = gpuOf(context).gpu;
  const shares = results.filter(({ c, causal }) => !causal && (software || c.lengthK >= 4096))
    .map(({ c, ours }) => ({ of: c.name, value: rate(forwardFlops(c), ours.timing) / peak }));
  return [
    { id: "webgpu forward peak", values: shares, because },
    { id: "webgpu forward unfused", values: gains(false), because },
    { id: "webgpu causal unfused", values: gains(true), because },
  ];
}
