/**
 * The backward pass against the forward of the same shape, in turns, and against the peak.
 * @module
 */

import { backwardFlops, caseNamed, forwardFlops } from "../cases.ts";
import type { GoalRow } from "../goals.ts";
import { ResidentSubject } from "../subjects/flashtile.ts";
import { race } from "../measure/race.ts";
import { digits3, milliseconds, percent, printTable } from "../measure/table.ts";
import { type Context, rate, timingFields } from "./context.ts";

const NAMES = ["s128", "s512", "s1024", "s2048", "s2048d32", "s2048d128", "s4096"];

export async function backwardSection(context: Context): Promise<GoalRow[]> {
  const rows: string[][] = [];
  const ratios: { of: string; value: number }[] = [];
  const shares: { of: string; value: number }[] = [];
  const peak = context.roofline(1).gflops;
  for (const causal of [false, true]) {
    for (const name of context.quick ? ["s512"] : NAMES) {
      const c = caseNamed(name);
      const subject = new ResidentSubject(await context.engine(1), c, { causal });
      await subject.forward();
      const [forward, backward] = await race([
        { name: "forward", run: () => subject.forward() },
        { name: "backward", run: () => subject.backward() },
      ], context.race);
      subject.dispose();
      const gflops = rate(backwardFlops(c, causal), backward);
      const ratio = backward.medianMs / forward.medianMs;
      const of = causal ? `${name} causal` : name;
      if (c.headDim === 64 && c.lengthQ >= 1024) {
        ratios.push({ of, value: ratio });
        if (!causal) shares.push({ of, value: gflops / peak });
      }
      rows.push([
        of,
        milliseconds(backward.medianMs),
        digits3(gflops),
        percent(gflops / peak),
        digits3(rate(forwardFlops(c, causal), forward)),
        `${ratio.toFixed(2)}×`,
      ]);
      context.results.add("backward", {
        case: name,
        causal,
        threads: 1,
        gflops,
        share: gflops / peak,
        overForward: ratio,
        ...timingFields(backward),
      });
    }
  }
  const head = ["case", "backward", "GFLOP/s", "of peak", "forward GFLOP/s", "backward / forward"];
  printTable("Backward (dq, dk, dv), one thread, kernel alone", head, rows);
  return [
    {
      goal: "backward / forward time, D 64, L ≥ 1024, 1 thread",
      target: 2.5,
      atLeast: false,
      unit: "×",
      values: ratios,
    },
    {
      goal: "backward kernel / relaxed_madd peak, D 64",
      target: 0.87,
      atLeast: true,
      unit: "",
      values: shares,
    },
  ];
}
