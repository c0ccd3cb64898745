/**
 * Contenders timed against each other in one run. They take turns, so that a noisy stretch of the
 * machine hits all of them, and ratios of medians stay meaningful.
 * @module
 */

import { reasonOf, summarize, type Timing } from "./statistics.ts";

/** Something to time: the clock on the wall calls `run`, that of a GPU records launches. */
export interface Work {
  readonly name: string;
  /** One whole call. */
  run?(): void | Promise<void>;
  /** Puts one launch into a pass. */
  record?(pass: GPUComputePassEncoder): void;
  /** After each sample on a GPU: frees what its launches left behind. */
  settle?(): void;
}

export interface RaceOptions {
  /** Samples wanted of each contender. */
  readonly samples?: number;
  /** Milliseconds each contender may spend; fewer samples are taken where that is too little. */
  readonly budgetMs?: number;
  /** Milliseconds of untimed calls first, so that V8 has replaced its baseline code. */
  readonly warmUpMs?: number;
}

/** How work is timed: see wall_clock.ts and gpu_clock.ts. */
export interface Clock {
  /** One call that is not timed; rejects with what goes wrong in it. */
  attempt(work: Work): Promise<void>;
  /** Warms up, and chooses the calls of a sample. */
  prepare(work: Work, options: Required<RaceOptions>): Promise<{ calls: number; callMs: number }>;
  /** Milliseconds of one call, averaged over those of a sample. */
  measure(work: Work, calls: number): Promise<number>;
}

const DEFAULTS: Required<RaceOptions> = { samples: 9, budgetMs: 6000, warmUpMs: 250 };

/** Times every piece of work, taking turns; the timings come in the order of the works. */
export async function race<const Works extends readonly Work[]>(
  clock: Clock,
  works: Works,
  options: RaceOptions = {},
): Promise<{ -readonly [n in keyof Works]: Timing }> {
  const settings = { ...DEFAULTS, ...options };
  const lanes: { work: Work; calls: number; wanted: number; times: number[] }[] = [];
  for (const work of works) {
    const { calls, callMs } = await clock.prepare(work, settings);
    lanes.push({ work, calls, wanted: samplesFor(callMs * calls, settings), times: [] });
  }
  const rounds = Math.max(0, ...lanes.map((lane) => lane.wanted));
  for (const [lane, round] of inTurns(lanes, rounds)) {
    if (round < lane.wanted) lane.times.push(await clock.measure(lane.work, lane.calls));
  }
  const timings = lanes.map((lane) => summarize(lane.work.name, lane.times));
  return timings as { -readonly [n in keyof Works]: Timing };
}

/** Everyone once a round; another one starts each: nobody always runs after the same neighbour. */
export function* inTurns<Lane>(
  lanes: readonly Lane[],
  rounds: number,
): Generator<readonly [lane: Lane, round: number]> {
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < lanes.length; i++) yield [lanes[(i + round) % lanes.length]!, round];
  }
}

/** How many samples of that length to take: more when they are cheap, fewer past the budget. */
export function samplesFor(sampleMs: number, options: RaceOptions = {}): number {
  const { samples, budgetMs } = { ...DEFAULTS, ...options };
  const affordable = Math.max(1, Math.floor(budgetMs / sampleMs));
  const wanted = sampleMs < 30 ? samples * 3 : samples;
  return Math.min(wanted, affordable);
}

/** A contender that is verified as well as timed. */
export interface Entrant {
  readonly name: string;
  /** Errors above it are more than rounding. */
  readonly tolerance: number;
  /** May reject: the reason is kept. */
  create(): Runner | Promise<Runner>;
}

export interface Runner {
  readonly work: Work;
  /** Error of what the last call computed. */
  error(): number | Promise<number>;
  dispose?(): unknown;
}

/** A timing and the error of the timed output, or why there is none. */
export interface Outcome {
  readonly name: string;
  readonly timing?: Timing | undefined;
  readonly error: number;
  readonly failed?: string | undefined;
}

/**
 * Outcomes in the order of the entrants. One that fails or computes something wrong is left out with
 * its reason; the others are timed all the same.
 */
export async function raceVerified(
  clock: Clock,
  entrants: readonly Entrant[],
  options: RaceOptions,
): Promise<Outcome[]> {
  const lanes: { entrant: Entrant; runner?: Runner; failed?: string }[] = [];
  for (const entrant of entrants) {
    try {
      const runner = await entrant.create();
      await clock.attempt(runner.work);
      lanes.push({ entrant, runner });
    } catch (error) {
      lanes.push({ entrant, failed: reasonOf(error) });
    }
  }
  const runners = lanes.flatMap(({ runner }) => runner ? [runner] : []);
  const timings = await race(clock, runners.map(({ work }) => work), options);
  const outcomes: Outcome[] = [];
  for (const { entrant: { name, tolerance }, runner, failed } of lanes) {
    const error = runner ? await runner.error() : NaN;
    const wrong = runner && !(error <= tolerance) ? `wrong by ${error}` : undefined;
    const timing = runner && !wrong ? timings[runners.indexOf(runner)] : undefined;
    outcomes.push({ name, timing, error, failed: failed ?? wrong });
  }
  for (const runner of runners) runner.dispose?.();
  return outcomes;
}
