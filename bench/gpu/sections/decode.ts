/**
 * Decode steps: one query against many keys reads every key and value once and does little else, so
 * bytes a second beside the device's own copy is the figure that counts.
 * @module
 */

import { type Case, kvBytes } from "../../cases.ts";
import { nullForNaN } from "../../goals.ts";
import { digits3, milliseconds, percent, printTable } from "../../measure/table.ts";
import { decodeCases, gpuOperands } from "../cases.ts";
import { few, type GpuContext, rate, timingFields } from "../context.ts";
import { flashtile } from "../entrants.ts";
import { type GpuGoal, onHardware } from "../goals.ts";
import { msOf, type Outcome, raceVerified } from "../../measure/verified_race.ts";

/** From here on the goal holds: less may stay in a cache from one launch to the next. */
const LEAST_BYTES = 64e6;

export async function decodeSection(context: GpuContext): Promise<GpuGoal[]> {
  const { gpu, quick, ours } = context;
  const goal = {
    goal: "decode, share of the copy bandwidth, K and V ≥ 64 MB",
    target: 0.85,
    atLeast: true,
    unit: "",
  };
  if ("missing" in ours) {
    return [onHardware(gpu.software, { ...goal, values: [], because: ours.missing })];
  }
  const { copyGBs, readGBs } = await context.facts();
  const results: { c: Case; outcome: Outcome }[] = [];
  for (const c of decodeCases(gpu.software, quick)) {
    const entrant = flashtile(context, c, gpuOperands(c), false);
    const [outcome] = await raceVerified(context.clock, [entrant], context.race);
    results.push({ c, outcome });
    const gbs = rate(kvBytes(c), outcome.timing);
    context.results.add("gpu-decode", {
      case: c.name,
      gbs: nullForNaN(gbs),
      share: nullForNaN(gbs / copyGBs),
      error: nullForNaN(outcome.error),
      failed: outcome.failed ?? null,
      ...(outcome.timing ? timingFields(outcome.timing) : {}),
    });
  }
  const rows = results.map(({ c, outcome }) => {
    const gbs = rate(kvBytes(c), outcome.timing);
    return [
      c.name,
      digits3(kvBytes(c) / 1e6),
      milliseconds(msOf(outcome)) + few(outcome.timing),
      digits3(gbs),
      percent(gbs / copyGBs),
      percent(gbs / readGBs),
      outcome.failed ?? outcome.error.toExponential(0),
      percent(outcome.timing?.spread ?? NaN),
    ];
  });
  const head = ["case", "K/V MB", "step", "GB/s", "of copy", "of read", "error", "spread"];
  printTable("Decode, f32, resident: batch × heads/kv heads × 1 × keys × D", head, rows);
  return [onHardware(gpu.software, {
    ...goal,
    values: results.filter(({ c }) => kvBytes(c) >= LEAST_BYTES).map(({ c, outcome }) => ({
      of: c.name,
      value: rate(kvBytes(c), outcome.timing) / copyGBs,
    })),
  })];
}
