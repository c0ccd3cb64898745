/**
 * Contenders on one device that are verified as well as timed. One that fails or computes something
 * wrong is left out with its reason; the others are timed all the same.
 * @module
 */

import type { RaceOptions, Timing } from "./race.ts";
import { type GpuClock, type GpuWork, raceOnGpu } from "./gpu_clock.ts";
import { reasonOf } from "../gpu/context.ts";
import { checked } from "./gpu_device.ts";

export interface Runner {
  readonly work: GpuWork;
  /** Error of what the last launch computed. */
  error(): number | Promise<number>;
  dispose?(): void;
}

export interface Entrant {
  /** Errors above it are more than rounding. */
  readonly tolerance: number;
  /** May reject: the reason is kept. */
  create(): Runner | Promise<Runner>;
}

/** A timing and the error of the timed output, or why there is none. */
export interface Outcome {
  readonly timing?: Timing;
  readonly error: number;
  readonly failed?: string;
}

/** Outcomes come in the order of the entrants. */
export async function raceVerified(
  clock: GpuClock,
  entrants: readonly Entrant[],
  options: RaceOptions,
): Promise<Outcome[]> {
  const lanes: { runner?: Runner; failed?: string }[] = [];
  for (const entrant of entrants) lanes.push(await start(clock, entrant));
  const runners = lanes.flatMap(({ runner }) => runner ? [runner] : []);
  const timings = await raceOnGpu(clock, runners.map(({ work }) => work), options);
  const outcomes: Outcome[] = [];
  for (const [i, { runner, failed }] of lanes.entries()) {
    if (!runner) {
      outcomes.push({ failed, error: NaN });
      continue;
    }
    const error = await runner.error();
    const timing = timings[runners.indexOf(runner)];
    const good = error <= entrants[i].tolerance;
    outcomes.push(good ? { timing, error } : { error, failed: `wrong by ${error}` });
  }
  for (const runner of runners) runner.dispose?.();
  return outcomes;
}

async function start(
  clock: GpuClock,
  entrant: Entrant,
): Promise<{ runner?: Runner; failed?: string }> {
  try {
    const runner = await entrant.create();
    await checked(clock.device, () => clock.measure(runner.work, 1));
    return { runner };
  } catch (error) {
    return { failed: reasonOf(error) };
  }
}

/** Milliseconds of an outcome, or NaN. */
export function msOf(outcome: Outcome | undefined): number {
  return outcome?.timing?.medianMs ?? NaN;
}
