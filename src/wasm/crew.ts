// Who computes the calls of an engine: the calling thread, threads on its memory, or workers with memories of their own.
import { type AbortSignalLike, callName } from "../backend/backend.ts";
import { type Plan, sharedItems } from "../plan/wasm/plan.ts";
import type { AttentionProblem } from "../problem/problem.ts";
import type { LinearMemory } from "./memory/linear_memory.ts";
import { compileKernels, type KernelExports } from "./module/module.ts";
import type { Shortages, WasmSettings } from "./settings.ts";
import type { Share } from "./run/call_plans.ts";
import { MessagePool } from "./run/message_pool.ts";
import { MessageRunner, runOnWorkers } from "./run/message_runner.ts";
import { Failed, type Progress } from "./run/queue.ts";
import { runRegions } from "./run/run_regions.ts";
import { LocalRunner, PoolRunner, type Runner, WorkerFailure } from "./run/runner.ts";
import type { ThreadScratch } from "./run/scratch.ts";
import type { Staging } from "./run/staging.ts";
import { ThreadPool } from "./run/threads.ts";

/** Operations from which on threads are started: about 10 ms of one thread. */
const START_FLOPS = 500e6;

/** A call whose plan is known. */
export interface PlannedCall {
  readonly problem: AttentionProblem;
  readonly plan: Plan;
  readonly staging: Staging;
  readonly share: Share;
  readonly signal: AbortSignalLike | undefined;
}

/** What can be ended in the middle. */
type Ending = Pick<Runner, "cancel" | "idle" | "dispose">;

/** Threads and workers of an engine. */
export class Crew {
  readonly #settings: WasmSettings;
  readonly #kernels: KernelExports;
  readonly #memory: LinearMemory;
  readonly #scratch: ThreadScratch;
  readonly #pool: ThreadPool | undefined;
  readonly #messages: MessagePool | undefined;
  /** Operations of the calls that would have used the pool before it was started. */
  #wanted = 0;

  constructor(
    settings: WasmSettings,
    module: WebAssembly.Module,
    kernels: KernelExports,
    memory: LinearMemory,
    scratch: ThreadScratch,
  ) {
    const { shared, level, threads, workers } = this.#settings = settings;
    this.#kernels = kernels;
    this.#memory = memory;
    this.#scratch = scratch;
    if (threads > 1) this.#pool = new ThreadPool(module, memory);
    if (!workers) return;
    const { maximum } = memory;
    this.#messages = new MessagePool(workers, () => ({
      module: shared ? compileKernels(level, false) : module, // their memories are not shared
      maximum,
    }));
  }

  /** Stops all of them when `owner` is collected. */
  stopWith(owner: object): void {
    this.#pool?.stopWith(owner);
    this.#messages?.stopWith(owner);
  }

  /** Threads that a call can count on, the calling one included. */
  get threads(): number {
    return this.#pool ? 1 + this.#pool.available(this.#settings.threads - 1) : 1;
  }

  /** Workers that a call can count on; undefined where none were asked for. */
  get workers(): number | undefined {
    return this.#settings.workers === undefined ? undefined : this.#messages?.available ?? 0;
  }

  /** Why there are fewer than were asked for, as far as is known now. */
  get shortages(): Shortages {
    const { shortage, workersMissing } = this.#settings;
    return {
      threads: this.#pool?.shortage ?? shortage,
      workers: this.#messages?.shortage ?? workersMissing,
    };
  }

  /** Bytes of the memories of workers. */
  get bytes(): number {
    return this.#messages?.bytes ?? 0;
  }

  /** Resolves after a turn of the event loop in which one of them may have said something. */
  heard(): Promise<void> {
    return this.#messages?.listening ? this.#messages.heard() : this.#pool!.heard();
  }

  /** Lets them go. */
  stop(): void {
    this.#pool?.stop();
    this.#messages?.stop();
  }

  /**
   * Starting threads takes 20 to 40 ms, more than a first small call itself: they are started for a call
   * that is long enough to gain from them, or once calls keep coming. The items are the same either way,
   * so the bits of the results do not depend on it.
   */
  #worthStarting(plan: Plan): boolean {
    if (this.#pool!.started) return true;
    this.#wanted += plan.cost.flops;
    return this.#wanted >= START_FLOPS;
  }

  *#runner(plan: Plan, { threads, long }: Share): Generator<"work", Runner, void> {
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

  /** Runs a call. */
  *run(call: PlannedCall): Progress<void> {
    let ending: Ending | undefined;
    const begun = (runner: Ending) => ending = runner;
    const sends = call.plan.workers > 0 && (yield* this.#workersUp(call));
    try {
      yield* sends ? this.#send(call, begun) : this.#runHere(call, begun);
    } catch (error) {
      ending?.cancel();
      // the caller need not wait for items that nobody wants any more, unless they write what is the caller's
      const waits = call.staging.writesGiven || error instanceof WorkerFailure;
      if (ending && !ending.idle() && !waits) yield new Failed(error);
      while (ending && !ending.idle()) yield "threads";
      if (!(error instanceof WorkerFailure)) throw error;
      const said = sends ? this.#messages!.failure : yield* this.#threadSaid();
      throw new Error(
        `Cannot run ${callName(call.problem)}: a worker ${sends ? "" : "thread "}failed (${
          said ?? "it said nothing"
        })`,
      );
    } finally {
      ending?.dispose();
    }
  }

  *#runHere(
    { plan, staging, share, signal }: PlannedCall,
    begun: (runner: Ending) => void,
  ): Progress<void> {
    const runner = yield* this.#runner(plan, share), { places } = share;
    begun(runner);
    const alone = (item: number) => this.#kernels.run(item, this.#scratch.own);
    yield* runRegions(plan.regions, { staging, runner, places, alone }, signal);
  }

  *#send(
    { problem, plan, staging, share, signal }: PlannedCall,
    begun: (runner: Ending) => void,
  ): Progress<void> {
    const runner = new MessageRunner(this.#messages!, this.#memory, staging, this.#scratch);
    begun(runner);
    const ordered = problem.pass === "backward"; // what adds up does so in one order
    yield* runOnWorkers(plan.regions, { staging, runner, places: share.places }, ordered, signal);
  }

  /** Starts workers that are missing and waits until it is known which there are; whether there are any. */
  *#workersUp({ signal }: PlannedCall): Progress<boolean> {
    const pool = this.#messages!;
    for (pool.begin(); pool.starting;) {
      signal?.throwIfAborted();
      yield "threads";
    }
    return pool.ready.length > 0;
  }

  /** What a thread said comes with a turn of the event loop. */
  *#threadSaid(): Progress<string | undefined> {
    for (let turns = 0; turns < 20 && !this.#pool!.message; turns++) yield "threads";
    return this.#pool!.message || undefined;
  }
}
