import { Random } from "../byte_lm/random.ts";
import { letSignalsThrough } from "../transformer/interrupt.ts";
import { cutPatches, type Digits } from "./digits.ts";
import type { Learner } from "./learner.ts";

/** When to stop, whichever comes first. */
export interface Schedule {
  patch: number;
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

/** The learning rate rises for this share of the steps, then falls to 0 along half a wave. */
const RISE = 0.1;

export function shareOfRate(step: number, steps: number): number {
  const rise = Math.max(1, RISE * steps);
  if (step < rise) return (step + 1) / (rise + 1);
  return 0.5 * (1 + Math.cos(Math.PI * (step - rise) / (steps - rise)));
}

/** Trains the learners in turns, each on the same pictures; `report` hears of every step. */
export async function train(
  learners: readonly Learner[],
  digits: Digits,
  { patch, batch, steps, seconds, seed }: Schedule,
  stop: AbortSignal,
  report: (courses: readonly Course[]) => void,
): Promise<Course[]> {
  const random = new Random(seed + 1), start = performance.now();
  const courses = learners.map((): Course => ({ losses: [], seconds: 0 }));
  let order: number[] = [];
  for (let step = 0; step < steps && !stop.aborted; step++) {
    if (order.length < batch) order = [...order, ...shuffled(digits.labels.length, random)];
    const pieces = cutPatches(digits, order.splice(0, batch), patch, random);
    for (const [n, learner] of learners.entries()) {
      const before = performance.now();
      courses[n]!.losses.push(learner.step(pieces, shareOfRate(step, steps)));
      courses[n]!.seconds += (performance.now() - before) / 1000;
    }
    report(courses);
    if (performance.now() - start >= 1000 * seconds) break;
    await letSignalsThrough();
  }
  return courses;
}

/** The numbers below `count`, in another order (Fisher and Yates). */
function shuffled(count: number, random: Random): number[] {
  const order = Array.from({ length: count }, (_, n) => n);
  for (let n = count - 1; n > 0; n--) {
    const other = random.below(n + 1);
    [order[n], order[other]] = [order[other]!, order[n]!];
  }
  return order;
}
