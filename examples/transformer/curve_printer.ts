import { formatCount } from "../byte_lm/progress.ts";
import type { Course } from "./turns.ts";

/** What a step has of, for a column of speed. */
export interface Amount {
  /** Such as "tokens". */
  unit: string;
  /** How many of them a step has. */
  each: number;
}

/** Prints the curves side by side, a line every so many steps: means since the line before. */
export class CurvePrinter {
  readonly #every: number;
  readonly #each: number;
  readonly #widths: readonly number[];
  #printed = 0;

  constructor(names: readonly string[], every: number, { unit, each }: Amount) {
    this.#every = every;
    this.#each = each;
    const heads = names.flatMap((name) => [`loss, ${name}`, `${unit}/s`]);
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
      return [loss.toFixed(5), formatCount(Math.round(step * this.#each / seconds))];
    });
    const padded = cells.map((cell, n) => cell.padStart(this.#widths[n]!));
    console.log([formatCount(step).padStart(6), ...padded].join("  "));
    this.#printed = step;
  }
}
