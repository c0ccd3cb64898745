/**
 * Forward, full and causal: the library beside the unfused baseline on the same device, in turns,
 * and as a share of the multiply-add peak. Then the same with f16 storage.
 * @module
 */

import { type Case, forwardFlops } from "../../cases.ts";
import { nullForNaN } from "../../goals.ts";
import { digits3, milliseconds, percent, printTable, times } from "../../measure/table.ts";
import { forwardCases, gpuOperands, halfCases } from "../cases.ts";
import { few, type GpuContext, rate, timingFields } from "../context.ts";
import { flashtile, type Storage, unfused } from "../entrants.ts";
import { type GpuGoal, onHardware } from "../goals.ts";
import { msOf, type Outcome, raceVerified } from "../../measure/verified_race.ts";

interface Result {
  readonly c: Case;
  readonly causal: boolean;
  readonly ours: Outcome;
  readonly unfused?: Outcome;
}

export async function forwardSection(context: GpuContext): Promise<GpuGoal[]> {
  const { gpu, quick, shapes } = context;
  const results: Result[] = [];
  for (const c of shapes ?? forwardCases(gpu.software, quick)) {
    results.push(...await bothMasks(context, c, "f32"));
  }
  await print(context, "Forward, f32, resident", results);
  const half: Result[] = [];
  for (const c of quick ? [] : shapes ?? halfCases(gpu.software)) {
    half.push(...await bothMasks(context, c, "f16"));
  }
  if (half.length) await print(context, "Forward, f16 storage (arithmetic in f32)", half);
  return await goals(context, results);
}

async function bothMasks(context: GpuContext, c: Case, dtype: Storage): Promise<Result[]> {
  const data = gpuOperands(c);
  const results: Result[] = [];
  for (const causal of [false, true]) {
    const rivals = dtype === "f32" ? [unfused(context, c, data, causal)] : [];
    const entrants = [flashtile(context, c, data, causal, dtype), ...rivals];
    const [ours, rival] = await raceVerified(context.clock, entrants, context.race);
    results.push({ c, causal, ours, unfused: rival });
    await keep(context, results[results.length - 1], dtype);
  }
  return results;
}

async function keep(context: GpuContext, result: Result, dtype: Storage): Promise<void> {
  const { peak } = await context.facts();
  const { c, causal } = result;
  for (
    const [contender, outcome] of Object.entries({
      flashtile: result.ours,
      unfused: result.unfused,
    })
  ) {
    if (!outcome) continue;
    const gflops = rate(forwardFlops(c, causal), outcome.timing);
    context.results.add("gpu-forward", {
      case: c.name,
      causal,
      dtype,
      contender,
      gflops: nullForNaN(gflops),
      share: nullForNaN(gflops / peak.gflops),
      error: nullForNaN(outcome.error),
      failed: outcome.failed ?? null,
      ...(outcome.timing ? timingFields(outcome.timing) : {}),
    });
  }
}

async function print(
  context: GpuContext,
  title: string,
  results: readonly Result[],
): Promise<void> {
  const { peak } = await context.facts();
  const rows = results.map(({ c, causal, ours, unfused }) => {
    const gflops = rate(forwardFlops(c, causal), ours.timing);
    return [
      `${c.name}${causal ? " causal" : ""}`,
      milliseconds(msOf(ours)) + few(ours.timing),
      digits3(gflops),
      percent(gflops / peak.gflops),
      ours.failed ? "–" : ours.error.toExponential(0),
      percent(ours.timing?.spread ?? NaN),
      unfused ? milliseconds(msOf(unfused)) + few(unfused.timing) : "",
      unfused ? times(msOf(unfused) / msOf(ours)) : "",
    ];
  });
  const head = ["case", "flashtile", "GFLOP/s", "of peak", "error", "spread", "unfused", "gain"];
  printTable(title, head, rows);
  const failures = results.flatMap(({ c, ours, unfused }) => [
    ...(ours.failed ? [`flashtile on ${c.name}: ${ours.failed}`] : []),
    ...(unfused?.failed ? [`unfused on ${c.name}: ${unfused.failed}`] : []),
  ]);
  for (const failure of new Set(failures)) console.log(failure);
}

async function goals(context: GpuContext, results: readonly Result[]): Promise<GpuGoal[]> {
  const { peak } = await context.facts();
  const { software } = context.gpu;
  const why = results.find(({ ours }) => ours.failed)?.ours.failed;
  const missing = why ? { because: why } : {};
  const gains = (wanted: boolean) =>
    results.filter(({ c, causal }) => causal === wanted && c.lengthK >= 1024)
      .map(({ c, ours, unfused }) => ({ of: c.name, value: msOf(unfused) / msOf(ours) }));
  const long = results.filter(({ c, causal }) => !causal && (software || c.lengthK >= 4096));
  return [
    onHardware(software, {
      goal: "forward f32 / multiply-add peak, L ≥ 4096",
      target: 0.6,
      atLeast: true,
      unit: "",
      values: long.map(({ c, ours }) => ({
        of: c.name,
        value: rate(forwardFlops(c), ours.timing) / peak.gflops,
      })),
      ...missing,
    }),
    onHardware(software, {
      goal: "forward / unfused WGSL, L ≥ 1024",
      target: 4,
      atLeast: true,
      unit: "×",
      values: gains(false),
      ...missing,
    }),
    onHardware(software, {
      goal: "causal forward / unfused WGSL, L ≥ 1024",
      target: 7,
      atLeast: true,
      unit: "×",
      values: gains(true),
      ...missing,
    }),
  ];
}
