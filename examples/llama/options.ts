import { parseArgs } from "node:util";
import { atLeastZero, oneOf, positive, whole } from "../flags.ts";
import type { CacheType } from "./caches.ts";

/** Where and how attention is computed, and what holds keys and values. */
export interface EngineChoice {
  backend: "auto" | "wasm" | "webgpu";
  threads: number | undefined;
  dtype: CacheType;
}

export interface Options extends EngineChoice {
  model: string;
  tokenizer: string | undefined;
  prompts: string[];
  tokens: number;
  temperature: number;
  topP: number;
  seed: number;
  sequences: number;
  cache: "paged" | "contiguous";
}

/** Texts at once: lists are made of so many before there is any. */
export const MOST_SEQUENCES: number = 2 ** 16;

export const HELP = `Continues a text with a trained model of Llama architecture.

Usage: deno task llama MODEL [PROMPT...] [options]

MODEL is a checkpoint of llama2.c (.bin), or a GGUF or safetensors file in f32, f16 (GGUF also
q8_0). Without a PROMPT the model begins by itself.

Text
  --tokenizer FILE  of llama2.c (.bin) or Hugging Face (tokenizer.json); default: the one in the
                    model's file, or tokN.bin (N tokens), tokenizer.bin, tokenizer.json beside it
  --tokens N        tokens to write (default 120)
  --temperature X   0 always takes the likeliest token (default 0)
  --top-p X         draw among the likeliest tokens of this probability together (default 1)
  --seed N          repeat a run's random numbers (default 1)
  --sequences N     texts written at once; more than prompts: prompts are used again
                    (default: one for each PROMPT)

Attention
  --backend NAME    auto, wasm or webgpu (default auto)
  --threads N       threads of the wasm engine (default: what the machine has)
  --cache NAME      paged or contiguous keys and values (default paged)
  --dtype NAME      what keys and values are stored in: f32, f16, bf16 or i8 (default f32)
  --help            this page

Text goes to stdout, everything else to stderr. Ctrl-C ends the text and keeps what was written.`;

/** Reads the command line; undefined when it asks for help. Throws with a sentence for people. */
export function parseOptions(args: string[]): Options | undefined {
  const text = { type: "string" } as const;
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      tokenizer: text,
      tokens: text,
      temperature: text,
      "top-p": text,
      seed: text,
      sequences: text,
      backend: text,
      threads: text,
      cache: text,
      dtype: text,
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) return undefined;
  const [model, ...prompts] = positionals;
  if (model === undefined) throw new RangeError("Cannot run without a model: name its file");
  if (prompts.length === 0) prompts.push("");
  return {
    model,
    tokenizer: values.tokenizer,
    prompts,
    tokens: whole("tokens", values.tokens, 120, 1),
    temperature: atLeastZero("temperature", values.temperature, 0),
    topP: share("top-p", values["top-p"]),
    seed: whole("seed", values.seed, 1, 0),
    sequences: whole("sequences", values.sequences, prompts.length, 1, MOST_SEQUENCES),
    cache: oneOf("cache", values.cache, ["paged", "contiguous"]),
    ...engineChoice(values),
  };
}

/** The flags that choose engine and storage, which the server has too. */
export function engineChoice(
  values: { backend?: string; threads?: string; dtype?: string },
): EngineChoice {
  return {
    backend: oneOf("backend", values.backend, ["auto", "wasm", "webgpu"]),
    threads: values.threads === undefined ? undefined : whole("threads", values.threads, 1, 1),
    dtype: oneOf("dtype", values.dtype, ["f32", "f16", "bf16", "i8"]),
  };
}

function share(flag: string, text: string | undefined): number {
  const value = positive(flag, text, 1);
  if (value <= 1) return value;
  throw new RangeError(`Cannot use --${flag} ${text}: expected a number above 0, at most 1`);
}
