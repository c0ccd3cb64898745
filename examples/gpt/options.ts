import { parseArgs } from "node:util";
import { oneOf, positive, whole } from "../flags.ts";
import { ATTENTION_HELP, type AttentionName, parseAttention } from "../transformer/attention.ts";
import type { BackendName } from "../transformer/backend.ts";
import type { LearnerOptions } from "./learner.ts";

export interface Options extends LearnerOptions {
  file: string | undefined;
  attention: AttentionName[];
  backend: BackendName;
  batch: number;
  steps: number;
  seconds: number;
  every: number;
  compare: boolean;
}

export const HELP: string =
  `Trains a model of GPT-2's shape in TensorFlow.js on the bytes of a text file, with this
library's attention, with attention as it is usually written, or with both in turns.

Usage: deno task gpt [FILE] [options]     (FILE: default this project's own pages,
                                            with Debian's licences where they are)

Model
  --context N       bytes the model sees at once (default 256)
  --layers N        layers (default 4)
  --heads N         heads a layer (default 4)
  --dim N           channels; a multiple of the heads (default 128)

Attention
${ATTENTION_HELP}

Training
  --batch N         pieces of text a step (default 1)
  --steps N         stop after so many steps (default 200)
  --seconds N       or after so many seconds (default 600)
  --rate X          learning rate (default 0.001)
  --seed N          repeat a run's random numbers (default 1)
  --recompute       run each half of a layer again for its gradients: less memory, more time
  --every N         steps between lines (default 10)

Other
  --backend NAME    of TensorFlow.js: wasm or cpu (default wasm)
  --compare         measure steps of all three kinds of attention in turns, and print their
                    speed and memory instead of training
  --help            this page

The table goes to stdout, all else to stderr. Ctrl-C ends the training early.`;

/** Reads the command line; undefined when it asks for help. Throws with a sentence for people. */
export function parseOptions(args: string[]): Options | undefined {
  const text = { type: "string" } as const, flag = { type: "boolean" } as const;
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      context: text,
      layers: text,
      heads: text,
      dim: text,
      attention: text,
      batch: text,
      steps: text,
      seconds: text,
      rate: text,
      seed: text,
      recompute: flag,
      every: text,
      backend: text,
      compare: flag,
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) return undefined;
  if (positionals.length > 1) {
    throw new RangeError(`Cannot train on ${positionals.length} files: name one`);
  }
  const options: Options = {
    file: positionals[0],
    context: whole("context", values.context, 256, 8),
    layers: whole("layers", values.layers, 4, 1),
    heads: whole("heads", values.heads, 4, 1),
    dim: whole("dim", values.dim, 128, 1),
    attention: parseAttention(values.attention),
    batch: whole("batch", values.batch, 1, 1),
    steps: whole("steps", values.steps, 200, 1),
    seconds: positive("seconds", values.seconds, 600),
    rate: positive("rate", values.rate, 0.001),
    seed: whole("seed", values.seed, 1, 0),
    recompute: values.recompute ?? false,
    every: whole("every", values.every, 10, 1),
    backend: oneOf("backend", values.backend, ["wasm", "cpu"]),
    compare: values.compare ?? false,
  };
  const { dim, heads, compare } = options;
  if (dim % heads !== 0) {
    throw new RangeError(
      `Cannot split --dim ${dim} over --heads ${heads}: expected a multiple of ${heads}`,
    );
  }
  if (compare && options.backend !== "wasm") {
    throw new RangeError(`Cannot --compare on --backend ${options.backend}: its heap is not known`);
  }
  return options;
}
