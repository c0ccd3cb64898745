/**
 * Contenders on a device, in processes of their own, one at a time, in several rounds: a noisy
 * stretch of the machine hits all of them, and none holds the device's memory while others run.
 *
 * A sample is many calls and one wait for the last of them, so that the 11 ms that Deno takes to
 * notice the end of GPU work count a little, and the same for everybody.
 * @module
 */

import { reasonOf, summarize } from "../measure/statistics.ts";
import type { Entry } from "./cell.ts";
import type { Job } from "./job.ts";
import { ContenderProcess } from "./process.ts";

export interface RoundOptions {
  readonly rounds: number;
  /** Of each round. */
  readonly samples: number;
  readonly budgetMs: number;
  /** A sample lasts as long, if that takes no more calls than a contender can hold results of. */
  readonly sampleMs: number;
}

/** What one process did: milliseconds of one call by sample, and calls of a sample. */
interface Turn {
  readonly times: readonly number[];
  readonly calls: number;
  readonly error: number;
}

const TOLERANCE = 1e-5;
/** A library that hangs must not hold the report. */
const LIMIT_MS = 120_000;

/** Runs every job in every round; outcomes come in the order of the jobs. */
export async function runRounds(jobs: readonly Job[], options: RoundOptions): Promise<Entry[]> {
  const lanes = jobs.map((job) => ({ job, turns: [] as Turn[], failed: "" }));
  for (let round = 0; round < options.rounds; round++) {
    for (let i = 0; i < lanes.length; i++) {
      const lane = lanes[(i + round) % lanes.length];
      // What failed once would fail again.
      if (lane.failed) continue;
      const process = new ContenderProcess(lane.job);
      try {
        lane.turns.push(await turn(process, options));
      } catch (error) {
        lane.failed = reasonOf(error);
      } finally {
        await process.stop();
      }
    }
  }
  return lanes.map(({ job, turns, failed }) => {
    if (failed) return { job, failed };
    const times = turns.flatMap((turn) => turn.times);
    const [{ calls, error }] = turns;
    return { job, timing: summarize(job.contender, times), calls, error };
  });
}

async function turn(process: ContenderProcess, options: RoundOptions): Promise<Turn> {
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
