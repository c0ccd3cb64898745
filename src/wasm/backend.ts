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
import type { Plan } from "../plan/wasm/plan.ts";
import { wasmMs } from "../plan/estimate.ts";
import { workersFor } from "../plan/workers.ts";
import type { AttentionProblem, Views } from "../problem/problem.ts";
import { resultSpecs } from "../problem/results.ts";
import type { TurnCall } from "../problem/rotations.ts";
import type { WasmTarget } from "../plan/target.ts";
import type { PoolShape } from "../tensor/pages.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { LinearMemory } from "./memory/linear_memory.ts";
import { Arena } from "./memory/arena.ts";
import { explainPlan, workersReason } from "./explain.ts";
import { compileKernels, instantiateKernels, type KernelExports } from "./module/module.ts";
import { CallPlans } from "./run/call_plans.ts";
import { LoopProbe, TURN_FLOPS } from "./run/loop_probe.ts";
import { maxSimBytes, maxSimGradients } from "./run/max_sim.ts";
import { mergeParts } from "./run/merge.ts";
import { plannedAs } from "./run/planned_bytes.ts";
import { Crew } from "./crew.ts";
import { CallQueue, type Progress, runThrough } from "./run/queue.ts";
import { deliver, disposeResults, letGo, makeResults, type ResultView } from "./memory/results.ts";
import { ThreadScratch } from "./run/scratch.ts";
import type { Shortages, WasmSettings } from "./settings.ts";
import { Staging } from "./run/staging.ts";
import { WasmRowPool } from "./memory/row_pool.ts";
import { WasmTensor } from "./memory/tensors.ts";
import { turnTensor } from "./run/turn.ts";

/** Operations from which on a call pays for a look at how wide operations are: about 0.5 ms; a look takes 0.02. */
const LOOK_FLOPS = 20e6;

/** A loop of neighbours that are packed takes 0.4 to 0.55 of the time of the other, one of those that are not 0.97 to 1.08. */
const WIDE = 0.7;

/**
 * A loop of dot products of bytes takes less than so many times that of multiply-adds where each is one instruction: 1.0 with
 * AVX-VNNI (Intel Xeon, measured in a study before), 2.1 without (Zen 3).
 */
const FOURS = 1.3;

/** Room below which scratch of earlier calls may be in the way. */
const SHORT_BYTES = 2 ** 28;

/** A call below this time on one thread may pass longer ones. */
const SHORT_MS = 25;

