/** What a run says of itself, on stderr. */
import type { Engine } from "../../mod.ts";
import { formatBytes, formatCount } from "../byte_lm/progress.ts";
import type { BatchCounts } from "./batch.ts";
import type { Caches } from "./caches.ts";
import type { Llama } from "./llama.ts";
import type { Options } from "./options.ts";
import type { ModelShape } from "./weights.ts";

/** Before the text: engine, model and cache. */
export function introduce(
  options: Options,
  engine: Engine,
  { layers, heads, kvHeads, headDim, dim, vocabulary, context }: ModelShape,
  caches: Caches,
  texts: { prompt: number[]; tokens: number }[],
): void {
  console.error(`engine  ${engine.backend}: ${engine.reason}`);
  console.error(
    `model   ${layers} layers, ${heads} query heads and ${kvHeads} key head(s) of ${headDim}, ` +
      `${dim} channels, ${formatCount(vocabulary)} tokens, context ${formatCount(context)}`,
  );
  console.error(
    `cache   ${options.cache}, ${options.dtype}: ${formatBytes(caches.bytes)} for ` +
      `${formatCount(caches.rows)} rows a layer`,
  );
  const short = texts.find(({ tokens }) => tokens < options.tokens);
  if (short) console.error(`note    ${short.tokens} tokens fill the model's context`);
  console.error();
}

/** After it: speed, share of attention, memory. */
export function report(counts: BatchCounts, llama: Llama, caches: Caches): void {
  const { promptTokens, sharedTokens, writtenTokens, promptMs, writeMs } = counts;
  const seconds = (promptMs + writeMs) / 1000, share = llama.attentionMs / llama.totalMs;
  const shared = sharedTokens > 0 ? `, ${formatCount(sharedTokens)} of them shared` : "";
  console.error(
    `\n${formatCount(promptTokens)} tokens read${shared}, ${formatCount(writtenTokens)} written ` +
      `in ${seconds.toFixed(2)} s: ${formatCount(Math.round(writtenTokens / seconds))} tokens/s`,
  );
  console.error(
    `${Math.round(100 * share)} % of the time in attention, cache ${formatBytes(caches.bytes)}`,
  );
}
