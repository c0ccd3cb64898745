import { Random } from "../byte_lm/random.ts";
import { type Course, type Limits, trainInTurns } from "../transformer/turns.ts";
import { cutPatches, type Digits } from "./digits.ts";
import type { Learner } from "./learner.ts";

export interface Schedule extends Limits {
  patch: number;
  batch: number;
  seed: number;
}

/** The learning rate rises for this share of the steps, then falls to 0 along half a wave. */
const RISE = 0.1;

export function shareOfRate(step: number, steps: number): number {
  const rise = Math.max(1, RISE * steps);
  if (step < rise) return (step + 1) / (rise + 1);
  return 0.5 * (1 + Math.cos(Math.PI * (step - rise) / (steps - rise)));
}

/** Trains the learners in turns, each on the same pictures; `report` hears of every step. */
export function train(
  learners: readonly Learner[],
  digits: Digits,
  { patch, batch, seed, ...limits }: Schedule,
  stop: AbortSignal,
  report: (courses: readonly Course[]) => void,
): Promise<Course[]> {
  const random = new Random(seed + 1);
  let order: number[] = [];
  const prepare = () => {
    if (order.length < batch) order = [...order, ...shuffled(digits.labels.length, random)];
    return cutPatches(digits, order.splice(0, batch), patch, random);
  };
  return trainInTurns(learners, limits, stop, {
    prepare,
    learn: (learner, pieces, step) => learner.step(pieces, shareOfRate(step, limits.steps)),
  }, report);
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
