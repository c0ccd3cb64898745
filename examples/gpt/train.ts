import { Random } from "../byte_lm/random.ts";
import { randomBatch, type Text } from "../byte_lm/text.ts";
import { letSignalsThrough } from "../transformer/interrupt.ts";
import type { Learner } from "./learner.ts";

/** When to stop, whichever comes first. */
export interface Schedule {
  context: number;
  batch: number;
  steps: number;
  seconds: number;
  seed: number;
}

/** What one learner did so far. */
export interface Course {
  losses: number[];
  seconds: number;
}

/** Trains the learners in turns, each on the same text; `report` hears of every step. */
export async function train(
  learners: readonly Learner[],
  text: Text,
  { context, batch, steps, seconds, seed }: Schedule,
  stop: AbortSignal,
  report: (courses: readonly Course[]) => void,
): Promise<Course[]> {
  const random = new Random(seed + 1), start = performance.now();
  const courses = learners.map((): Course => ({ losses: [], seconds: 0 }));
  for (let step = 0; step < steps && !stop.aborted; step++) {
    const pieces = randomBatch(text.training, batch, context, random);
    for (const [n, learner] of learners.entries()) {
      const before = performance.now();
      courses[n]!.losses.push(learner.step(pieces));
      courses[n]!.seconds += (performance.now() - before) / 1000;
    }
    report(courses);
    if (performance.now() - start >= 1000 * seconds) break;
    await letSignalsThrough();
  }
  return courses;
}
