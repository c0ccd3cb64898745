/**
 * Fused against unfused: from which length on does fusing pay? The rival is our own unfused
 * attention (bench/asm/unfused.ts), built from the same kind of register tiles.
 * @module
 */

import { caseOf, forwardFlops, operands } from "../cases.ts";
import type { Context } from "../context.ts";
import type { Measured } from "../goals.ts";
import { race } from "../measure/race.ts";
import { rate, timingFields } from "../measure/statistics.ts";
import { digits3, printTable, times } from "../measure/table.ts";
import { wallClock } from "../measure/wall_clock.ts";
import { wholeError } from "../oracle.ts";
import { Subject } from "../subjects/flashtile.ts";
import { prepareUnfused } from "../subjects/unfused_wasm.ts";

const LENGTHS = [16, 32, 64, 128, 256, 512, 1024];
const HEADS = 12;

/** No goal of its own: where unfused wins, the planner should use it. */
export async function unfusedSection(context: Context): Promise<Measured[]> {
  await check();
  const engine = await context.engine();
  const rows: string[][] = [];
  for (const headDim of [32, 64, 128]) {
    for (const length of context.quick ? [16, 128] : LENGTHS) {
      const c = caseOf(`1x${HEADS}x${length}x${headDim}`, `u${length}d${headDim}`);
      const data = operands(c);
      const call = { c, data, causal: false };
      const resident = new Subject(engine, call), host = new Subject(engine, call, {}, "host");
      const unfused = await prepareUnfused(c);
      unfused.load(data);
      // What a call with host tensors would be: operands in, kernel, a fresh array out.
      const wholeCall = () => {
        unfused.load(data);
        unfused.run();
        unfused.output();
      };
      const timings = await race(wallClock, [
        { name: "fused", run: () => resident.forwardSync() },
        { name: "unfused", run: () => unfused.run() },
        { name: "fused, copies", run: () => host.forwardSync() },
        { name: "unfused, copies", run: wholeCall },
      ], context.race);
      resident.dispose();
      const speeds = timings.map((t) => digits3(rate(forwardFlops(c), t)));
      const gain = (at: number) => times(timings[at + 1].medianMs / timings[at].medianMs);
      const title = `D ${headDim}, L ${length}`;
      rows.push([title, ...speeds.slice(0, 2), gain(0), ...speeds.slice(2), gain(2)]);
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

async function check(): Promise<void> {
  const c = caseOf("1x2x72x40"), data = operands(c);
  const unfused = await prepareUnfused(c);
  unfused.load(data);
  unfused.run();
  const error = wholeError({ c, data, causal: false }, { out: unfused.output() });
  if (!(error < 1e-5)) throw new Error(`the unfused baseline is wrong by ${error}`);
}
