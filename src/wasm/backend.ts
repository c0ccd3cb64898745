// The WASM backend: owns memory, kernels and threads, plans problems and runs the plans.
//
//   while regions are left
//     stage the next region while there is a free place, publish the items of its first step
//     when the oldest region has done a step: begin its next one, or take its results out
//     otherwise do an item, or wait for the other threads
//
// The flow is a generator that pauses where its caller may look around, at least every few milliseconds
// where there are threads enough; see queue.ts. Items cannot be interrupted, so long ones are left to
// worker threads alone.
import { Control } from "../../asm/abi.ts";
import {
  type AbortSignalLike,
  type Backend,
  type BackendResult,
  callName,
  checkLive,
  disposedError,
  type MemoryUse,
  type RowPool,
  type RunOptions,
} from "../backend/backend.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Explanation } from "../backend/explanation.ts";
import type { MergePart, MergeShape } from "../problem/merge.ts";
import { isSparse } from "../plan/sequences.ts";
import { longestItemMs, type Plan, planAttention, sharedItems } from "../plan/wasm/plan.ts";
import { wasmMs } from "../plan/estimate.ts";
import type { AttentionProblem, Views } from "../problem/problem.ts";
import { resultSpecs } from "../problem/results.ts";
import type { TurnCall } from "../problem/rotations.ts";
import type { WasmTarget } from "../plan/target.ts";
import type { PoolShape } from "../tensor/pages.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { CONTROL_BYTE, LinearMemory } from "./memory/linear_memory.ts";
import { explainPlan } from "./explain.ts";
import { compileKernels, instantiateKernels, type KernelExports } from "./module/module.ts";
import { kernelScratch } from "./run/kernel_scratch.ts";
import { maxSimGradients } from "./run/max_sim.ts";
import { mergeParts } from "./run/merge.ts";
import { programScratch, programsOf } from "./run/programs.ts";
import { CallQueue, Failed, type Progress, runThrough } from "./run/queue.ts";
import { deliver, disposeResults, letGo, makeResults, type ResultView } from "./memory/results.ts";
import {
  LocalRunner,
  MAX_OPEN_REGIONS,
  PoolRunner,
  type Runner,
  WorkerFailure,
} from "./run/runner.ts";
import type { WasmSettings } from "./settings.ts";
import { type StagedRegion, Staging } from "./run/staging.ts";
import { WasmRowPool } from "./memory/row_pool.ts";
import { WasmTensor } from "./memory/tensors.ts";
import { ThreadPool } from "./run/threads.ts";
import { turnTensor } from "./run/turn.ts";
import { WideProbe } from "./run/wide_probe.ts";

/** Operations from which on workers are started: about 10 ms of one thread. */
const START_FLOPS = 500e6;

/** Operations from which on a call pays for a look at how wide operations are: about 0.5 ms; a look takes 0.02. */
const LOOK_FLOPS = 20e6;

/** An item that takes longer is long: with a slice of a call before it, the event loop would notice. */
const LONG_MS = 6;

/** A call below this time on one thread may pass longer ones. */
const SHORT_MS = 25;

/** The CPU backend. */
export class WasmBackend implements Backend {
  readonly name = "wasm";
  readonly #settings: WasmSettings;
  readonly #relaxed: boolean;
  readonly #probe: WideProbe;
  readonly #memory: LinearMemory;
  readonly #kernels: KernelExports;
  readonly #pool: ThreadPool | undefined;
  /** Operations of the calls that would have used the pool before it was started. */
  #wanted = 0;
  /** Scratch of each thread, the calling one first, and its size. */
  readonly #scratch: { pointer: number; bytes: number }[] = [];
  readonly #calls = new CallQueue(() => this.#pool?.stop(), () => this.#pool!.heard());

  constructor(settings: WasmSettings) {
    const { level, shared, threads } = this.#settings = settings;
    const module = settings.module ?? compileKernels(level, shared);
    this.#memory = new LinearMemory(shared, settings.memoryBudget);
    this.#kernels = instantiateKernels(module, this.#memory.memory);
    this.#relaxed = this.#kernels.relaxed() === 1;
    this.#probe = new WideProbe(this.#kernels, this.#relaxed ? settings.wide : false);
    if (threads === 1) return;
    this.#pool = new ThreadPool(module, this.#memory);
    this.#pool.stopWith(this);
  }

