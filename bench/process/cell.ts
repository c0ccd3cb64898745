/**
 * A job given to several contenders, each in its own process, taking turns: `runCell` on the CPU,
 * `runRounds` on a device.
 * @module
 */

import { inTurns, samplesFor } from "../measure/race.ts";
import { reasonOf, summarize, type Timing } from "../measure/statistics.ts";
import { milliseconds, printProgress } from "../measure/table.ts";
import type { Job, Memory } from "./job.ts";
import { ContenderProcess } from "./process.ts";

/** What one contender did with one job: a timing, or the reason why there is none. */
export interface Entry {
  readonly job: Job;
  readonly timing?: Timing;
  /** Of a sample. */
  readonly calls?: number;
  readonly error?: number;
  readonly peakBytes?: number;
  readonly own?: Readonly<Record<string, number>> | undefined;
  readonly failed?: string;
}

/** Above this a contender is wrong, not merely rounded: f32 attention of unit normals errs by 1e-6. */
export const TOLERANCE = 1e-5;

export interface CellOptions {
  /** 0: only the warm-up call, for jobs of many seconds whose memory is the question. */
  readonly samples: number;
  /** Milliseconds of timed calls for each contender. */
  readonly budgetMs: number;
  readonly warmUpMs: number;
  /** The same for jobs on several threads: a kernel may keep new threads on one core for a while. */
  readonly threadsWarmUpMs: number;
  /** Milliseconds after which a contender is given up: start, or one answer. */
  readonly limitMs: number;
}

/** Below this a sample is made of several calls, the first of which is not counted. */
const SHORTEST_SAMPLE_MS = 5;
/** The same on several threads: they have slept while the others ran (bench/README.md, Threads). */
const SHORTEST_THREADS_SAMPLE_MS = 250;
/** Time for the previous contender's worker threads to stop spinning. */
const SETTLE_MS = 15;

class Lane {
  readonly job: Job;
  readonly times: number[] = [];
  calls = 1;
  wanted = 0;
  error = NaN;
  failed = "";
  #process: ContenderProcess | undefined;

  constructor(job: Job) {
    this.job = job;
  }

  /** What failed once would fail again. A failed process may hold gigabytes: it must not outlive it. */
  async attempt(action: (process: ContenderProcess) => Promise<void>): Promise<void> {
    if (this.failed) return;
    try {
      await action(this.#process ??= new ContenderProcess(this.job));
    } catch (error) {
      this.failed = reasonOf(error);
      await this.stop();
    }
  }

  async stop(): Promise<void> {
    await this.#process?.stop();
    this.#process = undefined;
  }

  entry(more: Partial<Entry> = {}): Entry {
    const { job, calls, times, failed } = this;
    if (failed) return { job, failed };
    return { job, timing: summarize(job.contender, times), calls, ...more };
  }
}

/**
 * Runs the jobs of one cell against each other; entries come in the order of the jobs. All processes
 * are alive during the whole cell, so that every round sees the same machine.
 */
export async function runCell(jobs: readonly Job[], options: CellOptions): Promise<Entry[]> {
  const lanes = jobs.map((job) => new Lane(job)), { limitMs } = options;
  try {
    for (const lane of lanes) await lane.attempt((process) => warmUp(process, lane, options));
    const rounds = Math.max(...lanes.map((lane) => lane.wanted));
    for (const [lane, round] of inTurns(lanes, rounds)) {
      if (lane.failed || round >= lane.wanted) continue;
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      await lane.attempt(async (process) => {
        lane.times.push(await process.ask(limitMs, "time", lane.calls, lane.calls > 1));
      });
    }
    const entries: Entry[] = [];
    for (const lane of lanes) {
      let memory: Partial<Memory> = {};
      await lane.attempt(async (process) => void (memory = await process.ask(limitMs, "memory")));
      entries.push(lane.entry(memory));
    }
    return entries;
  } finally {
    for (const lane of lanes) await lane.stop();
  }
}

/** Chooses the samples of a lane. */
async function warmUp(process: ContenderProcess, lane: Lane, options: CellOptions): Promise<void> {
  const { limitMs, samples } = options;
  const [ms, shortest] = lane.job.threads > 1
    ? [options.threadsWarmUpMs, SHORTEST_THREADS_SAMPLE_MS]
    : [options.warmUpMs, SHORTEST_SAMPLE_MS];
  await process.ready(limitMs);
  const warmMs = await process.ask(limitMs, "warm", ms);
  lane.calls = Math.max(1, Math.ceil(shortest / warmMs));
  lane.wanted = samples && samplesFor(warmMs * lane.calls, options);
  if (!lane.wanted) lane.times.push(warmMs);
}

/** Samples and budget are of each round. */
export interface RoundOptions extends Pick<CellOptions, "samples" | "budgetMs"> {
  readonly rounds: number;
  /** A sample lasts as long, if that takes no more calls than a contender can hold results of. */
  readonly sampleMs: number;
}

/** A library that hangs must not hold the report. */
const LIMIT_MS = 120_000;

/**
 * Runs every job in every round, one process at a time, so that none holds the device's memory while
 * others run. A sample is many calls and one wait for the last of them: the 11 ms that Deno takes to
 * notice the end of GPU work count a little, and the same for everybody.
 */
export async function runRounds(jobs: readonly Job[], options: RoundOptions): Promise<Entry[]> {
  const lanes = jobs.map((job) => new Lane(job));
  for (const [lane, round] of inTurns(lanes, options.rounds)) {
    await lane.attempt((process) => takeTurn(process, lane, options));
    await lane.stop();
    const { job, failed, times } = lane, found = failed || milliseconds(times.at(-1) ?? NaN);
    printProgress(`${job.case.name}, round ${round + 1}`, [[job.contender, found]]);
  }
  return lanes.map((lane) => lane.entry({ error: lane.error }));
}

async function takeTurn(process: ContenderProcess, lane: Lane, options: RoundOptions) {
  const deadline = performance.now() + LIMIT_MS;
  const left = () => Math.max(1, deadline - performance.now());
  const mostCalls = await process.ready(left());
  lane.error = await process.ask(left(), "check");
  if (!(lane.error < TOLERANCE)) throw new Error(`wrong by ${lane.error}`);
  const time = (calls: number) => process.ask(left(), "time", calls, false);
  let callMs = Infinity, calls = 1;
  // A single call is mostly the wait, so a few steps until a sample is long enough.
  for (;;) {
    callMs = Math.min(callMs, await time(calls));
    if (callMs * calls >= options.sampleMs || calls >= mostCalls) break;
    const wanted = Math.ceil(options.sampleMs / callMs);
    calls = Math.min(mostCalls, Math.max(calls * 2, wanted));
  }
  const affordable = Math.floor(options.budgetMs / (callMs * calls));
  for (let i = 0; i < Math.max(1, Math.min(options.samples, affordable)); i++) {
    lane.times.push(await time(calls));
  }
  lane.calls = calls;
}
