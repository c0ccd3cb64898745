/**
 * Forward and causal forward as shares of the multiply-add peak. On the CPU the kernel alone, on
 * resident tensors, beside a call with host tensors and the copies that come with them; on a GPU the
 * library beside the unfused baseline on the same device, then the same with f16 storage.
 * @module
 */

import { type Call, forwardFlops } from "../cases.ts";
import { type Context, kindOf } from "../context.ts";
import type { Measured } from "../goals.ts";
import { msOf, outcomeFields, rate } from "../measure/statistics.ts";
import { digits3, times } from "../measure/table.ts";
import { forwardEntrant, type Place } from "../subjects/flashtile.ts";
import { unfusedForward } from "../subjects/unfused_webgpu.ts";
import { measured, outcomeCells, printRaced, raceCases, type Raced, timeCell } from "./raced.ts";

export async function forwardSection(context: Context): Promise<Measured[]> {
  const { gflops: peak } = await context.limits();
  const share = ({ c, causal, outcomes }: Raced) =>
    rate(forwardFlops(c, causal), outcomes[0].timing) / peak;
  if (!context.gpu) {
    const raced = await raceForward(context, "Forward, one thread", "forward", [false]);
    const long = raced.filter(({ c }) => c.lengthQ >= 1024);
    return [64, 128].map((dim) =>
      measured(`wasm forward ${dim}`, long.filter(({ c }) => c.headDim === dim), share)
    );
  }
  const raced = await raceForward(context, "Forward, f32, resident", "forward", [false, true]);
  if (!context.quick) {
    const title = "Forward, f16 storage (arithmetic in f32)";
    await raceForward(context, title, "half", [false, true], "f16");
  }
  const { software } = context.gpu, long = raced.filter(({ c }) => c.lengthK >= 1024);
  const whole = long.filter((r) => !r.causal), causal = long.filter((r) => r.causal);
  const longest = whole.filter(({ c }) => software || c.lengthK >= 4096);
  return [
    measured("webgpu forward peak", longest, share),
    measured("webgpu forward unfused", whole, gain),
    measured("webgpu causal unfused", causal, gain),
  ];
}

/** On the CPU a section of its own. */
export async function causalSection(context: Context): Promise<Measured[]> {
  const title = "Causal forward, one thread (half the operations counted)";
  await raceForward(context, title, "causal", [true]);
  return [];
}

/** How much faster the library is than what runs beside it. */
function gain({ outcomes: [ours, beside] }: Raced): number {
  return msOf(beside) / msOf(ours);
}

/** Races, keeps and prints the cases of a section. */
async function raceForward(
  context: Context,
  title: string,
  section: string,
  masks: readonly boolean[],
  dtype: Place = "f32",
): Promise<Raced[]> {
  const { gpu } = context, { gflops: peak } = await context.limits();
  const entrants = (call: Call) =>
    [
      forwardEntrant(context, call, { place: dtype }),
      gpu ? unfusedForward(gpu.device, call) : forwardEntrant(context, call, { place: "host" }),
    ].slice(0, dtype === "f32" ? 2 : 1);
  const keep = ({ c, causal, outcomes }: Raced) => {
    for (const outcome of outcomes) {
      const gflops = rate(forwardFlops(c, causal), outcome.timing), { name } = outcome;
      context.results.add(kindOf(context, "forward"), {
        ...{ case: c.name, causal },
        ...(gpu ? { dtype, contender: name } : { threads: 1, kind: name }),
        ...outcomeFields(outcome, { gflops, share: gflops / peak }),
      });
    }
  };
  const raced = await raceCases(context, context.cases(section), { masks }, entrants, keep);
  const head = ["kernel", "GFLOP/s", "of peak", "error", "spread"];
  const more = dtype === "f32" ? [gpu ? "unfused" : "with copies", "GFLOP/s", "/ kernel"] : [];
  printRaced(title, [...head, ...more], raced, (r) => {
    const flops = forwardFlops(r.c, r.causal), [ours, beside] = r.outcomes;
    const cells = outcomeCells(ours, flops, peak);
    if (!beside) return cells;
    return [...cells, timeCell(beside), digits3(rate(flops, beside.timing)), times(gain(r))];
  });
  return raced;
}