  /** As it is now: threads may turn out to be fewer than were asked for. */
  get target(): WasmTarget {
    const { threads: wanted, shared } = this.#settings;
    const threads = this.#pool ? 1 + this.#pool.available(wanted - 1) : 1;
    const vectorBits = this.#probe.wide ? 256 : 128;
    return { backend: "wasm", threads, relaxedSimd: this.#relaxed, vectorBits, shared };
  }

  /** Why there are fewer threads than were asked for, as far as is known now. */
  get shortage(): string | undefined {
    return this.#pool?.shortage ?? this.#settings.shortage;
  }

  get memory(): MemoryUse {
    return this.#memory.use;
  }

  empty(shape: readonly number[], dtype: DType): Tensor {
    return new WasmTensor(this.#memory, shape, dtype);
  }

  pool(shape: PoolShape): RowPool {
    return new WasmRowPool(this.#memory, this.#kernels, shape);
  }

  owns(tensor: Tensor): boolean {
    return tensor instanceof WasmTensor && tensor.livesIn(this.#memory);
  }

  /** Runs a call to its end on the calling thread. */
  runSync(problem: AttentionProblem, views: Views, into?: Views): BackendResult[] {
    const plan = planAttention(problem, { ...this.target, threads: 1 });
    return runThrough(this.#progress(problem, plan, views, { alone: true, into }));
  }

  async run(
    problem: AttentionProblem,
    views: Views,
    options: RunOptions,
  ): Promise<readonly BackendResult[]> {
    const plan = planAttention(problem, this.target), action = callName(problem);
    const begin = (alone: boolean) => () => {
      checkLive(views, action);
      return this.#progress(problem, plan, views, { ...options, alone });
    };
    const short = wasmMs(problem, { threads: 1 }) < SHORT_MS;
    return await this.#calls.run({
      begin: begin(false),
      beginAlone: short ? begin(true) : undefined,
      refusal: () => disposedError(action),
    });
  }

  merge(parts: readonly MergePart[], shape: MergeShape): ResultView[] {
    return mergeParts(this.#memory, this.#kernels, parts, shape);
  }

  turn(call: TurnCall): ResultView {
    return turnTensor(this.#memory, this.#kernels, call);
  }

  estimate(problem: AttentionProblem): number {
    return wasmMs(problem, this.target);
  }

  explain(problem: AttentionProblem, reason: string): Explanation {
    const plan = planAttention(problem, this.target);
    return explainPlan(plan, problem, reason, this.scratchBytes(problem, plan));
  }

  async synchronize(): Promise<void> {
    await this.#calls.idle();
  }

  /** Stops the threads. The memory goes with the last reference to it. */
  dispose(): void {
    this.#calls.close();
  }

  /** Bytes of scratch that each thread needs for a plan. */
  scratchBytes(problem: AttentionProblem, plan: Plan): number {
    const programs = programsOf(problem, plan);
    return kernelScratch(this.#kernels, problem, plan) +
      (programs.length && programScratch(programs));
  }

  /** Makes sure the first `threads` threads have scratch. No pool item may be running. */
  #reserveScratch(threads: number, bytes: number): void {
    for (let i = 0; i < threads; i++) {
      const have = this.#scratch[i];
      if (have && have.bytes >= bytes) continue;
      // the new one first: should memory be out, a call that is under way still has the old one
      const pointer = this.#memory.allocate(bytes);
      if (have) this.#memory.free(have.pointer);
      this.#scratch[i] = { pointer, bytes };
      // a view of now: the allocation may have grown the memory
      this.#memory.u32(CONTROL_BYTE, Control.Words)[Control.Scratch + i] = pointer;
    }
  }

  /**
   * Starting workers takes 20 to 40 ms, more than a first small call itself: they are started for a call
   * that is long enough to gain from them, or once calls keep coming. The items are the same either way,
   * so the bits of the results do not depend on it.
   */
  #worthStarting(plan: Plan): boolean {
    if (this.#pool!.started) return true;
    this.#wanted += plan.cost.flops;
    return this.#wanted >= START_FLOPS;
  }

  *#runner(plan: Plan, threads: number, long: boolean): Generator<"work", Runner, void> {
    // read anew for each item: a synchronous call in between may have needed more
    const scratch = () => this.#scratch[0]!.pointer, regions = plan.regions.length;
    if (threads === 1 || !this.#pool || !this.#worthStarting(plan)) {
      return new LocalRunner(this.#kernels, scratch, regions);
    }
    const items = sharedItems(plan);
    this.#pool.prepare();
    yield "work";
    const work = { threads, items, long };
    const runner = new PoolRunner(this.#kernels, this.#memory, this.#pool, scratch, work);
    yield "work"; // a worker may have been started
    return runner;
  }

  /** Runs a plan. `alone`: on the calling thread only. */
  *#progress(
    problem: AttentionProblem,
    plan: Plan,
    views: Views,
    options: RunOptions & { alone: boolean },
  ): Progress<BackendResult[]> {
    options.signal?.throwIfAborted();
    if (problem.pass === "maxSimBackward") {
      return yield* maxSimGradients(this.#memory, this.#kernels, problem, views);
    }
    if (plan.cost.flops >= LOOK_FLOPS) this.#probe.look();
    const threads = options.alone ? 1 : Math.min(plan.threads, this.#settings.threads);
    const long = threads > 1 && longestItemMs(problem, plan) > LONG_MS;
    const specs = resultSpecs(problem, views), { resident, into } = options;
    const wanted = resident ? specs.map((spec) => ({ ...spec, resident })) : specs;
    const results = makeResults(this.#memory, wanted, isSparse(problem), into);
    const staging = new Staging(this.#memory, this.#kernels, problem, plan, views, results);
    let runner: Runner | undefined;
    try {
      this.#reserveScratch(long ? threads + 1 : threads, this.scratchBytes(problem, plan));
      runner = yield* this.#runner(plan, threads, long);
      yield* this.#regions(plan, staging, runner, threads, options.signal);
      yield* staging.finish();
      return deliver(results, callName(problem));
    } catch (error) {
      runner?.cancel();
      const failed = error instanceof WorkerFailure;
      // the caller need not wait for items that nobody wants any more
      if (runner && !runner.idle() && !failed) yield new Failed(error);
      while (runner && !runner.idle()) yield "threads";
      disposeResults(results);
      if (!failed) throw error;
      // what the worker said comes with a turn of the event loop
      for (let turns = 0; turns < 20 && !this.#pool!.message; turns++) yield "threads";
      const said = this.#pool!.message || "it said nothing";
      throw new Error(`Cannot run ${callName(problem)}: a worker thread failed (${said})`);
    } finally {
      staging.dispose();
      runner?.dispose();
      letGo(results);
    }
  }

  *#regions(
    plan: Plan,
    staging: Staging,
    runner: Runner,
    threads: number,
    signal: AbortSignalLike | undefined,
  ): Progress<void> {
    const { regions } = plan, active: { staged: StagedRegion; index: number; step: number }[] = [];
    const places = threads === 1 ? 1 : Math.min(threads + 1, MAX_OPEN_REGIONS);
    const items = sharedItems(plan);
    let next = 0;
    const mayStage = () => {
      if (next === regions.length || active.length === places) return false;
      // a region that adds to the dK and dV of another must wait for it
      return !regions[next]!.accumulate || active.length === 0;
    };
    while (next < regions.length || active.length > 0) {
      signal?.throwIfAborted();
      signal?.progress?.(items > 0 ? runner.finished() / items : 0);
      if (mayStage()) {
        const staged = yield* staging.stage(regions[next]!, next);
        active.push({ staged, index: next++, step: 0 });
        yield* this.#begin(active.at(-1)!, runner);
        yield "work";
        continue;
      }
      const oldest = active[0]!;
      if (runner.done(oldest.index)) {
        if (++oldest.step < oldest.staged.steps.length) yield* this.#begin(oldest, runner);
        else yield* staging.collect(active.shift()!.staged);
        yield "work";
        continue;
      }
      yield runner.advance() || runner.wait() ? "work" : "threads";
    }
  }

  /** Begins a step of a region; one that threads do not share is done at once. */
  *#begin(
    { staged, index, step }: { staged: StagedRegion; index: number; step: number },
    runner: Runner,
  ): Progress<void> {
    const items = staged.steps[step]!;
    if (staged.region.steps[step]!.shared) return runner.publish(index, items);
    for (const item of items) {
      this.#kernels.run(item, this.#scratch[0]!.pointer);
      yield "work";
    }
  }
}
