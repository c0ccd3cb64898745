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
import {
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
import { type Plan, sharedItems } from "../plan/wasm/plan.ts";
import { wasmMs } from "../plan/estimate.ts";
import type { AttentionProblem, Views } from "../problem/problem.ts";
import { resultSpecs } from "../problem/results.ts";
import type { TurnCall } from "../problem/rotations.ts";
import type { WasmTarget } from "../plan/target.ts";
import type { PoolShape } from "../tensor/pages.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { LinearMemory } from "./memory/linear_memory.ts";
import { Arena } from "./memory/arena.ts";
import { explainPlan } from "./explain.ts";
import { compileKernels, instantiateKernels, type KernelExports } from "./module/module.ts";
import { CallPlans } from "./run/call_plans.ts";
import { maxSimBytes, maxSimGradients } from "./run/max_sim.ts";
import { mergeParts } from "./run/merge.ts";
import { plannedAs } from "./run/planned_bytes.ts";
import { CallQueue, Failed, type Progress, runThrough } from "./run/queue.ts";
import { deliver, disposeResults, letGo, makeResults, type ResultView } from "./memory/results.ts";
import { LocalRunner, PoolRunner, type Runner, WorkerFailure } from "./run/runner.ts";
import { ThreadScratch } from "./run/scratch.ts";
import type { WasmSettings } from "./settings.ts";
import { runRegions } from "./run/run_regions.ts";
import { Staging } from "./run/staging.ts";
import { WasmRowPool } from "./memory/row_pool.ts";
import { WasmTensor } from "./memory/tensors.ts";
import { ThreadPool } from "./run/threads.ts";
import { turnTensor } from "./run/turn.ts";
import { WideProbe } from "./run/wide_probe.ts";

/** Operations from which on workers are started: about 10 ms of one thread. */
const START_FLOPS = 500e6;

/** Operations from which on a call pays for a look at how wide operations are: about 0.5 ms; a look takes 0.02. */
const LOOK_FLOPS = 20e6;

/** Room below which scratch of earlier calls may be in the way. */
const SHORT_BYTES = 2 ** 28;

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
  readonly #scratch: ThreadScratch;
  readonly #plans: CallPlans;
  /** Calls that are under way. */
  #active = 0;
  readonly #calls = new CallQueue(() => this.#pool?.stop(), () => this.#pool!.heard());

  constructor(settings: WasmSettings) {
    const { level, shared, threads } = this.#settings = settings;
    const module = settings.module ?? compileKernels(level, shared);
    this.#memory = new LinearMemory(shared, settings.memoryBudget);
    this.#scratch = new ThreadScratch(this.#memory);
    this.#kernels = instantiateKernels(module, this.#memory.memory);
    this.#plans = new CallPlans(this.#memory, this.#kernels, threads);
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
    const target = { ...this.target, threads: 1 };
    return runThrough(this.#progress(problem, target, views, { alone: true, into }));
  }

  async run(
    problem: AttentionProblem,
    views: Views,
    options: RunOptions,
  ): Promise<readonly BackendResult[]> {
    const { target } = this, action = callName(problem);
    const begin = (alone: boolean) => () => {
      checkLive(views, action);
      return this.#progress(problem, target, views, { ...options, alone });
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
    this.#makeRoom();
    const fitted = this.#plans.explain({ problem, target: this.target, alone: false });
    const scratchBytes = this.scratchBytes(problem, fitted.plan), { budget } = this.#memory;
    return explainPlan(fitted, problem, { reason, scratchBytes, budget });
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
    return this.#plans.scratchBytes(problem, plan);
  }

  /** Gives back scratch of earlier calls where no call is under way and it may be in the way. */
  #makeRoom(): void {
    if (this.#active === 0 && this.#memory.room < SHORT_BYTES) this.#scratch.release();
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
    const scratch = () => this.#scratch.own, regions = plan.regions.length;
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

  /** Runs a call. `alone`: on the calling thread only. */
  *#progress(
    problem: AttentionProblem,
    target: WasmTarget,
    views: Views,
    options: RunOptions & { alone: boolean },
  ): Progress<BackendResult[]> {
    options.signal?.throwIfAborted();
    this.#makeRoom();
    if (problem.pass === "maxSimBackward") {
      this.#plans.require(callName(problem), maxSimBytes(problem, views));
      return yield* maxSimGradients(this.#memory, this.#kernels, problem, views);
    }
    const specs = resultSpecs(problem, views), { resident, into } = options;
    const wanted = resident ? specs.map((spec) => ({ ...spec, resident })) : specs;
    const { alone } = options, planned = plannedAs(wanted, into);
    const { plan, arenaBytes } = this.#plans.fit({ problem, target, alone, results: planned });
    if (plan.cost.flops >= LOOK_FLOPS) this.#probe.look();
    this.#active++;
    try {
      const results = makeResults(this.#memory, wanted, isSparse(problem), into);
      return yield* this.#run(problem, plan, views, results, arenaBytes, options);
    } finally {
      this.#active--;
    }
  }

  /** Runs a plan. */
  *#run(
    problem: AttentionProblem,
    plan: Plan,
    views: Views,
    results: readonly ResultView[],
    arenaBytes: number | undefined,
    options: RunOptions & { alone: boolean },
  ): Progress<BackendResult[]> {
    const { threads, long, scratches, places } = this.#plans.share(problem, plan, options.alone);
    let runner: Runner | undefined, staging: Staging | undefined, arena: Arena | undefined;
    try {
      this.#scratch.reserve(scratches, this.scratchBytes(problem, plan));
      if (arenaBytes !== undefined) arena = new Arena(this.#memory, arenaBytes);
      const heap = arena ?? this.#memory;
      staging = new Staging(this.#memory, this.#kernels, heap, problem, plan, views, results);
      runner = yield* this.#runner(plan, threads, long);
      const alone = (item: number) => this.#kernels.run(item, this.#scratch.own);
      yield* runRegions(plan.regions, { staging, runner, places, alone }, options.signal);
      yield* staging.finish();
      return deliver(results, callName(problem));
    } catch (error) {
      yield* this.#fail(error, runner);
      disposeResults(results);
      throw error instanceof WorkerFailure ? yield* this.#workerError(callName(problem)) : error;
    } finally {
      staging?.dispose();
      arena?.dispose();
      runner?.dispose();
      letGo(results);
    }
  }

  /** Ends the work of a call that failed. */
  *#fail(error: unknown, runner: Runner | undefined): Progress<void> {
    runner?.cancel();
    // the caller need not wait for items that nobody wants any more
    if (runner && !runner.idle() && !(error instanceof WorkerFailure)) yield new Failed(error);
    while (runner && !runner.idle()) yield "threads";
  }

  /** What a worker said comes with a turn of the event loop. */
  *#workerError(call: string): Progress<Error> {
    for (let turns = 0; turns < 20 && !this.#pool!.message; turns++) yield "threads";
    const said = this.#pool!.message || "it said nothing";
    return new Error(`Cannot run ${call}: a worker thread failed (${said})`);
  }
}
