import { letSignalsThrough } from "./interrupt.ts";

/** When to stop, whichever comes first. */
export interface Limits {
  steps: number;
  seconds: number;
}

/** What one learner did so far. */
export interface Course {
  losses: number[];
  seconds: number;
}

/**
 * Trains the learners in turns: `prepare` makes what a step is made on, `learn` makes a learner take it and returns its loss;
 * `report` hears of every step.
 */
export async function trainInTurns<Learner, Pieces>(
  learners: readonly Learner[],
  { steps, seconds }: Limits,
  stop: AbortSignal,
  { prepare, learn }: {
    prepare: () => Pieces;
    learn: (learner: Learner, pieces: Pieces, step: number) => number;
  },
  report: (courses: readonly Course[]) => void,
): Promise<Course[]> {
  const start = performance.now();
  const courses = learners.map((): Course => ({ losses: [], seconds: 0 }));
  for (let step = 0; step < steps && !stop.aborted; step++) {
    const pieces = prepare();
    for (const [n, learner] of learners.entries()) {
      const before = performance.now();
      courses[n]!.losses.push(learn(learner, pieces, step));
      courses[n]!.seconds += (performance.now() - before) / 1000;
    }
    report(courses);
    if (performance.now() - start >= 1000 * seconds) break;
    await letSignalsThrough();
  }
  return courses;
}
