// From a problem to a plan that fits the memory of an engine, and how that plan is shared among threads.
import { callName } from "../../backend/backend.ts";
import { longestItemMs, type Plan } from "../../plan/wasm/plan.ts";
import type { WasmTarget } from "../../plan/target.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import type { LinearMemory } from "../memory/linear_memory.ts";
import type { KernelExports } from "../module/module.ts";
import { explainedPlan, fitPlan, type FittedPlan, type Frame } from "./fit.ts";
import { kernelScratch } from "./kernel_scratch.ts";
import type { Planned } from "./planned_bytes.ts";
import { programScratch, programsOf } from "./programs.ts";
import { MAX_OPEN_REGIONS } from "./runner.ts";

/** An item that takes longer is long: with a slice of a call before it, the event loop would notice. */
const LONG_MS = 6;

/** How a plan runs. */
export interface Share {
  readonly threads: number;
  /** Whether the calling thread only brings things in and out. */
  readonly long: boolean;
  /** Threads that need scratch. */
  readonly scratches: number;
  /** Regions that may be in memory at the same time. */
  readonly places: number;
}

/** A call to plan. `alone`: on the calling thread only. */
export interface Asked {
  readonly problem: AttentionProblem;
  readonly target: WasmTarget;
  readonly alone: boolean;
  readonly results?: readonly Planned[];
}

/** Regions that run one behind the other, at most: workers need some of other heads meanwhile. */
function longestChain({ regions }: Plan): number {
  let longest = 1, length = 0;
  for (const { accumulate } of regions) {
    longest = Math.max(longest, length = accumulate ? length + 1 : 1);
  }
  return longest;
}

/** The same call on one engine. */
const alone = (asked: Asked): Asked =>
  asked.target.workers ? { ...asked, target: { ...asked.target, workers: 0 } } : asked;

/** The plans of an engine. */
export class CallPlans {
  readonly #memory: LinearMemory;
  readonly #kernels: KernelExports;
  /** Threads that the engine has at most. */
  readonly #threads: number;

  constructor(memory: LinearMemory, kernels: KernelExports, threads: number) {
    this.#memory = memory;
    this.#kernels = kernels;
    this.#threads = threads;
  }

  /** Bytes of scratch that each thread needs for a plan. */
  scratchBytes(problem: AttentionProblem, plan: Plan): number {
    const programs = programsOf(problem, plan);
    return kernelScratch(this.#kernels, problem, plan) +
      (programs.length && programScratch(programs));
  }

  /** How a plan runs; `alone`: on the calling thread only. */
  share(problem: AttentionProblem, plan: Plan, alone: boolean): Share {
    const threads = alone ? 1 : Math.min(plan.threads, this.#threads);
    const long = threads > 1 && longestItemMs(problem, plan) > LONG_MS;
    const shared = threads === 1 || plan.limits ? 1 : Math.min(threads + 1, MAX_OPEN_REGIONS);
    const places = plan.workers > 0 ? 2 * plan.workers * longestChain(plan) : shared;
    return { threads, long, places, scratches: long ? threads + 1 : threads };
  }

  #frame({ alone, ...asked }: Asked): Frame {
    const { problem } = asked;
    return {
      ...asked,
      room: this.#memory.room,
      scratchBytes: (plan) => this.scratchBytes(problem, plan),
      scratches: (plan) => this.share(problem, plan, alone).scratches,
      open: (plan) => this.share(problem, plan, alone).places,
    };
  }

  /** The plan of a call for workers, where the budget has room for the images of this memory that they have. */
  #onWorkers(asked: Asked): FittedPlan | undefined {
    if (!asked.target.workers) return undefined;
    const fitted = explainedPlan(this.#frame(asked)), { workers } = fitted.plan;
    const { use: { total, used }, budget } = this.#memory;
    const bytes = Math.max(total, used + fitted.peakBytes);
    return workers > 0 && fitted.fits && (1 + workers) * bytes <= budget ? fitted : undefined;
  }

  /** The plan of a call that fits the memory. Throws where none does. */
  fit(asked: Asked): FittedPlan {
    const shared = this.#onWorkers(asked);
    if (shared) return shared;
    const frame = this.#frame(alone(asked)), fitted = fitPlan(frame);
    if (!fitted.fits) this.#refuse(callName(asked.problem), fitted.peakBytes);
    return fitted;
  }

  /** The same for explain(), which tells of a plan that does not fit too. */
  explain(asked: Asked): FittedPlan {
    return this.#onWorkers(asked) ?? explainedPlan(this.#frame(alone(asked)));
  }

  /** Throws where there are not so many bytes for a call without a plan. */
  require(call: string, bytes: number): void {
    if (bytes > this.#memory.room) this.#refuse(call, bytes);
  }

  /** Throws what a call gets that takes more bytes than there are. */
  #refuse(call: string, bytes: number): never {
    const { budget, room } = this.#memory;
    throw new RangeError(
      `Cannot run ${call}: it takes ${bytes} bytes of engine memory at least, and memoryBudget is ` +
        `${budget}, of which ${room} are left in one piece; a memoryBudget of ` +
        `${this.#memory.budgetFor(bytes)} is enough`,
    );
  }
}