/** The CPU backend. */
export class WasmBackend implements Backend {
  readonly name = "wasm";
  readonly #settings: WasmSettings;
  readonly #relaxed: boolean;
  readonly #wide: LoopProbe;
  readonly #fours: LoopProbe;
  readonly #memory: LinearMemory;
  readonly #kernels: KernelExports;
  readonly #crew: Crew;
  readonly #scratch: ThreadScratch;
  readonly #plans: CallPlans;
  /** Calls that are under way. */
  #active = 0;
  readonly #calls = new CallQueue(
    () => this.#crew.stop(),
    () => this.#crew.heard(),
  );

  constructor(settings: WasmSettings) {
    const { level, shared, threads } = this.#settings = settings;
    const module = settings.module ?? compileKernels(level, shared);
    this.#memory = new LinearMemory(shared, settings.memoryBudget);
    this.#scratch = new ThreadScratch(this.#memory);
    this.#kernels = instantiateKernels(module, this.#memory.memory);
    this.#plans = new CallPlans(this.#memory, this.#kernels, threads);
    this.#relaxed = this.#kernels.relaxed() === 1;
    const { probeNeighbours, probeApart: beside, probeFours } = this.#kernels;
    const known = (answer: boolean | undefined) => this.#relaxed ? answer : false;
    this.#wide = new LoopProbe({ asked: probeNeighbours, beside }, WIDE, known(settings.wide));
    this.#fours = new LoopProbe({ asked: probeFours, beside }, FOURS, known(settings.fours));
    this.#crew = new Crew(settings, module, this.#kernels, this.#memory, this.#scratch);
    this.#crew.stopWith(this);
  }

  /** As it is now: threads may turn out to be fewer than were asked for. */
  get target(): WasmTarget {
    const { threads, workers } = this.#crew, { shared } = this.#settings;
    const vectorBits = this.#wide.yes ? 256 : 128;
    const sent = workers !== undefined && { workers };
    const one = this.#fours.yes ? "one instruction" : "three instructions";
    const dots = this.#relaxed ? one : "plain SIMD", relaxedSimd = this.#relaxed;
    const { speed } = this.#wide, flops = speed && 1e3 * TURN_FLOPS * speed;
    return { backend: "wasm", threads, ...sent, relaxedSimd, vectorBits, dots, shared, flops };
  }

  /** Why there are fewer threads, or workers, than were asked for, as far as is known now. */
  get shortages(): Shortages {
    return this.#crew.shortages;
  }

  get memory(): MemoryUse {
    const { total, ...use } = this.#memory.use;
    return { total: total + this.#crew.bytes, ...use };
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
    const verdict = workersFor(problem, this.target);
    const target = { ...this.target, workers: verdict.workers };
    const fitted = this.#plans.explain({ problem, target, alone: false });
    const scratchBytes = this.scratchBytes(problem, fitted.plan), { budget } = this.#memory;
    const workers = this.target.workers !== undefined &&
      workersReason(verdict, fitted.plan.workers);
    const why = workers ? `${reason}; ${workers}` : reason;
    return explainPlan(fitted, problem, { reason: why, scratchBytes, budget });
  }

  async synchronize(): Promise<void> {
    await this.#calls.idle();
  }

  /** Stops the threads. The memory goes with the last reference to it. */
  dispose(): void {
    this.#calls.close();
    this.#memory.closed = true;
  }

  /** Bytes of scratch that each thread needs for a plan. */
  scratchBytes(problem: AttentionProblem, plan: Plan): number {
    return this.#plans.scratchBytes(problem, plan);
  }

  /** Gives back scratch of earlier calls where no call is under way and it may be in the way. */
  #makeRoom(): void {
    if (this.#active === 0 && this.#memory.room < SHORT_BYTES) this.#scratch.release();
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
      return yield* maxSimGradients(this.#memory, this.#kernels, problem, views, options.signal);
    }
    const specs = resultSpecs(problem, views), { resident, into } = options;
    const wanted = resident ? specs.map((spec) => ({ ...spec, resident })) : specs;
    const { alone } = options, planned = plannedAs(wanted, into);
    const sent = target.workers && !alone && planned.every(({ resident }) => !resident);
    const workers = sent ? workersFor(problem, target).workers : 0;
    const own = target.workers ? { ...target, workers } : target;
    const { plan, arenaBytes } = this.#plans.fit({ problem, target: own, alone, results: planned });
    if (plan.cost.flops >= LOOK_FLOPS) {
      this.#wide.look();
      if (plan.dots) this.#fours.look();
    }
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
    const share = this.#plans.share(problem, plan, options.alone);
    let staging: Staging | undefined, arena: Arena | undefined;
    try {
      this.#scratch.reserve(share.scratches, this.scratchBytes(problem, plan));
      if (arenaBytes !== undefined) arena = new Arena(this.#memory, arenaBytes);
      const heap = arena ?? this.#memory, { signal } = options;
      staging = new Staging(this.#memory, this.#kernels, heap, problem, plan, views, results);
      yield* this.#crew.run({ problem, plan, staging, share, signal });
      yield* staging.finish();
      return deliver(results, callName(problem));
    } catch (error) {
      disposeResults(results);
      throw error;
    } finally {
      staging?.dispose();
      arena?.dispose();
      letGo(results);
    }
  }
}
