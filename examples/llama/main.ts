/** Continues a text with a trained model of Llama architecture. `--help` has the flags. */
import { Random } from "../byte_lm/random.ts";
import { Batch } from "./batch.ts";
import { type CacheOptions, Caches } from "./caches.ts";
import { InOrder } from "./in_order.ts";
import { Llama } from "./llama.ts";
import { openModel } from "./model_file.ts";
import { openEngine } from "./open_engine.ts";
import { HELP, type Options, parseOptions } from "./options.ts";
import { introduce, report } from "./report.ts";
import type { Tokenizer } from "./tokenizer.ts";
import type { ModelShape } from "./weights.ts";

const PAGE_SIZE = 16;

if (import.meta.main) {
  try {
    const options = parseOptions(Deno.args);
    if (options) await run(options);
    else console.log(HELP);
  } catch (error) {
    console.error(`error: ${error instanceof Error ? error.message : error}`);
    Deno.exitCode = 1;
  }
}

async function run(options: Options): Promise<void> {
  const { model, tokenizer } = await openModel(options.model, options.tokenizer);
  using engine = await openEngine(options);
  const llama = new Llama(model, engine);
  const texts = plan(options, tokenizer, model.shape);
  using caches = new Caches(engine, model.shape, cacheOptions(options, texts));
  const batch = new Batch(llama, caches, {
    sequences: options.sequences,
    promptRows: Infinity,
  });
  introduce(options, engine, model.shape, caches, texts);
  await write(batch, options, tokenizer, texts);
  report(batch.counts, llama, caches);
}

/** A prompt, and how many tokens may follow it. */
export interface PlannedText {
  prompt: number[];
  tokens: number;
}

/** One text for each prompt, or more where more are to be written at once. */
function plan(options: Options, tokenizer: Tokenizer, { context }: ModelShape): PlannedText[] {
  const prompts = options.prompts.map((prompt) => {
    const tokens = tokenizer.encode(prompt);
    if (tokens.length === 0) {
      throw new RangeError("Cannot begin without a PROMPT: the tokenizer has no token for that");
    }
    if (tokens.length > context) {
      throw new RangeError(
        `Cannot read a prompt of ${tokens.length} tokens: the model reads ${context} at most`,
      );
    }
    return { prompt: tokens, tokens: Math.min(options.tokens, context - tokens.length + 1) };
  });
  const count = Math.max(prompts.length, options.sequences);
  return Array.from({ length: count }, (_, i) => prompts[i % prompts.length]!);
}

/** Room for the longest texts that may run at once. */
function cacheOptions(options: Options, texts: PlannedText[]): CacheOptions {
  const { sequences, dtype } = options;
  const rows = texts.map(({ prompt, tokens }) => prompt.length + tokens - 1).sort((a, b) => b - a);
  const pages = rows.slice(0, sequences).map((count) => Math.ceil(count / PAGE_SIZE));
  const room = options.cache === "contiguous"
    ? { capacity: rows[0]! }
    : { pageSize: PAGE_SIZE, pages: pages.reduce((sum, n) => sum + n, 0) };
  return { sequences, dtype, room };
}

/** Writes all texts; the first Ctrl-C ends them and keeps what was written. */
async function write(
  batch: Batch,
  options: Options,
  tokenizer: Tokenizer,
  texts: PlannedText[],
): Promise<void> {
  const cancels: (() => void)[] = [];
  const stop = (): void => cancels.forEach((cancel) => cancel());
  Deno.addSignalListener("SIGINT", stop);
  const printer = new InOrder(texts.length, (text) => writeOut(text) || stop());
  for (const [i, { prompt, tokens }] of texts.entries()) {
    const decoder = tokenizer.decoder();
    printer.print(i, prompt.map((token) => decoder.push(token)).join(""));
    cancels.push(batch.submit({
      prompt,
      tokens,
      sampling: { temperature: options.temperature, topP: options.topP },
      random: new Random(options.seed + i),
      stops: tokenizer.stops,
      onToken: (token) => printer.print(i, decoder.push(token)),
      onEnd: (reason) => {
        printer.print(i, decoder.end());
        printer.end(i, reason);
      },
    }));
  }
  await batch.idle();
  Deno.removeSignalListener("SIGINT", stop);
  if (printer.error) throw printer.error;
}

/** Writes to stdout; false where nobody reads it any more. */
function writeOut(text: string): boolean {
  const bytes = new TextEncoder().encode(text);
  try {
    for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) return false;
    throw error;
  }
}
