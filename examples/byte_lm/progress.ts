/** Lines for the terminal. */
import type { Engine } from "../../mod.ts";
import type { ModelShape } from "./parameters.ts";
import { type History, recentLoss } from "./train.ts";

const HEADER =
  "  step    time    loss  held-out  tokens/s  in attention  attention holds    N×N would";

/** Seconds between lines at first, when the loss falls fast, and later. */
const EARLY_PAUSE = 1, LATE_PAUSE = 5, EARLY_UNTIL = 6;

/** Prints a line now and then while training. */
export class ProgressPrinter {
  readonly #engine: Engine;
  readonly #saved: number;
  readonly #quadratic: number;
  #nextLineAt = 0;
  #printedSteps = 0;

  constructor(engine: Engine, shape: ModelShape, batch: number) {
    this.#engine = engine;
    this.#saved = savedBytes(shape, batch);
    this.#quadratic = quadraticBytes(shape, batch);
    console.log(HEADER);
  }

  report(history: History): void {
    if (history.seconds < this.#nextLineAt) return;
    const pause = history.seconds < EARLY_UNTIL ? EARLY_PAUSE : LATE_PAUSE;
    this.#nextLineAt = history.seconds + pause;
    this.finish(history);
  }

  /** The line of the last step, if it was not printed yet. */
  finish(history: History): void {
    const step = history.training.length;
    if (step === this.#printedSteps) return;
    // The mean since the last line, so that no line hides a step.
    const loss = recentLoss(history, step - this.#printedSteps);
    this.#printedSteps = step;
    console.log([
      formatCount(step).padStart(6),
      `${history.seconds.toFixed(1)} s`.padStart(6),
      loss.toFixed(3).padStart(6),
      (history.heldOut.at(-1)?.loss ?? NaN).toFixed(3).padStart(8),
      formatCount(Math.round(history.bytesTrained / history.seconds)).padStart(
        8,
      ),
      `${Math.round(100 * history.attentionShare)} %`.padStart(12),
      formatBytes(this.#engine.memory.peak + this.#saved).padStart(15),
      formatBytes(this.#quadratic).padStart(11),
    ].join("  "));
  }
}

/** What the backward pass needs beside q, k, v and out: one float32 a row of queries (lse). */
function savedBytes(
  { layers, heads, context }: ModelShape,
  batch: number,
): number {
  return layers * batch * heads * context * 4;
}

/** What it would need if the forward pass kept its probabilities, one float32 a pair. */
function quadraticBytes(shape: ModelShape, batch: number): number {
  return savedBytes(shape, batch) * shape.context;
}

export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const unit = Math.min(
    units.length - 1,
    Math.floor(Math.log2(Math.max(1, bytes)) / 10),
  );
  const value = bytes / 1024 ** unit;
  return `${value.toFixed(value < 10 && unit > 0 ? 1 : 0)} ${units[unit]}`;
}

export function formatCount(count: number): string {
  return count.toLocaleString("en-GB");
}
