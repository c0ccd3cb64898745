import { KeyValueCache } from "./kv_cache.ts";
import type { ByteModel } from "./model.ts";
import type { Random } from "./random.ts";

/**
 * Continues `prompt`, one byte at a time. The prompt is read once; from then on every step is one
 * query row against the cached keys and values.
 */
export async function* continueText(
  model: ByteModel,
  prompt: Uint8Array,
  count: number,
  temperature: number,
  random: Random,
): AsyncGenerator<number> {
  const { context } = model.shape;
  const written = [...prompt.subarray(-context + 1)];
  let cache = new KeyValueCache(model.shape);
  let logits = await model.extend(cache, Uint8Array.from(written));
  for (let i = 0; i < count; i++) {
    const byte = sample(logits, temperature, random);
    written.push(byte);
    yield byte;
    if (cache.length < context) {
      logits = await model.extend(cache, Uint8Array.of(byte));
    } else {
      // Full: the model never saw later positions, so it reads the last half again from the start.
      cache = new KeyValueCache(model.shape);
      logits = await model.extend(
        cache,
        Uint8Array.from(written.slice(-(context >> 1))),
      );
    }
  }
}

/** Draws a byte from softmax(logits / temperature); the likeliest one at temperature 0. */
function sample(
  logits: Float32Array,
  temperature: number,
  random: Random,
): number {
  const largest = Math.max(...logits);
  if (temperature === 0) return logits.indexOf(largest);
  const weights = Float64Array.from(
    logits,
    (x) => Math.exp((x - largest) / temperature),
  );
  let rest = random.next() * weights.reduce((sum, w) => sum + w, 0);
  for (let byte = 0; byte < weights.length; byte++) {
    rest -= weights[byte]!;
    if (rest < 0) return byte;
  }
  return weights.length - 1;
}
