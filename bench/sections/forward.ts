/**
 * Forward and causal forward on one thread: the kernel alone on resident tensors, beside a call
 * with host tensors and the copies that come with them.
 * @module
 */

import { type Case, caseNamed, forwardFlops } from "../cases.ts";
import type { GoalRow } from "../goals.ts";
import { HostSubject, ResidentSubject } from "../subjects/flashtile.ts";
import { race } from "../measure/race.ts";
import { digits3, milliseconds, percent, printTable } from "../measure/table.ts";
import { type Context, rate, timingFields } from "./context.ts";

const NAMES = [
  ..."s128 s512 s1024 s1024d32 s1024d128".split(" "),
  ..."s2048 s2048d32 s2048d128 s4096 s16384".split(" "),
];
const CAUSAL_NAMES = ["s128", "s512", "s1024", "s2048", "s2048d128", "s4096", "s16384"];

export function forwardSection(context: Context): Promise<GoalRow[]> {
  return section(context, false, context.quick ? ["s128", "s512"] : NAMES);
}

export function causalSection(context: Context): Promise<GoalRow[]> {
  return section(context, true, context.quick ? ["s512"] : CAUSAL_NAMES);
}

async function section(
  context: Context,
  causal: boolean,
  names: readonly string[],
): Promise<GoalRow[]> {
  const rows: string[][] = [];
  const shares: { c: Case; share: number }[] = [];
  const peak = context.roofline(1).gflops;
  for (const name of names) {
    const c = caseNamed(name);
    const [kernel, call] = await measure(context, c, causal);
    const flops = forwardFlops(c, causal);
    const share = rate(flops, kernel) / peak;
    shares.push({ c, share });
    rows.push([
      name,
      milliseconds(kernel.medianMs),
      digits3(rate(flops, kernel)),
      percent(share),
      digits3(rate(flops, call)),
      percent(kernel.spread),
    ]);
    const base = { case: name, causal, threads: 1 };
    for (const timing of [kernel, call]) {
      const gflops = rate(flops, timing);
      context.results.add("forward", {
        ...base,
        kind: timing.name,
        gflops,
        share: gflops / peak,
        ...timingFields(timing),
      });
    }
  }
  const title = causal
    ? "Causal forward, one thread (half the operations counted)"
    : "Forward, one thread";
  const head = ["case", "kernel", "GFLOP/s", "of peak", "GFLOP/s with copies", "spread"];
  printTable(title, head, rows);
  return causal ? [] : [64, 128].map((headDim) => ({
    goal: `forward kernel / relaxed_madd peak, D ${headDim}, L ≥ 1024`,
    target: headDim === 64 ? 0.88 : 0.91,
    atLeast: true,
    unit: "",
    values: shares.filter(({ c }) => c.headDim === headDim && c.lengthQ >= 1024)
      .map(({ c, share }) => ({ of: c.name, value: share })),
  }));
}

async function measure(context: Context, c: Case, causal: boolean) {
  const engine = await context.engine(1);
  const resident = new ResidentSubject(engine, c, { causal });
  const host = new HostSubject(engine, c, { causal });
  const timings = await race([
    { name: "resident", run: () => resident.forward() },
    { name: "host", run: () => host.forward() },
  ], context.race);
  resident.dispose();
  return timings;
}
