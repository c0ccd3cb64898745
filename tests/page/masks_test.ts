/** The logic of the panel that puts masks together; no browser. */
import assert from "node:assert/strict";
import * as library from "../../mod.ts";
import { createBlockMask, createEngine, type MaskMod } from "../../mod.ts";
import {
  EXAMPLES,
  type Expression,
  KINDS,
  type MaskName,
  maskOf,
  newTerm,
  programOf,
} from "../../examples/page/panels/masks/expression.ts";
import { median, raceOf } from "../../examples/page/panels/masks/race.ts";
import { pairsOf, TILE, tilesOf } from "../../examples/page/panels/masks/tiles.ts";

const names = Object.keys(KINDS) as MaskName[];
const one = (mask: MaskName, not: boolean = false): Expression => [{
  terms: [{ ...newTerm(mask), not }],
}];

/** What the program that is shown makes of it, with this library. */
async function run(program: string): Promise<{ blockMask: library.BlockMask; shape: number[] }> {
  const body = program.replace(/^import .*\n/, "").replace(/console\.log.*\n/, "") +
    "\nreturn { blockMask, shape: out.shape };";
  const AsyncFunction = (async () => {}).constructor as new (...args: string[]) => (
    ...values: unknown[]
  ) => Promise<{ blockMask: library.BlockMask; shape: number[] }>;
  const { attention, createBlockMask, masks } = library;
  return await new AsyncFunction("attention", "createBlockMask", "masks", body)(
    attention,
    createBlockMask,
    masks,
  );
}

Deno.test("page: the program that is shown makes the mask that is drawn", async () => {
  const expressions: Expression[] = [
    ...names.map((name) => one(name)),
    ...EXAMPLES.map(({ expression }) => expression),
    [
      { terms: [newTerm("causal"), { ...newTerm("documents"), not: true }] },
      { terms: [newTerm("documents"), newTerm("prefix"), newTerm("window")] },
      { terms: [{ mask: "documents", not: false, values: [50] }] },
    ],
  ];
  for (const expression of expressions) {
    const program = programOf(expression, 512, 64);
    assert.match(program, /^import \{ attention, createBlockMask, masks \} from "@flashtile/);
    const { blockMask, shape } = await run(program);
    const { counts, blockMask: drawn } = tilesOf(maskOf(expression, 512), 512, 64);
    assert.deepEqual(blockMask.describe([0, 512], [0, 512]), counts, program);
    assert.equal(String(blockMask), String(drawn));
    assert.deepEqual(shape, [1, 512, 1, 64]);
  }
});

Deno.test("page: tiles say what their pairs say", async () => {
  const engine = await createEngine({ backend: "wasm", threads: 1 });
  try {
    const length = 100, size = 16; // the last tiles are smaller
    const expression: Expression = [
      { terms: [newTerm("causal"), { mask: "documents", not: false, values: [30] }] },
      { terms: [{ mask: "prefix", not: false, values: [16] }] },
    ];
    const mask: MaskMod = maskOf(expression, length),
      tiles = tilesOf(mask, length, size);
    assert.equal(tiles.side, 7);
    const found = [0, 0, 0];
    for (let n = 0; n < tiles.kinds.length; n++) {
      const place = [Math.floor(n / 7), n % 7] as const;
      const { rows, keys, seen } = await pairsOf(mask, length, size, place, engine);
      assert.equal(seen.length, rows * keys);
      const visible = seen.reduce((sum, x) => sum + x, 0);
      const kind = visible === 0 ? TILE.empty : visible === seen.length ? TILE.full : TILE.partial;
      assert.equal(tiles.kinds[n], kind, `tile ${place}`);
      found[kind]!++;
      seen.forEach((x, pair) => {
        const i = place[0] * size + Math.floor(pair / keys),
          j = place[1] * size + pair % keys;
        const want = (j <= i && Math.floor(i / 30) === Math.floor(j / 30)) ||
          j < 16;
        assert.equal(x === 1, want, `pair ${i}, ${j}`);
      });
    }
    assert.deepEqual(found, [tiles.counts.empty, tiles.counts.partial, tiles.counts.full]);
    assert.ok(found.every((count) => count > 0));
  } finally {
    engine.dispose();
  }
});

Deno.test("page: not, and, or change what is seen as they should", () => {
  const counts = (expression: Expression) => tilesOf(maskOf(expression, 1024), 1024, 128).counts;
  const causal = counts(one("causal")), not = counts(one("causal", true));
  assert.deepEqual(causal, { empty: 28, partial: 8, full: 28 });
  assert.deepEqual(not, causal); // the other triangle
  const both = counts([{ terms: [newTerm("causal"), { ...newTerm("causal"), not: true }] }]);
  // tiles are asked by ranges: on the diagonal either may hold, so the library does not know that both never do
  assert.deepEqual(both, { empty: 56, partial: 8, full: 0 });
  const either = counts([...one("causal"), ...one("prefix")]);
  assert.deepEqual(either, { empty: 27, partial: 6, full: 31 });
});

Deno.test("page: what cannot be a mask says why", () => {
  const wrong = (values: number[], mask: MaskName): Expression => [{
    terms: [{ mask, not: false, values }],
  }];
  assert.throws(() => maskOf([], 64), /Cannot make a mask of nothing: add one/);
  assert.throws(() => maskOf([{ terms: [] }], 64), /Cannot make a mask of nothing/);
  assert.throws(() => maskOf(wrong([NaN], "prefix"), 64), /Cannot use prefix: “keys” is empty/);
  assert.throws(() => maskOf(wrong([0], "strided"), 64), /“n” is 0, but must be .* from 1 on/);
  assert.throws(() => maskOf(wrong([2, -1], "window"), 64), /“behind” is -1/);
  assert.throws(() => programOf(wrong([1.5], "globalTokens"), 64, 64), /“tokens” is 1\.5/);
});

Deno.test("page: attention with a mask and without are measured in turns, and can be stopped", async () => {
  const engine = await createEngine({ backend: "wasm", threads: 1 });
  try {
    const sizes = { lengthQ: 256, lengthK: 256, blockSize: 64 };
    const blockMask = createBlockMask(maskOf(one("causal"), 256), sizes);
    const race = (stop: AbortSignal) => raceOf(blockMask, 256, engine, 9, stop);
    for await (const _ of race(new AbortController().signal)) break; // memory of the engine's own
    const before = engine.memory.used;
    const stop = new AbortController(), seen: number[] = [];
    for await (const { masked, dense, turns } of raceOf(blockMask, 256, engine, 9, stop.signal)) {
      assert.ok(masked > 0 && dense > 0);
      seen.push(turns);
      if (turns === 3) stop.abort();
    }
    assert.deepEqual(seen, [1, 2, 3]);
    assert.equal(engine.memory.used, before);
  } finally {
    engine.dispose();
  }
  assert.deepEqual([median([3, 1, 2]), median([4, 1])], [2, 4]);
});
