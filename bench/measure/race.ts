/**
 * Timing of several contenders against each other in one run. Contenders take turns, so a noisy
 * stretch of the machine hits all of them, and ratios of medians stay meaningful.
 * @module
 */

/** Something that can be timed: `run` is one whole call. */
export interface Contender {
  readonly name: string;
  run(): void | Promise<void>;
}

/** What is kept of one contender's samples. Times are milliseconds of one call. */
export interface Timing {
  readonly name: string;
  readonly medianMs: number;
  readonly minMs: number;
  /** Interquartile range over the median: above about 0.1 the machine was not quiet. */
  readonly spread: number;
  readonly samples: number;
}

export interface RaceOptions {
  /** Samples wanted of each contender. */
  readonly samples?: number;
  /** Milliseconds each contender may spend; fewer samples are taken where that is too little. */
  readonly budgetMs?: number;
  /** Milliseconds of untimed calls first, so that V8 has replaced its baseline code. */
  readonly warmUpMs?: number;
}

/** Samples shorter than this are made of several calls: one call would measure the clock. */
const SHORTEST_SAMPLE_MS = 2;

const DEFAULTS: Required<RaceOptions> = { samples: 9, budgetMs: 6000, warmUpMs: 250 };

/** Budgets for a look rather than a result. */
export const QUICK: RaceOptions = { samples: 3, budgetMs: 600, warmUpMs: 150 };

/** Times every contender, taking turns; the timings come in the order of the contenders. */
export async function race(
  contenders: readonly Contender[],
  options: RaceOptions = {},
): Promise<Timing[]> {
  const settings = { ...DEFAULTS, ...options };
  const lanes: Lane[] = [];
  for (const contender of contenders) lanes.push(await prepare(contender, settings));
  const rounds = Math.max(...lanes.map((lane) => lane.wanted));
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < lanes.length; i++) {
      // Another one starts each round: nobody always runs after the same neighbour.
      const lane = lanes[(i + round) % lanes.length];
      if (round < lane.wanted) lane.times.push(await sample(lane.contender, lane.batch));
    }
  }
  return lanes.map((lane) => summarize(lane.contender.name, lane.times));
}

/** Times one contender alone. */
export async function timeAlone(
  name: string,
  run: () => void | Promise<void>,
  options: RaceOptions = {},
): Promise<Timing> {
  const [timing] = await race([{ name, run }], options);
  return timing;
}

interface Lane {
  readonly contender: Contender;
  readonly batch: number;
  readonly wanted: number;
  readonly times: number[];
}

async function prepare(contender: Contender, settings: Required<RaceOptions>): Promise<Lane> {
  let callMs = await sample(contender, 1);
  // A call that takes a large part of the budget is warm enough after it.
  if (callMs < settings.budgetMs / 4) {
    const start = performance.now();
    do {
      callMs = Math.min(callMs, await sample(contender, 1));
    } while (performance.now() - start < settings.warmUpMs);
  }
  const batch = Math.max(1, Math.ceil(SHORTEST_SAMPLE_MS / Math.max(callMs, 1e-4)));
  return { contender, batch, wanted: samplesFor(callMs * batch, settings), times: [] };
}

/** How many samples of that length to take: more when they are cheap, fewer past the budget. */
export function samplesFor(sampleMs: number, options: RaceOptions = {}): number {
  const { samples, budgetMs } = { ...DEFAULTS, ...options };
  const affordable = Math.max(1, Math.floor(budgetMs / sampleMs));
  const wanted = sampleMs < 30 ? samples * 3 : samples;
  return Math.min(wanted, affordable);
}

async function sample(contender: Contender, calls: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < calls; i++) {
    const pending = contender.run();
    // Awaiting nothing would still cost a turn of the microtask queue.
    if (pending instanceof Promise) await pending;
  }
  return (performance.now() - start) / calls;
}

/** Median, minimum and spread of a list of times. */
export function summarize(name: string, times: readonly number[]): Timing {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))];
  const medianMs = at(0.5);
  const spread = (at(0.75) - at(0.25)) / medianMs;
  return { name, medianMs, minMs: sorted[0], spread, samples: sorted.length };
}
