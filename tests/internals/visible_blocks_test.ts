/** Blocks of a condition, by queries and 16 keys, against each of their pairs. */

import assert from "node:assert/strict";
import { evaluate } from "../../src/expression/evaluate.ts";
import { domainOf } from "../../src/expression/intervals.ts";
import { masks } from "../../src/expression/masks.ts";
import type { MaskMod } from "../../src/expression/score_mod.ts";
import { tracedOf } from "../../src/expression/traced.ts";
import { leastTile, writeVisibleBlocks } from "../../src/wasm/run/visible_blocks.ts";
import { MASK_FUNCTIONS } from "../expressions/functions.ts";
import { randomMask } from "../expressions/random.ts";

const place = { batch: 1, head: 2, kvHead: 1, lengthQ: 120, lengthK: 131, offset: 11 };
/** A region of the queries, and a grid for a longer sequence. */
const ROWS = [16, 115] as const, COLUMNS = 10;

/** The blocks of a mask that are empty or full; throws where a pair says otherwise. */
function decided(name: string, mod: MaskMod, grain?: readonly [number, number]): number {
  const { graph, classifier } = tracedOf(mod, "maskMod")!, [rowBegin, rowEnd] = ROWS;
  const least = leastTile(grain), height = least.rows;
  const bytes = new Uint8Array(Math.ceil((rowEnd - rowBegin) / height) * COLUMNS);
  const verdictOf = classifier!(domainOf(place), new Map());
  const rows = { bytes, columns: COLUMNS, rowBegin, rowEnd };
  writeVisibleBlocks(verdictOf, rows, place.lengthK, least);
  let decided = 0;
  bytes.forEach((seen, n) => {
    const row = rowBegin + Math.floor(n / COLUMNS) * height, key = n % COLUMNS * 16;
    const rows = [row, Math.min(rowEnd, row + height)] as const;
    const keys = [Math.min(place.lengthK, key), Math.min(place.lengthK, key + 16)] as const;
    const pairs = evaluate(graph.root, place, rows, keys), shown = pairs.filter((x) => x).length;
    if (seen === 0) assert.equal(shown, 0, `${name}: block ${n} is no empty one`);
    if (seen === 2) assert.equal(shown, pairs.length, `${name}: block ${n} is no full one`);
    if (seen !== 1) decided++;
  });
  return decided;
}

Deno.test("no block is called empty or full that is not", () => {
  for (const [name, { mod }] of Object.entries(MASK_FUNCTIONS)) decided(name, mod);
  for (let seed = 1; seed <= 60; seed++) decided(`mask ${seed}`, randomMask(seed));
  for (const grain of [[8, 16], [4, 128], [64, 16], [0, 0]] as const) {
    for (let seed = 61; seed <= 70; seed++) decided(`mask ${seed}`, randomMask(seed), grain);
  }
});

Deno.test("blocks away from the edge of a mask are decided", () => {
  assert.ok(decided("causal", masks.causal(), [8, 16]) > 60);
  assert.ok(decided("causal", masks.causal()) > 15);
});
