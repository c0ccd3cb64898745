/** Lines for the terminal: results to stdout, the rest to stderr. */
import { formatCount } from "../byte_lm/progress.ts";
import type { Digits } from "./digits.ts";
import type { Learner } from "./learner.ts";
import { patchesOf } from "./model.ts";
import type { Options } from "./options.ts";
import type { Course } from "./train.ts";

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

/** Prints the curves side by side, a line every so many steps: means since the line before. */
export class CurvePrinter {
  readonly #every: number;
  readonly #batch: number;
  readonly #widths: readonly number[];
  #printed = 0;

  constructor(names: readonly string[], { every, batch }: { every: number; batch: number }) {
    this.#every = every;
    this.#batch = batch;
    const heads = names.flatMap((name) => [`loss, ${name}`, "pictures/s"]);
    this.#widths = heads.map((head) => head.length);
    console.log(["  step", ...heads].join("  "));
  }

  report(courses: readonly Course[]): void {
    const step = courses[0]!.losses.length;
    if (step === 1 || step % this.#every === 0) this.finish(courses);
  }

  /** The line of the last step, if it was not printed yet. */
  finish(courses: readonly Course[]): void {
    const step = courses[0]!.losses.length;
    if (step === this.#printed) return;
    const cells = courses.flatMap(({ losses, seconds }) => {
      const last = losses.slice(this.#printed);
      const loss = last.reduce((sum, one) => sum + one, 0) / last.length;
      return [loss.toFixed(5), formatCount(Math.round(step * this.#batch / seconds))];
    });
    const padded = cells.map((cell, n) => cell.padStart(this.#widths[n]!));
    console.log([formatCount(step).padStart(6), ...padded].join("  "));
    this.#printed = step;
  }
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
