/**
 * One case on the device: operands, results, exact rows of them, and launches of any plan.
 * @module
 */

import { type GpuPlan, planWebGpu } from "../../src/plan/webgpu/plan.ts";
import type { ChosenTile } from "../../src/plan/webgpu/tiles.ts";
import {
  type AttentionProblem,
  describeBackward,
  describeForward,
  type Views,
} from "../../src/problem/problem.ts";
import { type ResultSpec, resultSpecs } from "../../src/problem/results.ts";
import { GpuCall } from "../../src/webgpu/dispatch/call.ts";
import type { Step } from "../../src/webgpu/dispatch/dispatch.ts";
import { Recording } from "../../src/webgpu/dispatch/submit.ts";
import { GpuTensor } from "../../src/webgpu/device/tensors.ts";
import { type Call, roundedToHalf, shapes } from "../../bench/cases.ts";
import { race, type RaceOptions, type Work } from "../../bench/measure/race.ts";
import { reasonOf, type Timing } from "../../bench/measure/statistics.ts";
import {
  exactGradients,
  exactOutput,
  type ExactRow,
  larger,
  largestOf,
  rowsError,
} from "../../bench/oracle.ts";
import { floats } from "../../bench/subjects/flashtile.ts";
import type { SweepDevice } from "./device.ts";
import type { AnyKernel, SweptKernel } from "./options.ts";
import { mapTuple } from "../../tests/tuples.ts";

/** Of the largest exact value for gradients, absolute otherwise. */
const TOLERANCE = { f32: 1e-5, f16: 4e-3, gradient: 5e-5 };
/** Watchdogs end a launch that takes seconds. */
const LONGEST_MS = 1000;

/** What a look at a plan told: a timing, or why there is none. */
export interface Trial {
  readonly timing?: Timing | undefined;
  readonly error: number;
  /** Until the first launch was done, less another one. */
  readonly compileMs: number;
  readonly failed?: string;
}

/** A plan ready to be timed. */
interface Launch extends Trial {
  readonly work: Work;
  dispose(): void;
}

type Described = { readonly problem: AttentionProblem; readonly views: Views };
type Exact = Readonly<Record<string, readonly ExactRow[]>>;

export class SweepCase {
  readonly title: string;
  /** What the table chooses. */
  readonly plan: GpuPlan;
  readonly problem: AttentionProblem;
  readonly #device: SweepDevice;
  readonly #views: Views;
  readonly #inputs: readonly GpuTensor[];
  readonly #results: readonly { readonly spec: ResultSpec; readonly tensor: GpuTensor }[];
  readonly #exact: Exact;
  readonly #tolerance: number;

  private constructor(
    device: SweepDevice,
    { c, causal }: Call,
    { problem, views }: Described,
    inputs: readonly GpuTensor[],
    exact: Exact,
    tolerance: number,
  ) {
    this.title = c.name + (causal ? " causal" : "");
    this.plan = planWebGpu(problem, device.open.target);
    this.problem = problem;
    this.#device = device;
    this.#views = views;
    this.#inputs = inputs;
    this.#results = resultSpecs(problem, views)
      .map((spec) => ({ spec, tensor: new GpuTensor(device.home, spec.shape, spec.dtype) }));
    this.#exact = exact;
    this.#tolerance = tolerance;
  }

  static forward(device: SweepDevice, given: Call, dtype: "f32" | "f16" = "f32"): SweepCase {
    const call = dtype === "f16" ? { ...given, data: roundedToHalf(given.data) } : given;
    const { data, causal } = call, { q, kv } = shapes(call.c);
    const inputs = mapTuple(
      [[data.q, q], [data.k, kv], [data.v, kv]],
      ([values, shape]) => device.tensor(values, shape, dtype),
    );
    const described = describeForward(...inputs, { layout: "bhsd", causal });
    const exact = { out: exactOutput(call) };
    return new SweepCase(device, call, described, inputs, exact, TOLERANCE[dtype]);
  }

  /** Its forward runs first, by the table's tile. */
  static async backward(device: SweepDevice, call: Call): Promise<SweepCase> {
    const forward = SweepCase.forward(device, call), { causal } = call;
    const { error, dispose } = await forward.#launch("forward", forward.plan);
    dispose();
    if (!(error <= TOLERANCE.f32)) throw new Error(`the forward is wrong by ${error}`);
    const [q, k, v] = forward.#inputs as [GpuTensor, GpuTensor, GpuTensor];
    const out = forward.#results[0]!.tensor, lse = forward.#results[1]!.tensor;
    const dOut = device.tensor(call.data.dOut, shapes(call.c).q, "f32");
    const described = describeBackward(dOut, { q, k, v, out, lse }, { layout: "bhsd", causal });
    const rows = { out: await out.read("f32"), lse: await lse.read("f32") };
    const exact = exactGradients(call, rows);
    const inputs = [q, k, v, out, lse, dOut];
    return new SweepCase(device, call, described, inputs, exact, TOLERANCE.gradient);
  }

