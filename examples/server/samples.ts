/** What /metrics says of a server. */
import type { Sample } from "./metrics.ts";
import type { ServiceParts } from "./service.ts";

export function samplesOf(
  { batch, caches, engine, llama }: ServiceParts,
  responses: ReadonlyMap<number, number>,
  gone: number,
): Sample[] {
  const { counts } = batch;
  const one = (type: Sample["type"], name: string, help: string, value: number): Sample => ({
    name: `flashtile_${name}`,
    help,
    type,
    values: [[{}, value]],
  });
  return [
    {
      name: "flashtile_responses_total",
      help: "Responses by status.",
      type: "counter",
      values: [...responses].map(([code, count]) => [{ code }, count]),
    },
    one("counter", "clients_gone_total", "Requests whose client left before their end.", gone),
    one("counter", "prompt_tokens_total", "Tokens of prompts.", counts.promptTokens),
    one("counter", "shared_tokens_total", "Of these, held for another text.", counts.sharedTokens),
    one("counter", "written_tokens_total", "Tokens written.", counts.writtenTokens),
    one("counter", "steps_total", "Steps of the batch.", counts.steps),
    {
      name: "flashtile_step_seconds_total",
      help: "Time in steps, reading prompts and writing.",
      type: "counter",
      values: [
        [{ of: "prompts" }, counts.promptMs / 1000],
        [{ of: "writing" }, counts.writeMs / 1000],
      ],
    },
    one("counter", "attention_seconds_total", "Of it, in attention.", llama.attentionMs / 1000),
    one("gauge", "texts_running", "Texts that run.", batch.running),
    one("gauge", "texts_waiting", "Texts that wait for room.", batch.waiting),
    one("gauge", "cache_rows", "Rows that the cache of a layer holds.", caches.rows),
    one("gauge", "cache_rows_reserved", "Of these, set aside for texts.", batch.reserved),
    one("gauge", "cache_bytes", "Memory of all caches.", caches.bytes),
    one("gauge", "engine_bytes", "Memory of the engine, caches included.", engine.memory.total),
    one("gauge", "resident_bytes", "Memory of the process.", Deno.memoryUsage().rss),
  ];
}
