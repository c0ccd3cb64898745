/**
 * Gradients beside the forward of the same shape: their ratio is what a training step depends on.
 * @module
 */

import { backwardFlops, type Case } from "../../cases.ts";
import { nullForNaN } from "../../goals.ts";
import { digits3, milliseconds, percent, printTable, times } from "../../measure/table.ts";
import { backwardCases, gpuOperands } from "../cases.ts";
import { few, type GpuContext, rate, timingFields } from "../context.ts";
import { type GpuGoal, onHardware } from "../goals.ts";
import { GpuSubject } from "../../subjects/flashtile_webgpu.ts";
import { msOf, type Outcome, raceVerified } from "../../measure/verified_race.ts";
import { gradientError, outputError } from "../../oracle.ts";

/** Of the largest gradient: its terms are sums over the whole length. */
const TOLERANCE = { forward: 1e-5, backward: 5e-5 };

interface Result {
  readonly name: string;
  readonly flops: number;
  readonly forward: Outcome;
  readonly backward: Outcome;
}

export async function backwardSection(context: GpuContext): Promise<GpuGoal[]> {
  const { gpu, quick, shapes } = context;
  const goal = {
    goal: "backward over forward, same shape",
    target: 3.8,
    atLeast: false,
    unit: "×",
  };
  if ("missing" in context.ours) {
    return [onHardware(gpu.software, { ...goal, values: [], because: context.ours.missing })];
  }
  const results: Result[] = [];
  for (const c of shapes ?? backwardCases(gpu.software, quick)) {
    for (const causal of [false, true]) {
      results.push(await measure(context, new Subjects(context, c, causal)));
    }
  }
  await print(context, results);
  const why = results.find(({ backward }) => backward.failed)?.backward.failed;
  return [onHardware(gpu.software, {
    ...goal,
    values: results.map(({ name, forward, backward }) => ({
      of: name,
      value: msOf(backward) / msOf(forward),
    })),
    ...(why ? { because: why } : {}),
  })];
}

/** One case with its subject, whose backward belongs to its last forward. */
class Subjects {
  readonly c: Case;
  readonly causal: boolean;
  readonly data: ReturnType<typeof gpuOperands>;
  readonly subject: GpuSubject;

  constructor({ ours }: GpuContext, c: Case, causal: boolean) {
    if ("missing" in ours) throw new Error(ours.missing);
    this.c = c;
    this.causal = causal;
    this.data = gpuOperands(c);
    this.subject = new GpuSubject(ours.engine, c, this.data, { causal });
  }

  async forwardError(): Promise<number> {
    return outputError(this.c, this.data, this.causal, (await this.subject.saved()).out);
  }

  async backwardError(): Promise<number> {
    const saved = await this.subject.saved();
    const found = await this.subject.gradients();
    return gradientError(this.c, this.data, this.causal, saved, found);
  }
}

async function measure(context: GpuContext, subjects: Subjects): Promise<Result> {
  const { c, causal, subject } = subjects;
  const name = `${c.name}${causal ? " causal" : ""}`;
  const [forward, backward] = await raceVerified(context.clock, [
    {
      tolerance: TOLERANCE.forward,
      create: () => ({ work: subject.forward(), error: () => subjects.forwardError() }),
    },
    {
      tolerance: TOLERANCE.backward,
      create: () => ({ work: subject.backward(), error: () => subjects.backwardError() }),
    },
  ], context.race);
  subject.dispose();
  const flops = backwardFlops(c, causal);
  context.results.add("gpu-backward", {
    case: c.name,
    causal,
    forwardMs: nullForNaN(msOf(forward)),
    gflops: nullForNaN(rate(flops, backward.timing)),
    error: nullForNaN(backward.error),
    failed: backward.failed ?? null,
    ...(backward.timing ? timingFields(backward.timing) : {}),
  });
  return { name, flops, forward, backward };
}

async function print(context: GpuContext, results: readonly Result[]): Promise<void> {
  const { peak } = await context.facts();
  const rows = results.map(({ name, flops, forward, backward }) => {
    const gflops = rate(flops, backward.timing);
    return [
      name,
      milliseconds(msOf(forward)) + few(forward.timing),
      milliseconds(msOf(backward)) + few(backward.timing),
      times(msOf(backward) / msOf(forward)),
      digits3(gflops),
      percent(gflops / peak.gflops),
      backward.failed ? "–" : backward.error.toExponential(0),
      percent(backward.timing?.spread ?? NaN),
    ];
  });
  const head = ["case", "forward", "backward", "ratio", "GFLOP/s", "of peak", "error", "spread"];
  printTable("Backward, f32, resident (five products counted)", head, rows);
  for (const { name, forward, backward } of results) {
    const failed = forward.failed ?? backward.failed;
    if (failed) console.log(`${name}: ${failed}`);
  }
}
