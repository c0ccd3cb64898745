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

/** Calls that are timed together. */
export interface Sample {
  readonly work: Work;
  readonly calls: number;
  /** What one of them takes, roughly. */
  readonly callMs: number;
}

/** How work is timed: see wall_clock.ts and gpu_clock.ts. */
export interface Clock {
  /** Warms up, and chooses the calls of a sample; rejects with what goes wrong in the first. */
  prepare(work: Work, options: Required<RaceOptions>): Promise<Sample>;
  /** Takes samples in that order: milliseconds of one call of each, averaged over its calls. */
  measure(samples: readonly Sample[]): Promise<number[]>;
}

const DEFAULTS: Required<RaceOptions> = { samples: 9, budgetMs: 6000, warmUpMs: 250 };

/** Times every piece of work, taking turns; the timings come in the order of the works. */
export async function race<const Works extends readonly Work[]>(
  clock: Clock,
  works: Works,
  options: RaceOptions = {},
): Promise<{ -readonly [n in keyof Works]: Timing }> {
  const samples: Sample[] = [];
  for (const work of works) samples.push(await clock.prepare(work, { ...DEFAULTS, ...options }));
  const timings = await timeInTurns(clock, samples, options);
  return timings as { -readonly [n in keyof Works]: Timing };
}

/** Takes the samples that were prepared as often as wanted. */
async function timeInTurns(
  clock: Clock,
  samples: readonly Sample[],
  options: RaceOptions,
): Promise<Timing[]> {
  const lanes = samples.map((sample) => {
    const wanted = samplesFor(sample.callMs * sample.calls, options);
    return { sample, wanted, times: [] as number[] };
  });
  const rounds = Math.max(0, ...lanes.map((lane) => lane.wanted));
  const turns = [...inTurns(lanes, rounds)].filter(([lane, round]) => round < lane.wanted);
  const times = await clock.measure(turns.map(([lane]) => lane.sample));
  turns.forEach(([lane], n) => lane.times.push(times[n]!));
  return lanes.map(({ sample, times }) => summarize(sample.work.name, times));
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
  const samples: Sample[] = [];
  for (const entrant of entrants) {
    try {
      const runner = await entrant.create();
      samples.push(await clock.prepare(runner.work, { ...DEFAULTS, ...options }));
      lanes.push({ entrant, runner });
    } catch (error) {
      lanes.push({ entrant, failed: reasonOf(error) });
    }
  }
  const runners = lanes.flatMap(({ runner }) => runner ? [runner] : []);
  const timings = await timeInTurns(clock, samples, options);
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
