import { parseArgs } from "node:util";
import { MOST_SECONDS, positive, whole } from "../flags.ts";
import { type EngineChoice, engineChoice, MOST_SEQUENCES } from "../llama/options.ts";

export interface Options extends EngineChoice {
  model: string;
  tokenizer: string | undefined;
  sequences: number;
  /** Pages of a layer's cache; by default enough for all sequences, of a context of 2048 at most. */
  pages: number | undefined;
  promptRows: number;
  queue: number;
  tokens: number;
  texts: number;
  bodyBytes: number;
  seconds: number;
}

export const HELP =
  `Serves completions of a trained model at /v1/completions, as OpenAI's API has them.

Usage: deno task serve MODEL [options]
       deno serve --host 127.0.0.1 --port 8000 --allow-read=FOLDER examples/server/main.ts MODEL

MODEL is a checkpoint of llama2.c (.bin), or a GGUF or safetensors file.

  --tokenizer FILE  as in deno task llama
  --sequences N     texts written at once (default 32)
  --pages N         pages of 16 tokens in the cache, for all texts together (default: enough for
                    every text to have the whole context, 2048 tokens at most)
  --prompt-rows N   tokens of prompts read in a step (default 256)

Limits
  --queue N         texts that may wait; more get 429 (default 128)
  --max-tokens N    that a request may ask for (default 1024)
  --max-texts N     prompts times n of a request (default 16)
  --max-body N      bytes of a request (default 1048576)
  --seconds N       from a request to its last token; then 503 (default 120)

Attention
  --backend NAME    auto, wasm or webgpu (default auto)
  --threads N       threads of the wasm engine (default: what the machine has)
  --dtype NAME      what keys and values are stored in: f32, f16, bf16 or i8 (default f32)
  --help            this page

/health, /metrics and /v1/models answer too. The first Ctrl-C lets running texts end, the second
one does not.`;

/** Reads the command line; undefined when it asks for help. Throws with a sentence for people. */
export function parseOptions(args: string[]): Options | undefined {
  const text = { type: "string" } as const;
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      tokenizer: text,
      sequences: text,
      pages: text,
      "prompt-rows": text,
      queue: text,
      "max-tokens": text,
      "max-texts": text,
      "max-body": text,
      seconds: text,
      backend: text,
      threads: text,
      dtype: text,
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) return undefined;
  const [model, ...rest] = positionals;
  if (model === undefined || rest.length > 0) {
    throw new RangeError(`Cannot serve ${positionals.length} models: name the file of one`);
  }
  return {
    model,
    tokenizer: values.tokenizer,
    sequences: whole("sequences", values.sequences, 32, 1, MOST_SEQUENCES),
    pages: values.pages === undefined ? undefined : whole("pages", values.pages, 1, 1),
    promptRows: whole("prompt-rows", values["prompt-rows"], 256, 1),
    queue: whole("queue", values.queue, 128, 0),
    tokens: whole("max-tokens", values["max-tokens"], 1024, 1),
    texts: whole("max-texts", values["max-texts"], 16, 1),
    bodyBytes: whole("max-body", values["max-body"], 2 ** 20, 1),
    seconds: positive("seconds", values.seconds, 120, MOST_SECONDS),
    ...engineChoice(values),
  };
}
