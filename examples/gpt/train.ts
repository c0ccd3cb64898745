import { Random } from "../byte_lm/random.ts";
import { randomBatch, type Text } from "../byte_lm/text.ts";
import { type Course, type Limits, trainInTurns } from "../transformer/turns.ts";
import type { Learner } from "./learner.ts";

export interface Schedule extends Limits {
  context: number;
  batch: number;
  seed: number;
}

/** Trains the learners in turns, each on the same text; `report` hears of every step. */
export function train(
  learners: readonly Learner[],
  text: Text,
  { context, batch, seed, ...limits }: Schedule,
  stop: AbortSignal,
  report: (courses: readonly Course[]) => void,
): Promise<Course[]> {
  const random = new Random(seed + 1);
  return trainInTurns(learners, limits, stop, {
    prepare: () => randomBatch(text.training, batch, context, random),
    learn: (learner, pieces) => learner.step(pieces),
  }, report);
}
