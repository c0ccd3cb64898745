// The WebGPU backend: tensors in GPU buffers, plans as dispatches, one read-back a call.
import {
  type Backend,
  type BackendResult,
  callName,
  checkLive,
  disposedError,
  type MemoryUse,
  residentOf,
  type RowPool,
  type RunOptions,
} from "../backend/backend.ts";
import type { DType } from "../tensor/dtype.ts";
import { DeviceLostError } from "../tensor/errors.ts";
import type { Explanation } from "../backend/explanation.ts";
import type { MergePart, MergeShape } from "../problem/merge.ts";
import { webGpuMs } from "../plan/estimate.ts";
import { type GpuPlan, planWebGpu } from "../plan/webgpu/plan.ts";
import type { TileTable, TunedTarget } from "../plan/webgpu/tiles.ts";
import type { AttentionProblem, Views } from "../problem/problem.ts";
import { mergeSpecs, type ResultSpec, resultSpecs, turnedSpec } from "../problem/results.ts";
import type { TurnCall } from "../problem/rotations.ts";
import type { WebGpuTarget } from "../plan/target.ts";
import type { PoolShape } from "../tensor/pages.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { GpuComputePass } from "./device/api.ts";
import type { OpenDevice } from "./device/device.ts";
import { explainGpu } from "./explain.ts";
import { GpuMemory } from "./device/memory.ts";
import { mergeSteps } from "./dispatch/merge.ts";
import { Pipelines } from "./device/pipelines.ts";
import { Recent } from "./device/recent.ts";
import {
  collectResults,
  holdUntilFreed,
  leaveResults,
  makeResults,
  releaseResults,
} from "./dispatch/results.ts";
import { explainedPlan, planWithin } from "./dispatch/fit.ts";
import { prepareCall, type Prepared } from "./dispatch/prepare.ts";
import { runAtOnce } from "./dispatch/at_once.ts";
import { runStreamed, type StreamedCall } from "./dispatch/stream.ts";
import { type KeptForm, MOST_FORMS } from "./dispatch/template.ts";
import { turnSteps } from "./dispatch/turn.ts";
import { GpuRowPool } from "./dispatch/store.ts";
import { recordCall, submitCall } from "./dispatch/record.ts";
import { checkWrap, GpuTensor, type Home } from "./device/tensors.ts";

/** How a GPU backend is made. */
export interface GpuSettings {
  readonly memoryBudget: number;
  /** Check every submission for validation errors, which costs a wait. */
  readonly debug: boolean;
}

/** The GPU backend. */
export class WebGpuBackend implements Backend {
  readonly name = "webgpu";
  readonly open: OpenDevice;
  readonly #home: Home;
  readonly #memory: GpuMemory;
  readonly #pipelines: Pipelines;
  /** What is known of the forms of calls. */
  readonly #forms = new Recent<KeptForm>(MOST_FORMS);
  #tail: Promise<unknown> = Promise.resolve();
  #disposed = false;

  constructor(open: OpenDevice, settings: GpuSettings) {
    this.open = open;
    open.debug = settings.debug;
    this.#memory = new GpuMemory(open.device, open.target.limits.buffer, settings.memoryBudget);
    open.room = this.#memory;
    this.#home = { open, memory: this.#memory };
    this.#pipelines = new Pipelines(open.device);
  }

  /** What the device can do. */
  get target(): WebGpuTarget {
    return this.open.target;
  }

  /** Takes other tiles from now on. */
  retile(tiles: TileTable): void {
    this.open.target = { ...this.open.target, tiles } as TunedTarget;
    this.#forms.clear(); // they were planned with others
  }

  get memory(): MemoryUse {
    return this.#memory.use;
  }

  /** Why the device went away; undefined while it is there. */
  get lost(): string | undefined {
    return this.open.lost;
  }

