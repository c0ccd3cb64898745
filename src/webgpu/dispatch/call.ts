// One call: its scratch, its results, and the dispatches of all its regions.
import type { RepairKind } from "../../../shaders/kernels/repair.ts";
import { LARGE } from "../../../shaders/parts/text.ts";
import { UnsupportedError } from "../../tensor/errors.ts";
import { BYTES } from "../../tensor/dtype.ts";
import { count } from "../../tensor/shape.ts";
import type { View } from "../../tensor/view.ts";
import { isSparse } from "../../plan/sequences.ts";
import type { GpuPlan } from "../../plan/webgpu/plan.ts";
import type { GpuKernel, GpuStep } from "../../plan/webgpu/steps.ts";
import type { AttentionProblem, Views } from "../../problem/problem.ts";
import type { ResultSpec } from "../../problem/results.ts";
import { rotationOf } from "../../problem/rotations.ts";
import {
  type OperandName,
  OPERANDS,
  STATISTIC_NAMES,
  type StatisticName,
} from "../../tensor/operands.ts";
import type { GpuBuffer, GpuCommandEncoder } from "../device/api.ts";
import { Scratch } from "../device/scratch.ts";
import type { Home } from "../device/tensors.ts";
import { deltaStep, dkvStep, dqStep, rowStateStep } from "./backward.ts";
import { type CallVariant, type MadeResult, type Step, variantFeatures } from "./dispatch.ts";
import { capturedSumSteps } from "./captured.ts";
import { classifySteps } from "./classify.ts";
import { addStep, componentSteps, copyStep, narrowSteps } from "./elementwise.ts";
import { combineStep, decodeStep, forwardStep, mergeRegionStep } from "./forward.ts";
import { columnSumsStep, rowStatsStep, scoresStep, sortKeysSteps, topKeysStep } from "./inside.ts";
import { type CallContext, RegionCall, STATISTICS } from "./region_call.ts";
import { repairStep } from "./repair.ts";
import { rotateStep } from "./rotate.ts";
import { pairSumStep, rowSumStep } from "./sums.ts";
import { type Template, templateOf, type Written } from "./template.ts";
import { turnedKind, TurnedRows } from "./turned_rows.ts";
import { InputViews, storageKind } from "./views.ts";

/** How a planned step of a region becomes a dispatch. */
const BUILDERS: Readonly<Record<GpuKernel, (r: RegionCall, of: OperandName) => Step | Step[]>> = {
  rotate: rotateStep,
  copy: copyStep,
  classify: classifySteps,
  forward: forwardStep,
  decode: decodeStep,
  combine: combineStep,
  "merge into": mergeRegionStep,
  delta: deltaStep,
  "row state": rowStateStep,
  dq: dqStep,
  dkv: (r) => dkvStep(r, "kv"),
  dk: (r) => dkvStep(r, "k"),
  dv: (r) => dkvStep(r, "v"),
  repair: (r, of) => repairStep(r, of as RepairKind),
  "pair sum": pairSumStep,
  "row sum": rowSumStep,
  "captured sum": capturedSumSteps,
  add: addStep,
  "row stats": rowStatsStep,
  scores: scoresStep,
  "column sums": columnSumsStep,
  "top keys": topKeysStep,
  "sort keys": sortKeysSteps,
};

/** What the kernels of a call are specialised by. */
function variantOfCall(problem: AttentionProblem, views: Views): CallVariant {
  const { queryHeads, kvHeads } = problem, { q, k, v = k, dOut } = views;
  const kindOf = (view: View) =>
    rotationOf(problem, view.name) ? turnedKind(problem.headDim) : storageKind(view);
  const kinds = { q: kindOf(q!), k: kindOf(k!), v: kindOf(v!) };
  return {
    kinds: dOut ? { ...kinds, dOut: storageKind(dOut) } : kinds,
    grouped: queryHeads > kvHeads,
    features: variantFeatures(problem, (name) => storageKind(views[name]!)),
    statistics: problem.statistics.length > 0 || views.dEntropy !== undefined,
  };
}

/** Results that outlive the scratch of a call, because several have them in turn: see stream.ts. */
export interface HeldResults {
  readonly results: ReadonlyMap<OperandName, MadeResult>;
  readonly rowStatistics: GpuBuffer | undefined;
}

/** Builds the dispatches of a call; `dispose` gives its scratch back. */
export class GpuCall {
  readonly #home: Home;
  readonly #plan: GpuPlan;
  readonly #scratch: Scratch;
  readonly #written: Written[] = [];
  readonly #cleared: GpuBuffer[] = [];
  readonly #context: CallContext;