  /** A plan with a tile as a candidate has it: the work items follow from the tile. */
  planWith(kernel: SweptKernel, chosen: ChosenTile): GpuPlan {
    const target = { ...this.#device.open.target, tiles: { [kernel]: chosen.tile } };
    const plan = planWebGpu(this.problem, target);
    if (plan[kernel]?.tile !== chosen.tile) throw new Error("the planner took another tile");
    return { ...plan, [kernel]: chosen };
  }

  /** Launches a plan, verifies it and times it for a moment; rejects where the device is lost. */
  async look(kernel: AnyKernel, plan: () => GpuPlan, options: RaceOptions): Promise<Trial> {
    let launch: Launch | undefined;
    try {
      launch = await this.#launch(kernel, plan());
      const { error, compileMs, work } = launch;
      if (!(error <= this.#tolerance)) {
        return { error, compileMs, failed: `wrong by ${error.toExponential(1)}` };
      }
      const [timing] = await race(this.#device.clock, [work], options);
      return { timing, error, compileMs };
    } catch (error) {
      if (this.#device.open.lost) throw error;
      return { error: NaN, compileMs: NaN, failed: reasonOf(error) };
    } finally {
      launch?.dispose();
    }
  }

  /** Plans that were good, taking turns: what is compared was timed together. */
  async inTurns(
    kernel: AnyKernel,
    plans: readonly GpuPlan[],
    options: RaceOptions,
  ): Promise<Timing[]> {
    const launches: Launch[] = [];
    try {
      for (const plan of plans) launches.push(await this.#launch(kernel, plan));
      return await race(this.#device.clock, launches.map(({ work }) => work), options);
    } finally {
      for (const launch of launches) launch.dispose();
    }
  }

  /** Compiles a plan, runs all of it once, checks the kernel's results; rejects where that fails. */
  async #launch(kernel: AnyKernel, plan: GpuPlan): Promise<Launch> {
    const device = this.#device, { pipelines, open } = device;
    const made = this.#results.map(({ spec, tensor }) => ({ spec, buffer: tensor.buffer }));
    const call = new GpuCall(device.home, this.problem, plan, this.#views, made);
    const dispose = () => call.dispose();
    try {
      const steps = call.steps(), timed = steps.filter((step) => belongs(step, kernel));
      const record = async (some: readonly Step[]) => {
        await pipelines.prepare(some.map((step) => step.kernel));
        return new Recording(open, pipelines, some, (bytes) => call.scratch(bytes));
      };
      this.#clear(call);
      const start = performance.now();
      const alone = await record(timed);
      await device.run(alone);
      const firstMs = performance.now() - start;
      this.#clear(call);
      // the repair kernels would mend what a wrong tile makes of its rows
      const whole = steps.filter(({ kernel: { key } }) => !key.startsWith("repair"));
      await device.run(await record(whole));
      await open.settled();
      const error = await this.#error(kernel), againMs = await device.run(alone);
      if (!open.target.software && againMs > LONGEST_MS) {
        throw new Error(`a launch takes ${againMs.toFixed(0)} ms: too long for one pass`);
      }
      const work = {
        name: kernel,
        record: (pass: unknown) => alone.recordInto(pass as never, "Cannot run the sweep"),
      };
      return { work, compileMs: Math.max(0, firstMs - againMs), error, dispose };
    } catch (error) {
      dispose();
      throw error;
    }
  }

  /** Nothing may be left of the launch before. */
  #clear(call: GpuCall): void {
    const encoder = this.#device.open.device.createCommandEncoder();
    for (const { tensor } of this.#results) encoder.clearBuffer(tensor.buffer);
    call.clear(() => encoder);
    this.#device.open.device.queue.submit([encoder.finish()]);
  }

  async #error(kernel: AnyKernel): Promise<number> {
    const names = { forward: ["out"], decode: ["out"], dq: ["dq"], dkv: ["dk", "dv"] }[kernel];
    const checked = this.#results.filter(({ spec }) => names.includes(spec.name));
    const errors = checked.map(async ({ spec, tensor }) =>
      rowsError(this.#exact[spec.name]!, await floats(tensor))
    );
    const worst = (await Promise.all(errors)).reduce(larger);
    if (this.problem.pass === "forward") return worst;
    return worst / Math.max(...checked.map(({ spec }) => largestOf(this.#exact[spec.name]!)));
  }

  dispose(): void {
    for (const tensor of this.#inputs) tensor.dispose();
    for (const { tensor } of this.#results) tensor.dispose();
  }
}

/** Whether a step is the kernel's work. Partial rows belong to the kernel that needs them. */
function belongs({ kernel: { key } }: Step, kernel: AnyKernel): boolean {
  return key.startsWith(`${kernel} `) || key.startsWith(`${kernel},`) ||
    key.startsWith("merge ");
}
