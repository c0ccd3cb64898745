import { parseArgs } from "node:util";
import { oneOf, positive, whole } from "../flags.ts";
import { ATTENTION_HELP, type AttentionName, parseAttention } from "../transformer/attention.ts";
import type { BackendName } from "../transformer/backend.ts";
import { SIDE } from "./digits.ts";
import type { LearnerOptions } from "./learner.ts";

export interface Options extends LearnerOptions {
  attention: AttentionName[];
  backend: BackendName;
  batch: number;
  steps: number;
  seconds: number;
  every: number;
}

export const HELP: string =
  `Trains a vision transformer in TensorFlow.js on handwritten digits (MNIST), with this library's
attention, with attention as it is usually written, or with both in turns, and tests it on digits
that it has not seen.

Usage: deno task vit [options]

Model
  --patch N         pixels of a patch each way: a divisor of ${SIDE} (default 7: 16 patches)
  --layers N        layers (default 2)
  --heads N         heads a layer (default 4)
  --dim N           channels; a multiple of the heads (default 48)

Attention
${ATTENTION_HELP}

Training
  --batch N         pictures a step (default 25)
  --steps N         stop after so many steps (default 1000)
  --seconds N       or after so many seconds (default 600)
  --rate X          highest learning rate (default 0.003)
  --seed N          repeat a run's random numbers (default 1)
  --every N         steps between lines (default 100)

Other
  --backend NAME    of TensorFlow.js: wasm or cpu (default wasm)
  --help            this page

The table goes to stdout, all else to stderr. Ctrl-C ends the training early.`;

/** Reads the command line; undefined when it asks for help. Throws with a sentence for people. */
export function parseOptions(args: string[]): Options | undefined {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args,
    options: {
      patch: text,
      layers: text,
      heads: text,
      dim: text,
      attention: text,
      batch: text,
      steps: text,
      seconds: text,
      rate: text,
      seed: text,
      every: text,
      backend: text,
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) return undefined;
  const options: Options = {
    patch: whole("patch", values.patch, 7, 1),
    layers: whole("layers", values.layers, 2, 1),
    heads: whole("heads", values.heads, 4, 1),
    dim: whole("dim", values.dim, 48, 1),
    attention: parseAttention(values.attention),
    batch: whole("batch", values.batch, 25, 1),
    steps: whole("steps", values.steps, 1000, 1),
    seconds: positive("seconds", values.seconds, 600),
    rate: positive("rate", values.rate, 0.003),
    seed: whole("seed", values.seed, 1, 0),
    every: whole("every", values.every, 100, 1),
    backend: oneOf("backend", values.backend, ["wasm", "cpu"]),
  };
  const { dim, heads, patch } = options;
  if (dim % heads !== 0) {
    throw new RangeError(
      `Cannot split --dim ${dim} over --heads ${heads}: expected a multiple of ${heads}`,
    );
  }
  if (SIDE % patch !== 0) {
    throw new RangeError(`Cannot cut --patch ${patch}: expected a divisor of ${SIDE}`);
  }
  return options;
}
