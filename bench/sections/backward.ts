/**
 * Gradients beside the forward of the same shape, in turns (their ratio is what a training step
 * depends on), and as a share of the peak.
 * @module
 */

import { backwardFlops, type Case, operands } from "../cases.ts";
import { type Context, kindOf } from "../context.ts";
import type { Measured } from "../goals.ts";
import type { Outcome } from "../measure/race.ts";
import { few, msOf, outcomeFields, rate } from "../measure/statistics.ts";
import { milliseconds, printTable, times } from "../measure/table.ts";
import { bothPasses } from "../subjects/flashtile.ts";
import { caseTitle, outcomeCells, printFailures, raceSection } from "./outcomes.ts";

interface Raced {
  readonly c: Case;
  readonly causal: boolean;
  readonly forward: Outcome;
  readonly backward: Outcome;
}

export async function backwardSection(context: Context): Promise<Measured[]> {
  const wasm = context.backend === "wasm";
  const { gflops: peak } = await context.limits();
  const results: Raced[] = [];
  for (const c of context.cases("backward")) {
    const data = operands(c);
    for (const causal of [false, true]) {
      const entrants = bothPasses(context, { c, data, causal });
      const [forward, backward] = await raceSection(context, entrants);
      results.push({ c, causal, forward, backward });
      const gflops = rate(backwardFlops(c, causal), backward.timing), forwardMs = msOf(forward);
      const figures = { gflops, share: gflops / peak, overForward: msOf(backward) / forwardMs };
      context.results.add(kindOf(context, "backward"), {
        case: c.name,
        causal,
        ...(wasm ? { threads: 1 } : {}),
        ...outcomeFields(backward, { forwardMs, ...figures }),
      });
    }
  }
  const rows = results.map(({ c, causal, forward, backward }) => [
    caseTitle(c, causal),
    milliseconds(msOf(forward)) + few(forward.timing),
    times(msOf(backward) / msOf(forward)),
    ...outcomeCells(backward, backwardFlops(c, causal), peak),
  ]);
  const head = ["case", "forward", "ratio", "backward", "GFLOP/s", "of peak", "error", "spread"];
  const how = wasm ? "one thread, kernel alone" : "f32, resident";
  printTable(`Backward (dq, dk, dv; five products counted), ${how}`, head, rows);
  printFailures(
    results.flatMap(({ c, causal, forward, backward }) =>
      [forward, backward].map((outcome) => ({ of: caseTitle(c, causal), outcome }))
    ),
  );
  return goals(wasm, results, peak);
}

function goals(wasm: boolean, results: readonly Raced[], peak: number): Measured[] {
  const because = results.find(({ backward }) => backward.failed)?.backward.failed;
  const chosen = wasm ? results.filter(({ c }) => c.headDim === 64 && c.lengthQ >= 1024) : results;
  const ratios = chosen.map(({ c, causal, forward, backward }) => ({
    of: caseTitle(c, causal),
    value: msOf(backward) / msOf(forward),
  }));
  if (!wasm) return [{ id: "webgpu backward ratio", values: ratios, because }];
  const shares = chosen.filter(({ causal }) => !causal)
    .map(({ c, backward }) => ({
      of: c.name,
      value: rate(backwardFlops(c), backward.timing) / peak,
    }));
  return [
    { id: "wasm backward ratio", values: ratios, because },
    { id: "wasm backward peak", values: shares, because },
  ];
}
