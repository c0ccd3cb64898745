import { parseArgs } from "node:util";
import { atLeastZero, oneOf, positive, whole } from "../flags.ts";

export type BackendChoice = "auto" | "wasm" | "webgpu";

export interface Options {
  file: string | undefined;
  context: number;
  layers: number;
  heads: number;
  kvHeads: number;
  dim: number;
  batch: number;
  steps: number;
  seconds: number;
  rate: number;
  threads: number | undefined;
  backend: BackendChoice;
  prompt: string | undefined;
  bytes: number;
  temperature: number;
  out: string;
  seed: number;
}

export const HELP =
  `Trains a small attention-only language model on the bytes of a text file, continues a
prompt with it, and draws its loss curve and its attention map.

Usage: deno task demo [FILE] [options]     (FILE: default this project's own pages)

Model
  --context N       bytes the model sees at once (default 512)
  --layers N        attention layers (default 2)
  --heads N         query heads a layer (default 4)
  --kv-heads N      key and value heads, shared by the query heads (default 1)
  --dim N           channels; a multiple of twice the heads (default 64)

Training
  --batch N         pieces of text a step (default 1)
  --steps N         stop after so many steps (default 3000)
  --seconds N       or after so many seconds (default 70)
  --rate X          highest learning rate (default 0.006)
  --seed N          repeat a run's random numbers (default 1)

Attention
  --backend NAME    auto, wasm or webgpu (default auto)
  --threads N       threads of the wasm engine (default: what the machine has)

Result
  --prompt TEXT     text to continue (default: the first line of the held-out part)
  --bytes N         bytes to write after it (default 400)
  --temperature X   0 always takes the likeliest byte (default 0.7)
  --out DIR         folder for loss.png and attention.png (default byte_lm_out)
  --help            this page

Ctrl-C ends the training early and keeps what was learned.`;

/** Reads the command line; undefined when it asks for help. Throws with a sentence for people. */
export function parseOptions(args: string[]): Options | undefined {
  const text = { type: "string" } as const;
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      context: text,
      layers: text,
      heads: text,
      "kv-heads": text,
      dim: text,
      batch: text,
      steps: text,
      seconds: text,
      rate: text,
      threads: text,
      backend: text,
      prompt: text,
      bytes: text,
      temperature: text,
      out: text,
      seed: text,
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) return undefined;
  if (positionals.length > 1) {
    throw new RangeError(
      `Cannot train on ${positionals.length} files: name one`,
    );
  }
  const options: Options = {
    file: positionals[0],
    context: whole("context", values.context, 512, 8),
    layers: whole("layers", values.layers, 2, 1),
    heads: whole("heads", values.heads, 4, 1),
    kvHeads: whole("kv-heads", values["kv-heads"], 1, 1),
    dim: whole("dim", values.dim, 64, 2),
    batch: whole("batch", values.batch, 1, 1),
    steps: whole("steps", values.steps, 3000, 1),
    seconds: positive("seconds", values.seconds, 70),
    rate: positive("rate", values.rate, 0.006),
    threads: values.threads === undefined ? undefined : whole("threads", values.threads, 1, 1),
    backend: oneOf("backend", values.backend, ["auto", "wasm", "webgpu"]),
    prompt: values.prompt,
    bytes: whole("bytes", values.bytes, 400, 0),
    temperature: atLeastZero("temperature", values.temperature, 0.7),
    out: values.out ?? "byte_lm_out",
    seed: whole("seed", values.seed, 1, 0),
  };
  if (options.dim % (2 * options.heads) !== 0) {
    throw new RangeError(
      `Cannot split --dim ${options.dim} over --heads ${options.heads}: ` +
        `expected a multiple of ${2 * options.heads}`,
    );
  }
  if (options.heads % options.kvHeads !== 0) {
    throw new RangeError(
      `Cannot share --kv-heads ${options.kvHeads} among --heads ${options.heads}: ` +
        `expected a divisor of ${options.heads}`,
    );
  }
  if (options.prompt === "") {
    throw new RangeError("Cannot continue an empty --prompt");
  }
  return options;
}