  empty(shape: readonly number[], dtype: DType): Tensor {
    return new GpuTensor(this.#home, shape, dtype);
  }

  /** A tensor in a buffer that the caller owns. */
  wrap(buffer: object, shape: readonly number[], dtype: DType, byteOffset: number): Tensor {
    const whole = { buffer: checkWrap(buffer, shape, dtype, byteOffset), byteOffset };
    return new GpuTensor(this.#home, shape, dtype, whole);
  }

  pool(shape: PoolShape): RowPool {
    return new GpuRowPool(this.#home, this.#pipelines, shape);
  }

  owns(tensor: Tensor): boolean {
    return tensor instanceof GpuTensor && tensor.livesOn(this.open);
  }

  estimate(problem: AttentionProblem): number {
    return webGpuMs(problem, this.target, this.open.readBackMs);
  }

  explain(problem: AttentionProblem, reason: string, views: Views): Explanation {
    const { use, budget } = this.#memory, specs = resultSpecs(problem, views);
    const asked = { problem, views, specs, given: () => false };
    const { streamed, peakBytes } = explainedPlan(asked, this.open, budget - use.used);
    const plan = streamed ?? planWebGpu(problem, this.target);
    return explainGpu(plan, problem, this.target, { reason, peakBytes, budget });
  }

  /** Calls begin in their order; what they wait for is the device. */
  async run(
    problem: AttentionProblem,
    views: Views,
    options: RunOptions,
  ): Promise<readonly BackendResult[]> {
    const before = this.#tail;
    let resolve!: () => void;
    this.#tail = new Promise<void>((done) => resolve = done);
    await before;
    try {
      const action = callName(problem);
      if (this.#disposed) throw disposedError(action);
      checkLive(views, action);
      return await this.#run(problem, views, `Cannot run ${action}`, options);
    } finally {
      if (this.#disposed) this.#memory.dispose();
      resolve();
    }
  }

  async #run(
    problem: AttentionProblem,
    views: Views,
    action: string,
    { signal, resident, into }: RunOptions,
  ): Promise<BackendResult[]> {
    if (this.lost) throw new DeviceLostError(action, this.lost);
    this.open.throwError();
    const specs = resultSpecs(problem, views).map((spec) =>
      resident ? { ...spec, resident } : spec
    );
    const streamed = this.#fit(problem, views, specs, into);
    const call = streamed && { problem, plan: streamed, views, specs };
    if (call) return await this.#stream(call, action, { signal, into });
    const made = makeResults(this.#home, specs, into, views);
    let prepared: Prepared | undefined;
    try {
      prepared = prepareCall(this.#home, this.#forms, problem, views, made);
      if (prepared) {
        const recording = await submitCall(this.open, this.#pipelines, prepared, action, signal);
        prepared.keep?.(recording.words);
      }
      const results = await collectResults(this.#home, made, callName(problem));
      await this.open.heard();
      if (this.#disposed) throw disposedError(callName(problem));
      releaseResults(this.#home, made, false);
      return results;
    } catch (error) {
      releaseResults(this.#home, made, true);
      throw await this.#because(error, problem, action);
    } finally {
      prepared?.call.dispose();
    }
  }

  /** What a call that failed says. */
  async #because(error: unknown, problem: AttentionProblem, action: string): Promise<unknown> {
    if (this.#disposed) return disposedError(callName(problem)); // which destroys the device
    if (!this.lost) return await this.open.reason(error);
    return error instanceof DeviceLostError ? error : new DeviceLostError(action, this.lost);
  }

  /** How a call fits the memory. Throws where it does not. */
  #fit(
    problem: AttentionProblem,
    views: Views,
    specs: readonly ResultSpec[],
    into: Views = {},
    mayStream = true,
  ): GpuPlan | undefined {
    const given = ({ name }: ResultSpec) => into[name]?.resident === true;
    return planWithin({ problem, views, specs, given }, this.open, this.#memory, mayStream);
  }

  /** Runs a call that is larger than the memory, part by part. */
  async #stream(
    call: StreamedCall,
    action: string,
    { signal, into }: RunOptions,
  ): Promise<BackendResult[]> {
    try {
      const results = await runStreamed(this.#home, this.#pipelines, call, into, signal);
      await this.open.heard();
      if (this.#disposed) throw disposedError(callName(call.problem));
      return results;
    } catch (error) {
      throw await this.#because(error, call.problem, action);
    }
  }

  /** What errors of a call begin with. Throws where no call can run. */
  #checkOpen(problem: AttentionProblem): string {
    const action = `Cannot run ${callName(problem)}`;
    if (this.#disposed) throw disposedError(callName(problem));
    if (this.lost) throw new DeviceLostError(action, this.lost);
    this.open.throwError();
    return action;
  }

  /**
   * Records a call into a pass of the caller's; results are resident. Nobody knows when the pass is submitted,
   * so its scratch and inputs are kept until the last of its results is disposed of.
   */
  encode(pass: GpuComputePass, problem: AttentionProblem, views: Views): BackendResult[] {
    const action = this.#checkOpen(problem);
    const specs = resultSpecs(problem, views).map((spec) => ({ ...spec, resident: true }));
    this.#fit(problem, views, specs, undefined, false);
    const made = makeResults(this.#home, specs);
    let prepared: Prepared | undefined;
    try {
      prepared = prepareCall(this.#home, this.#forms, problem, views, made);
      if (prepared) {
        if ("requireOnePass" in prepared.call) prepared.call.requireOnePass();
        const recording = recordCall(this.open, this.#pipelines, prepared);
        recording.recordInto(pass, action);
        prepared.keep?.(recording.words);
      }
    } catch (error) {
      prepared?.call.dispose();
      releaseResults(this.#home, made, true);
      throw error;
    }
    if (prepared) holdUntilFreed(made, residentOf(views), prepared.call);
    return made.map(({ spec, tensor }) => ({ name: spec.name, tensor: tensor! }));
  }

  /**
   * Submits a call and waits for nothing: results are resident, scratch is free again. What the device says of it is
   * heard by the next call.
   */
  submit(problem: AttentionProblem, views: Views, into?: Views): BackendResult[] {
    const action = this.#checkOpen(problem);
    const specs = resultSpecs(problem, views).map((spec) => ({ ...spec, resident: true }));
    this.#fit(problem, views, specs, into, false);
    const made = makeResults(this.#home, specs, into, views);
    let prepared: Prepared | undefined;
    try {
      prepared = prepareCall(this.#home, this.#forms, problem, views, made);
      if (prepared) {
        const recording = recordCall(this.open, this.#pipelines, prepared);
        recording.submitAtOnce(action);
        prepared.keep?.(recording.words);
      }
      return leaveResults(this.#home, made, action);
    } catch (error) {
      releaseResults(this.#home, made, true);
      throw error;
    } finally {
      prepared?.call.dispose();
    }
  }

  merge(parts: readonly MergePart[], shape: MergeShape): BackendResult[] {
    const action = "Cannot run mergeAttention", specs = mergeSpecs(shape, parts[0]!);
    return this.#atOnce(action, specs, (made, take) => {
      return mergeSteps(this.#home, parts, shape, made, take);
    });
  }

  turn(call: TurnCall): BackendResult {
    const action = `Cannot run ${call.action}`, specs = [turnedSpec(call)];
    const [result] = this.#atOnce(action, specs, ([made], take) => {
      return turnSteps(this.#home, call, made!, take);
    });
    return result!;
  }

  /** Makes resident results and submits what fills them; what the device says of it is heard by a call that can wait. */
  #atOnce(
    action: string,
    results: readonly ResultSpec[],
    stepsOf: Parameters<typeof runAtOnce>[4],
  ): BackendResult[] {
    if (this.lost) throw new DeviceLostError(action, this.lost);
    this.open.throwError();
    return runAtOnce(this.#home, this.#pipelines, action, results, stepsOf);
  }

  async synchronize(): Promise<void> {
    await this.#tail;
    const done = () => this.open.device.queue.onSubmittedWorkDone();
    if (!this.lost) await this.open.whileAlive(done(), "Cannot synchronize");
    await this.open.settled();
  }

  /** Gives scratch back. A device of the engine's own goes with it; see engine.ts. */
  dispose(): void {
    this.#disposed = true;
    this.#memory.dispose();
  }
}
