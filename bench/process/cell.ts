/**
 * A job given to several contenders, each in its own process, taking turns: `runCell` on the CPU,
 * `runRounds` on a device.
 * @module
 */

import { samplesFor } from "../measure/race.ts";
import { reasonOf, summarize, type Timing } from "../measure/statistics.ts";
import type { Job } from "./job.ts";
import { ContenderProcess } from "./process.ts";

/** What one contender did with one job: a timing, or the reason why there is none. */
export interface Entry {
  readonly job: Job;
  readonly timing?: Timing;
  /** Of a sample. */
  readonly calls?: number;
  readonly error?: number;
  readonly peakBytes?: number;
  readonly own?: Readonly<Record<string, number>>;
  readonly failed?: string;
}

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

interface Lane {
  readonly process: ContenderProcess;
  readonly times: number[];
  calls: number;
  wanted: number;
  warmMs: number;
  failed?: string;
}

/**
 * Runs the jobs of one cell against each other; entries come in the order of the jobs. All processes
 * are alive during the whole cell, so that every round sees the same machine.
 */
export async function runCell(jobs: readonly Job[], options: CellOptions): Promise<Entry[]> {
  const lanes: Lane[] = [];
  try {
    for (const job of jobs) lanes.push(await start(job, options));
    const rounds = Math.max(...lanes.map((lane) => lane.wanted));
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < lanes.length; i++) {
        const lane = lanes[(i + round) % lanes.length];
        if (lane.failed || round >= lane.wanted) continue;
        await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
        await attempt(lane, async () => {
          const discard = lane.calls > 1;
          const request = { do: "time", calls: lane.calls, discard } as const;
          lane.times.push((await lane.process.ask(request, options.limitMs)).ms ?? NaN);
        });
      }
    }
    const entries: Entry[] = [];
    for (const lane of lanes) entries.push(await finish(lane, options));
    return entries;
  } finally {
    for (const lane of lanes) await lane.process.stop();
  }
}

async function start(job: Job, options: CellOptions): Promise<Lane> {
  const process = new ContenderProcess(job);
  const lane: Lane = { process, calls: 1, wanted: 0, times: [], warmMs: NaN };
  await attempt(lane, async () => {
    await process.next(options.limitMs);
    const [ms, shortest] = job.threads > 1
      ? [options.threadsWarmUpMs, SHORTEST_THREADS_SAMPLE_MS]
      : [options.warmUpMs, SHORTEST_SAMPLE_MS];
    lane.warmMs = (await process.ask({ do: "warm", ms }, options.limitMs)).ms ?? NaN;
    lane.calls = Math.max(1, Math.ceil(shortest / lane.warmMs));
    lane.wanted = options.samples && samplesFor(lane.warmMs * lane.calls, options);
  });
  return lane;
}

async function finish(lane: Lane, options: CellOptions): Promise<Entry> {
  const { job } = lane.process;
  if (lane.failed) return { job, failed: lane.failed };
  const timing = summarize(job.contender, lane.times.length ? lane.times : [lane.warmMs]);
  const memory = await lane.process.ask({ do: "memory" }, options.limitMs);
  return { job, timing, calls: lane.calls, peakBytes: memory.peakBytes, own: memory.own };
}

async function attempt(lane: Lane, action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    lane.failed = reasonOf(error);
    // A failed process may hold gigabytes: it must not outlive its failure.
    await lane.process.stop();
  }
}

export interface RoundOptions {
  readonly rounds: number;
  /** Of each round. */
  readonly samples: number;
  readonly budgetMs: number;
  /** A sample lasts as long, if that takes no more calls than a contender can hold results of. */
  readonly sampleMs: number;
}

const TOLERANCE = 1e-5;
/** A library that hangs must not hold the report. */
const LIMIT_MS = 120_000;

/**
 * Runs every job in every round, one process at a time, so that none holds the device's memory while
 * others run. A sample is many calls and one wait for the last of them: the 11 ms that Deno takes to
 * notice the end of GPU work count a little, and the same for everybody.
 */
export async function runRounds(jobs: readonly Job[], options: RoundOptions): Promise<Entry[]> {
  const lanes = jobs.map((job) => ({
    job,
    times: [] as number[],
    calls: 1,
    error: NaN,
    failed: "",
  }));
  for (let round = 0; round < options.rounds; round++) {
    for (let i = 0; i < lanes.length; i++) {
      const lane = lanes[(i + round) % lanes.length];
      // What failed once would fail again.
      if (lane.failed) continue;
      const process = new ContenderProcess(lane.job);
      try {
        const { times, ...turn } = await takeTurn(process, options);
        lane.times.push(...times);
        Object.assign(lane, turn);
      } catch (error) {
        lane.failed = reasonOf(error);
      } finally {
        await process.stop();
      }
    }
  }
  return lanes.map(({ job, times, failed, ...rest }) =>
    failed ? { job, failed } : { job, timing: summarize(job.contender, times), ...rest }
  );
}

async function takeTurn(process: ContenderProcess, options: RoundOptions) {
  const deadline = performance.now() + LIMIT_MS;
  const left = () => Math.max(1, deadline - performance.now());
  const mostCalls = (await process.next(left())).ready?.mostCalls ?? 1;
  const error = (await process.ask({ do: "check" }, left())).error ?? NaN;
  if (!(error < TOLERANCE)) throw new Error(`wrong by ${error}`);
  const time = async (calls: number) =>
    (await process.ask({ do: "time", calls, discard: false }, left())).ms ?? NaN;
  let callMs = Infinity, calls = 1;
  // Twice as many until a sample is long enough: a single call is mostly the wait.
  for (;;) {
    callMs = Math.min(callMs, await time(calls));
    if (callMs * calls >= options.sampleMs || calls >= mostCalls) break;
    calls = Math.min(mostCalls, calls * 2);
  }
  const affordable = Math.floor(options.budgetMs / (callMs * calls));
  const samples = Math.max(1, Math.min(options.samples, affordable));
  const times: number[] = [];
  for (let i = 0; i < samples; i++) times.push(await time(calls));
  return { times, calls, error };
}
