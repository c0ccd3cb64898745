/** Lines for the terminal: results to stdout, the rest to stderr. */
import { formatCount } from "../byte_lm/progress.ts";
import type { Digits } from "./digits.ts";
import type { Learner } from "./learner.ts";
import { patchesOf } from "./model.ts";
import type { Options } from "./options.ts";

export function introduce(
  options: Options,
  digits: { training: Digits; test: Digits },
  learners: readonly Learner[],
): void {
  const { layers, heads, dim, backend, batch } = options;
  const parameters = learners[0]!.model.variables.reduce((sum, { size }) => sum + size, 0);
  const [training, test] = [digits.training, digits.test].map(({ labels }) =>
    formatCount(labels.length)
  );
  console.error(`backend  TensorFlow.js on ${backend}, one thread`);
  console.error(
    `digits   ${training} to learn from, moved by a pixel, ${test} to be tested on`,
  );
  console.error(
    `model    ${layers} layers, ${heads} heads, ${dim} channels, ${patchesOf(options)} patches: ` +
      `${formatCount(parameters)} parameters, ${batch} pictures a step`,
  );
}

/** What the models know now. */
export function reportAccuracy(learners: readonly Learner[], test: Digits): void {
  for (const learner of learners) {
    const percent = (100 * learner.accuracy(test)).toFixed(2);
    console.log(
      `accuracy on ${formatCount(test.labels.length)} digits, ${learner.name}: ${percent} %`,
    );
  }
}
