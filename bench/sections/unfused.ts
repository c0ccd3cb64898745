/**
 * Fused against unfused: from which length on does fusing pay? The rival is our own unfused
 * attention (bench/asm/unfused.ts), built from the same kind of register tiles.
 * @module
 */

import { type Case, forwardFlops, operands, square } from "../cases.ts";
import type { GoalRow } from "../goals.ts";
import { HostSubject, ResidentSubject } from "../subjects/flashtile.ts";
import { race } from "../measure/race.ts";
import { reference, worstError } from "../reference.ts";
import { digits3, printTable, times } from "../measure/table.ts";
import { Unfused } from "../subjects/unfused_wasm.ts";
import { type Context, rate, timingFields } from "./context.ts";

const LENGTHS = [16, 32, 64, 128, 256, 512, 1024];
const HEADS = 12;

/** No goal of its own: where unfused wins, the planner should use it. */
export async function unfusedSection(context: Context): Promise<GoalRow[]> {
  await check();
  const rows: string[][] = [];
  for (const headDim of [32, 64, 128]) {
    for (const length of context.quick ? [16, 128] : LENGTHS) {
      const c = square(`u${length}d${headDim}`, HEADS, length, headDim);
      const timings = await measure(context, c);
      const [fused, unfused, fusedCall, unfusedCall] = timings;
      rows.push([
        `D ${headDim}, L ${length}`,
        ...timings.slice(0, 2).map((t) => digits3(rate(forwardFlops(c), t))),
        times(unfused.medianMs / fused.medianMs),
        ...timings.slice(2).map((t) => digits3(rate(forwardFlops(c), t))),
        times(unfusedCall.medianMs / fusedCall.medianMs),
      ]);
      for (const timing of timings) {
        const row = { case: c.name, heads: HEADS, kind: timing.name };
        context.results.add("unfused", { ...row, ...timingFields(timing) });
      }
    }
  }
  const head = ["12 heads", "fused", "unfused", "gain", "fused, copies", "unfused, copies", "gain"];
  printTable("Fused against unfused, GFLOP/s, one thread", head, rows);
  return [];
}

async function measure(context: Context, c: Case) {
  const engine = await context.engine(1);
  const data = operands(c);
  const resident = new ResidentSubject(engine, c, {}, data);
  const host = new HostSubject(engine, c, {}, data);
  const unfused = await Unfused.create(c);
  unfused.load(data);
  const timings = await race([
    { name: "fused", run: () => resident.forwardSync() },
    { name: "unfused", run: () => unfused.run() },
    { name: "fused, copies", run: () => host.forwardSync() },
    { name: "unfused, copies", run: () => wholeCall(unfused, data) },
  ], context.race);
  resident.dispose();
  return timings;
}

/** What a call with host tensors would be: operands in, kernel, a fresh array out. */
function wholeCall(unfused: Unfused, data: ReturnType<typeof operands>): void {
  unfused.load(data);
  unfused.run();
  unfused.output();
}

async function check(): Promise<void> {
  const c = square("check", 2, 72, 40);
  const data = operands(c);
  const unfused = await Unfused.create(c);
  unfused.load(data);
  unfused.run();
  const error = worstError(unfused.output(), reference(c, data, false));
  if (!(error < 1e-5)) throw new Error(`the unfused baseline is wrong by ${error}`);
}
