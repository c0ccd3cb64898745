/** Tiles of six keys, of four and of one: a score has the same bits whichever made it. */

import assert from "node:assert/strict";
import { createEngine } from "../../mod.ts";

const ROWS = 8, KEYS = 30, DIM = 20;

for (const simd of ["relaxed", "plain"] as const) {
  Deno.test(`scores of the last keys have the bits that they have among others, ${simd}`, async () => {
    const engine = await createEngine({ backend: "wasm", threads: 1, simd });
    try {
      const values = (rows: number) =>
        Float32Array.from({ length: rows * DIM }, (_, n) => Math.sin(n * n + 1));
      const q = { data: values(ROWS), shape: [1, 1, ROWS, DIM] }, all = values(KEYS);
      const layout = "bhsd";
      const scores = async (keys: number) => {
        const k = { data: all.subarray(0, keys * DIM), shape: [1, 1, keys, DIM] };
        return (await engine.attentionScores(q, k, { layout, stage: "raw" })).data;
      };
      const wanted = await scores(KEYS); // whole sixes
      for (let keys = 1; keys < KEYS; keys++) {
        const got = await scores(keys);
        for (let i = 0; i < ROWS; i++) {
          const row = got.subarray(i * keys, (i + 1) * keys);
          assert.deepEqual(
            row,
            wanted.subarray(i * KEYS, i * KEYS + keys),
            `${keys} keys, row ${i}`,
          );
        }
      }
    } finally {
      engine.dispose();
    }
  });
}
