/** Blocks of a condition, by 8 queries and 16 keys, against each of their pairs. */

import assert from "node:assert/strict";
import { evaluate } from "../../src/expression/evaluate.ts";
import { domainOf } from "../../src/expression/intervals.ts";
import { masks } from "../../src/expression/masks.ts";
import type { MaskMod } from "../../src/expression/score_mod.ts";
import { tracedOf } from "../../src/expression/traced.ts";
import { visibleBlocks } from "../../src/wasm/run/visible_blocks.ts";
import { MASK_FUNCTIONS } from "../expressions/functions.ts";
import { randomMask } from "../expressions/random.ts";

const place = { batch: 1, head: 2, kvHead: 1, lengthQ: 120, lengthK: 131, offset: 11 };
/** A region of the queries, and a grid for a longer sequence. */
const ROWS = [16, 115] as const, COLUMNS = 10;

/** The blocks of a mask that are empty or full; throws where a pair says otherwise. */
function decided(name: string, mod: MaskMod): number {
  const { graph, classifier } = tracedOf(mod, "maskMod")!;
  const blocks = visibleBlocks(
    classifier!(domainOf(place), new Map()),
    ROWS,
    place.lengthK,
    COLUMNS,
  );
  let decided = 0;
  assert.equal(blocks.length, Math.ceil((ROWS[1] - ROWS[0]) / 8) * COLUMNS);
  blocks.forEach((seen, n) => {
    const row = ROWS[0] + Math.floor(n / COLUMNS) * 8, key = n % COLUMNS * 16;
    const rows = [row, Math.min(ROWS[1], row + 8)] as const;
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
});

Deno.test("blocks away from the edge of a mask are decided", () => {
  assert.ok(decided("causal", masks.causal()) > 60);
});
