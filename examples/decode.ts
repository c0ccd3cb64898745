/**
 * Decoding: one query row a step against keys and values that stay in the engine's memory.
 * Run with `deno run examples/decode.ts`.
 */
import { attention, createEngine } from "../mod.ts";

const LENGTH = 8192, STEPS = 200;
const QUERY_HEADS = 8, KV_HEADS = 2, HEAD_DIM = 64;

function randomValues(size: number): Float32Array {
  return Float32Array.from({ length: size }, () => Math.random() - 0.5);
}

const engine = await createEngine({ backend: "wasm" });

// The cache is copied into the engine once. Here it is full of made-up rows from the start;
// keyLengths says how many of them count as read at each step.
const cacheShape = [1, LENGTH, KV_HEADS, HEAD_DIM];
const cacheSize = LENGTH * KV_HEADS * HEAD_DIM;
const keys = engine.tensor(randomValues(cacheSize), cacheShape);
const values = engine.tensor(randomValues(cacheSize), cacheShape);

const start = performance.now();
for (let step = 0; step < STEPS; step++) {
  const keyLengths = Int32Array.of(LENGTH - STEPS + step + 1);
  const q = {
    data: randomValues(QUERY_HEADS * HEAD_DIM),
    shape: [1, 1, QUERY_HEADS, HEAD_DIM],
  };
  await attention(q, keys, values, { causal: true, keyLengths, engine });
}
const seconds = (performance.now() - start) / 1000;

const cacheBytes = 2 * cacheSize * Float32Array.BYTES_PER_ELEMENT;
console.log(`${engine.backend}: ${engine.reason}`);
console.log(`${QUERY_HEADS} query heads on ${KV_HEADS} kv heads, ${LENGTH} cached tokens`);
console.log(
  `${(STEPS / seconds).toFixed(0)} tokens/s, ` +
    `reading the cache at ${(cacheBytes * STEPS / seconds / 1e9).toFixed(1)} GB/s`,
);

keys.dispose();
values.dispose();
engine.dispose();