  constructor(
    home: Home,
    problem: AttentionProblem,
    plan: GpuPlan,
    views: Views,
    results: readonly { readonly spec: ResultSpec; readonly buffer: GpuBuffer }[],
    held?: HeldResults,
  ) {
    this.#home = home;
    this.#plan = plan;
    this.#scratch = new Scratch(home.memory);
    const group = problem.queryHeads / Math.max(1, problem.kvHeads);
    const scratch = (bytes: number) => this.scratch(bytes);
    try {
      this.#context = {
        ...{ home, problem, plan, views, scratch },
        zeros: (bytes) => this.#zeros(bytes),
        write: (buffer, data) => {
          home.open.device.queue.writeBuffer(buffer, 0, data);
          this.#written.push({ buffer, data });
        },
        variant: variantOfCall(problem, views),
        inputs: new InputViews(home, group, scratch),
        turned: new TurnedRows(home, problem, scratch),
        results: held?.results ?? new Map(results.map(({ spec, buffer }) => {
          const narrow = BYTES[spec.dtype] < 4;
          const work = narrow ? this.scratch(count(spec.shape) * 4) : buffer;
          return [spec.name, { spec, buffer, work }];
        })),
        rowStatistics: held ? held.rowStatistics : this.#rowStatistics(problem, results),
      };
      if (isSparse(problem) && !held) this.#fillResults();
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /** Where the statistics of all rows are made: four floats for each element of lse. */
  #rowStatistics(
    problem: AttentionProblem,
    results: readonly { readonly spec: ResultSpec }[],
  ): GpuBuffer | undefined {
    if (problem.statistics.length === 0) return undefined;
    const { spec } = results.find(({ spec }) => spec.name === "lse")!;
    const bytes = STATISTICS * 4 * count(spec.shape);
    return isSparse(problem) ? this.#zeros(bytes) : this.scratch(bytes);
  }

  /** What rows hold that no region writes: zeros, and lse of minus infinity. */
  #fillResults(): void {
    for (const { spec, work } of this.#context.results.values()) {
      if (spec.name !== "lse") this.#cleared.push(work);
      else {
        const none = new Float32Array(count(spec.shape)).fill(-Infinity);
        this.#home.open.device.queue.writeBuffer(work, 0, none);
      }
    }
  }

  /** Scratch that lives as long as the call. */
  scratch(bytes: number): GpuBuffer {
    return this.#scratch.take(bytes);
  }

  /** Scratch that must be zero when the steps begin. */
  #zeros(bytes: number): GpuBuffer {
    const buffer = this.scratch(bytes);
    this.#cleared.push(buffer);
    return buffer;
  }

  /** Gives the scratch back: after the last submission that uses it. */
  dispose(): void {
    this.#scratch.give();
  }

  /** What is cleared before the steps run; undefined when nothing is. */
  clear(encoder: () => GpuCommandEncoder): GpuCommandEncoder | undefined {
    if (this.#cleared.length === 0) return undefined;
    const recording = encoder();
    for (const buffer of this.#cleared) recording.clearBuffer(buffer);
    return recording;
  }

  #last({ kernel, of }: GpuStep<"narrow" | "statistic">): Step[] {
    const { spec, buffer, work } = this.#context.results.get(of!)!;
    if (kernel === "statistic") {
      const component = STATISTIC_NAMES.indexOf(of as StatisticName);
      const { limits } = this.#home.open.target, from = this.#context.rowStatistics!;
      return componentSteps(from, buffer, count(spec.shape), component, limits);
    }
    const dtype = spec.dtype as "f16" | "bf16", { limits } = this.#home.open.target;
    return narrowSteps(work, buffer, count(spec.shape), dtype, limits);
  }

  /** Whether some lse may be large: one in host memory is looked at, so that the kernel need not be made. */
  #mayBeLarge(): boolean {
    const { tensor } = this.#context.views.lse!;
    if (!("data" in tensor)) return true;
    return (tensor.data as Float32Array).some((lse) =>
      Math.abs(lse) > Number(LARGE) && Math.abs(lse) < Infinity
    );
  }

  /** Every dispatch of the call, in order. */
  steps(): Step[] {
    const { regions, last } = this.#plan;
    if (regions.length > 1) {
      for (const { spec, work } of this.#context.results.values()) {
        if (OPERANDS[spec.name].summed) this.#cleared.push(work);
      }
    }
    const steps = regions.flatMap((region) => {
      const call = new RegionCall(this.#context, region);
      return region.steps.filter(({ kernel }) => kernel !== "row state" || this.#mayBeLarge())
        .flatMap(({ kernel, of }) => BUILDERS[kernel](call, of!));
    });
    return [...steps, ...last.flatMap((step) => this.#last(step))];
  }

  /** What calls of the same form may have of this one; before parameters are made. `outer`: see `outerBuffers`. */
  template(steps: readonly Step[], outer: readonly GpuBuffer[]): Template | undefined {
    if (this.#cleared.length > 0 || isSparse(this.#context.problem)) return undefined;
    return templateOf(outer, this.#scratch.taken, this.#written, steps);
  }

  /** Throws when the steps need more than a caller's pass. */
  requireOnePass(): void {
    if (this.#cleared.length === 0) return;
    throw new UnsupportedError(
      "recording a problem into a pass that is larger than the bindings of the device, or packed with empty sequences,",
      "webgpu",
      "call attention or attentionBackward, which submit by themselves",
    );
  }
}
