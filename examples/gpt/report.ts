/** Lines for the terminal: results to stdout, the rest to stderr. */
import { formatCount } from "../byte_lm/progress.ts";
import { entropies, type Text } from "../byte_lm/text.ts";
import type { Learner } from "./learner.ts";
import type { Options } from "./options.ts";
import type { Course } from "./train.ts";

export function introduce(options: Options, text: Text, learners: readonly Learner[]): void {
  const { layers, heads, dim, context, batch, backend } = options;
  const { unigram, bigram } = entropies(text.bytes);
  const variables = learners[0]!.model.variables;
  const parameters = variables.reduce((sum, { size }) => sum + size, 0);
  console.error(`backend  TensorFlow.js on ${backend}, one thread`);
  console.error(`text     ${text.name}: ${formatCount(text.bytes.length)} bytes`);
  console.error(
    `entropy  ${bigram.toFixed(3)} nats per byte knowing the byte before, ` +
      `${unigram.toFixed(3)} not knowing it`,
  );
  console.error(
    `model    ${layers} layers, ${heads} heads, ${dim} channels, context ${
      formatCount(context)
    }: ` +
      `${formatCount(parameters)} parameters, ${formatCount(batch * context)} bytes a step`,
  );
}

/** Prints the curves side by side, a line every so many steps. */
export class CurvePrinter {
  readonly #every: number;
  readonly #widths: readonly number[];
  #printed = 0;

  constructor(names: readonly string[], every: number) {
    this.#every = every;
    const heads = names.flatMap((name) => [`loss, ${name}`, "tokens/s"]);
    this.#widths = heads.map((head) => head.length);
    console.log(["  step", ...heads].join("  "));
  }

  report(courses: readonly Course[], tokens: number): void {
    const step = courses[0]!.losses.length;
    if (step === 1 || step % this.#every === 0) this.finish(courses, tokens);
  }

  /** The line of the last step, if it was not printed yet: the mean of what was not printed. */
  finish(courses: readonly Course[], tokens: number): void {
    const step = courses[0]!.losses.length;
    if (step === this.#printed) return;
    const cells = courses.flatMap(({ losses, seconds }) => {
      const last = losses.slice(this.#printed);
      const loss = last.reduce((sum, one) => sum + one, 0) / last.length;
      return [loss.toFixed(5), formatCount(Math.round(step * tokens / seconds))];
    });
    const padded = cells.map((cell, n) => cell.padStart(this.#widths[n]!));
    console.log([formatCount(step).padStart(6), ...padded].join("  "));
    this.#printed = step;
  }
}
