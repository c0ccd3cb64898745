/**
 * Decoding: tokens one at a time for several sequences, against keys and values in a cache of the engine.
 * Run with `deno run examples/decode.ts`.
 */
import { createEngine } from "../mod.ts";

const SEQUENCES = 4, PROMPT = 2048, STEPS = 200;
const QUERY_HEADS = 8, KV_HEADS = 2, HEAD_DIM = 64;

/** What a model would compute of its tokens, [sequences, rows, heads, dim]: made up here. */
function projected(rows: number, heads: number) {
  const shape = [SEQUENCES, rows, heads, HEAD_DIM], size = SEQUENCES * rows * heads * HEAD_DIM;
  return { data: Float32Array.from({ length: size }, () => Math.random() - 0.5), shape };
}

const engine = await createEngine();
const cache = engine.kvCache({
  ...{ sequences: SEQUENCES, kvHeads: KV_HEADS, headDim: HEAD_DIM, dtype: "f16" },
  ...{ pageSize: 16, pages: SEQUENCES * Math.ceil((PROMPT + STEPS) / 16) },
});

/** Adds rows to every sequence, and attends to all that they hold by now. */
async function step(rows: number): Promise<void> {
  cache.append(projected(rows, KV_HEADS), projected(rows, KV_HEADS));
  await engine.attention(projected(rows, QUERY_HEADS), cache.keys, cache.values, { causal: true });
}

const start = performance.now();
await step(PROMPT);
const read = performance.now();
for (let token = 0; token < STEPS; token++) await step(1);
const seconds = (performance.now() - read) / 1000;

console.log(`${engine.backend}: ${engine.reason}`);
console.log(`${SEQUENCES} sequences, ${QUERY_HEADS} query heads on ${KV_HEADS} kv heads`);
console.log(`${PROMPT} rows of each read in ${(read - start).toFixed(0)} ms`);
console.log(
  `${(SEQUENCES * STEPS / seconds).toFixed(0)} tokens/s, cache ${cache.bytes >> 10} KiB, ` +
    `${cache.lengths} rows`,
);

cache.dispose();
engine.dispose();
