/**
 * Gradients beside the forward of the same shape, in turns (their ratio is what a training step
 * depends on), and as a share of the peak.
 * @module
 */

import { backwardFlops } from "../cases.ts";
import { type Context, kindOf } from "../context.ts";
import type { Measured } from "../goals.ts";
import { msOf, outcomeFields, rate } from "../measure/statistics.ts";
import { times } from "../measure/table.ts";
import { bothPasses } from "../subjects/flashtile.ts";
import { measured, outcomeCells, printRaced, raceCases, type Raced, timeCell } from "./raced.ts";

const BACKWARD = 1;

export async function backwardSection(context: Context): Promise<Measured[]> {
  const { gpu } = context, { gflops: peak } = await context.limits();
  const cases = context.cases("backward"), both = { masks: [false, true] };
  const speed = ({ c, causal, outcomes }: Raced) =>
    rate(backwardFlops(c, causal), outcomes[BACKWARD]!.timing);
  const ratio = ({ outcomes: [forward, backward] }: Raced) => msOf(backward) / msOf(forward);
  const keep = (r: Raced) => {
    const [forward, backward] = r.outcomes, gflops = speed(r), forwardMs = msOf(forward);
    context.results.add(kindOf(context, "backward"), {
      ...{ case: r.c.name, causal: r.causal, ...(gpu ? {} : { threads: 1 }) },
      ...outcomeFields(backward!, {
        forwardMs,
        gflops,
        share: gflops / peak,
        overForward: ratio(r),
      }),
    });
  };
  const raced = await raceCases(context, cases, both, (call) => bothPasses(context, call), keep);
  const how = gpu ? "f32, resident" : "one thread, kernel alone";
  const head = ["forward", "ratio", "backward", "GFLOP/s", "of peak", "error", "spread"];
  printRaced(`Backward (dq, dk, dv; five products counted), ${how}`, head, raced, (r) => {
    const [forward, backward] = r.outcomes, flops = backwardFlops(r.c, r.causal);
    return [timeCell(forward), times(ratio(r)), ...outcomeCells(backward!, flops, peak)];
  });
  if (gpu) return [measured("webgpu backward ratio", raced, ratio, BACKWARD)];
  const long = raced.filter(({ c }) => c.headDim === 64 && c.lengthQ >= 1024);
  const whole = long.filter(({ causal }) => !causal);
  return [
    measured("wasm backward ratio", long, ratio, BACKWARD),
    measured("wasm backward peak", whole, (r) => speed(r) / peak, BACKWARD),
  ];
}
