// The WebGPU backend: tensors in GPU buffers, plans as dispatches, one read-back a call.
import {
  type AbortSignalLike,
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
import { planWebGpu } from "../plan/webgpu/plan.ts";
import type { TileTable, TunedTarget } from "../plan/webgpu/tiles.ts";
import type { AttentionProblem, Views } from "../problem/problem.ts";
import { mergeSpecs, type ResultSpec, resultSpecs, turnedSpec } from "../problem/results.ts";
import type { TurnCall } from "../problem/rotations.ts";
import type { WebGpuTarget } from "../plan/target.ts";
import type { PoolShape } from "../tensor/pages.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { GpuBuffer, GpuComputePass } from "./device/api.ts";
import type { OpenDevice } from "./device/device.ts";
import { explainGpu } from "./explain.ts";
import { GpuMemory } from "./device/memory.ts";
import { mergeSteps } from "./dispatch/merge.ts";
import { Pipelines } from "./device/pipelines.ts";
import { Recent } from "./device/recent.ts";
import { Scratch } from "./device/scratch.ts";
import {
  collectResults,
  holdUntilFreed,
  leaveResults,
  type Made,
  makeResults,
  releaseResults,
} from "./dispatch/results.ts";
import { prepareCall, type Prepared } from "./dispatch/prepare.ts";
import { type KeptForm, MOST_FORMS } from "./dispatch/template.ts";
import { turnSteps } from "./dispatch/turn.ts";
import { GpuRowPool } from "./dispatch/store.ts";
import { Recording } from "./dispatch/submit.ts";
import type { Step } from "./dispatch/dispatch.ts";
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

  explain(problem: AttentionProblem, reason: string): Explanation {
    return explainGpu(planWebGpu(problem, this.target), problem, this.target, reason);
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
    const made = makeResults(this.#home, specs, into, views);
    let prepared: Prepared | undefined;
    try {
      prepared = prepareCall(this.#home, this.#forms, problem, views, made);
      if (prepared) {
        const recording = await this.#submit(prepared, action, signal);
        prepared.keep?.(recording.words);
      }
      const results = await collectResults(this.#home, made, callName(problem));
      await this.#memory.settle();
      if (this.#disposed) throw disposedError(callName(problem));
      releaseResults(this.#home, made, false);
      return results;
    } catch (error) {
      releaseResults(this.#home, made, true);
      if (this.#disposed) throw disposedError(callName(problem)); // which destroys the device
      if (this.lost && !(error instanceof DeviceLostError)) {
        throw new DeviceLostError(action, this.lost);
      }
      throw error;
    } finally {
      prepared?.call.dispose();
    }
  }

  async #submit(
    prepared: Prepared,
    action: string,
    signal: AbortSignalLike | undefined,
  ): Promise<Recording> {
    const kernels = prepared.steps.map(({ kernel }) => kernel);
    await this.open.whileAlive(this.#pipelines.prepare(kernels), action);
    signal?.throwIfAborted();
    const recording = this.#recording(prepared);
    await recording.submit(action, signal);
    return recording;
  }

  /** The steps of a call with their parameters; what must be zero before them is. */
  #recording({ call, steps, words }: Prepared): Recording {
    const { device } = this.open, take = (bytes: number) => call.scratch(bytes);
    const recording = new Recording(this.open, this.#pipelines, steps, take, words);
    const clearing = "clear" in call && call.clear(() => device.createCommandEncoder());
    if (clearing) device.queue.submit([clearing.finish()]);
    return recording;
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
    const made = makeResults(this.#home, specs);
    let prepared: Prepared | undefined;
    try {
      prepared = prepareCall(this.#home, this.#forms, problem, views, made);
      if (prepared) {
        if ("requireOnePass" in prepared.call) prepared.call.requireOnePass();
        const recording = this.#recording(prepared);
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
    const made = makeResults(this.#home, specs, into, views);
    let prepared: Prepared | undefined;
    try {
      prepared = prepareCall(this.#home, this.#forms, problem, views, made);
      if (prepared) {
        const recording = this.#recording(prepared);
        recording.submitAtOnce(action);
        prepared.keep?.(recording.words);
      }
      return leaveResults(this.#home, made, action);
    } catch (error) {
      releaseResults(this.#home, made, true);
      throw error;
    } finally {
      prepared?.call.dispose();
      this.#memory.settle().catch((error) => this.open.note(error));
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
    stepsOf: (made: readonly Made[], take: (bytes: number) => GpuBuffer) => Step[],
  ): BackendResult[] {
    if (this.lost) throw new DeviceLostError(action, this.lost);
    this.open.throwError();
    const specs = results.map((spec) => ({ ...spec, resident: true }));
    const made = makeResults(this.#home, specs), scratch = new Scratch(this.#memory);
    const take = (bytes: number) => scratch.take(bytes);
    try {
      const recording = new Recording(this.open, this.#pipelines, stepsOf(made, take), take);
      this.open.checked(action, () => {
        const encoder = this.open.device.createCommandEncoder();
        const pass = encoder.beginComputePass();
        recording.recordInto(pass, action);
        pass.end();
        this.open.device.queue.submit([encoder.finish()]);
      });
    } catch (error) {
      releaseResults(this.#home, made, true);
      throw error;
    } finally {
      scratch.give();
    }
    return made.map(({ spec, tensor }) => ({ name: spec.name, tensor: tensor! }));
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
