/** Block masks: made of functions and of lists, counted, drawn, and what they refuse. */

import assert from "node:assert/strict";
import { blockMaskFromLists } from "../../src/expression/block_lists.ts";
import { type BlockMask, createBlockMask } from "../../src/expression/block_mask.ts";
import { captured } from "../../src/expression/captured.ts";
import { evaluate } from "../../src/expression/evaluate.ts";
import { domainOf } from "../../src/expression/intervals.ts";
import { masks } from "../../src/expression/masks.ts";
import { maskMod } from "../../src/expression/score_mod.ts";
import type { Place } from "../../src/expression/symbols.ts";
import { blocksOf, tracedOf } from "../../src/expression/traced.ts";
import { ALWAYS, MIXED, NEVER, type Verdict } from "../../src/expression/verdict.ts";
import { randomNumbers } from "../random.ts";

const ids = Int32Array.from({ length: 300 }, (_, n) => Math.floor(n / 70));
const causal = masks.causal().and(masks.documents(ids));

/** Verdicts about random tiles, against every pair; returns how many were decided. */
function checkTiles(mask: BlockMask, place: Place, visible: Float64Array): number {
  const { classifier, graph } = blocksOf(mask)!.traced, random = randomNumbers(3);
  const { lengthQ, lengthK } = place, ask = classifier!(domainOf(place), new Map());
  assert.deepEqual(evaluate(graph.root, place, [0, lengthQ], [0, lengthK]), visible);
  let decided = 0;
  const range = (length: number): [number, number] => {
    const begin = Math.floor(random() * length), size = 1 + Math.floor(random() ** 3 * length);
    return [begin, Math.min(length, begin + size)];
  };
  for (let n = 0; n < 400; n++) {
    const [row, rowEnd] = range(lengthQ), [key, keyEnd] = range(lengthK);
    const verdict = ask(row, rowEnd, key, keyEnd);
    if (verdict === MIXED) continue;
    decided++;
    for (let i = row; i < rowEnd; i++) {
      for (let j = key; j < keyEnd; j++) assert.equal(visible[i * lengthK + j], verdict);
    }
  }
  return decided;
}

Deno.test("blocks say what pairs say, for every head and sequence that differ", () => {
  const byHead = maskMod(({ head, batch, diagonal, key }) =>
    key.le(diagonal.sub(head.mul(40))).or(key.lt(batch.mul(30)))
  );
  const sizes = { lengthQ: 200, lengthK: 300, batch: 2, queryHeads: 4, kvHeads: 2 };
  const { root } = tracedOf(byHead, "maskMod")!.graph;
  for (const blockSize of [[16, 32], [5, 7], 64, 1000] as const) {
    const mask = createBlockMask(byHead, { ...sizes, blockSize });
    for (let n = 0; n < 8; n++) {
      const head = n & 3, lengths = { lengthQ: 200, lengthK: 300, offset: 100 };
      const place = { batch: n >> 2, head, kvHead: head >> 1, ...lengths };
      const decided = checkTiles(mask, place, evaluate(root, place, [0, 200], [0, 300]));
      assert.ok(decided > (blockSize === 1000 ? 0 : 60), `${blockSize}: ${decided}`);
    }
  }
});

Deno.test("a verdict over many heads holds for each of them", () => {
  const mask = createBlockMask(maskMod(({ head, key }) => key.lt(head.mul(64))), {
    ...{ lengthQ: 128, lengthK: 256, queryHeads: 4, blockSize: 64 },
  });
  const place = { batch: 0, head: 0, kvHead: 0, lengthQ: 128, lengthK: 256, offset: 128 };
  const over = (first: number, last: number) =>
    blocksOf(mask)!.traced.classifier!({ ...domainOf(place), head: [first, last] }, new Map());
  assert.equal(over(0, 3)(0, 64, 0, 64), MIXED);
  assert.equal(over(1, 3)(0, 64, 0, 64), ALWAYS);
  assert.equal(over(0, 2)(0, 128, 128, 256), NEVER);
});

Deno.test("lengths and diagonal are those that the mask was made for", () => {
  const mod = maskMod(({ key, diagonal, lengthK, lengthQ }) =>
    key.le(diagonal).or(key.ge(lengthK.sub(10))).or(key.eq(lengthQ))
  );
  const mask = createBlockMask(mod, { lengthQ: 50, lengthK: 90, diagonal: 7, blockSize: 16 });
  const made = { batch: 0, head: 0, kvHead: 0, lengthQ: 50, lengthK: 90, offset: 7 };
  const want = evaluate(tracedOf(mod, "maskMod")!.graph.root, made, [0, 50], [0, 90]);
  for (const call of [made, { ...made, offset: 40 }]) {
    assert.ok(checkTiles(mask, call, want) > 50);
  }
  const shorter = evaluate(
    blocksOf(mask)!.traced.graph.root,
    { ...made, lengthK: 60 },
    [0, 50],
    [0, 60],
  );
  shorter.forEach((x, n) => assert.equal(x, want[Math.floor(n / 60) * 90 + n % 60]));
});

Deno.test("a rectangle of a call is that part of its mask", () => {
  const sizes = { lengthQ: 100, lengthK: 140, blockSize: [16, 20] as const };
  const { traced } = blocksOf(createBlockMask(causal, sizes))!;
  const rectangle = { queryBegin: 24, keyBegin: 30, lengthQ: 100, lengthsK: [140] };
  const part = traced.within(rectangle);
  const whole = { batch: 0, head: 0, kvHead: 0, lengthQ: 100, lengthK: 140, offset: 40 };
  const own = { ...whole, lengthQ: 60, lengthK: 80, offset: 34 };
  const want = evaluate(traced.graph.root, whole, [24, 84], [30, 110]);
  assert.deepEqual(evaluate(part.graph.root, own, [0, 60], [0, 80]), want);
  assert.deepEqual(part.grain, [8, 2]);
  const [ask, askWhole] = [part, traced].map((one, n) =>
    one.classifier!(domainOf(n ? whole : own), new Map())
  );
  for (let row = 0; row < 60; row += 6) {
    for (let key = 0; key < 80; key += 8) {
      const verdict = askWhole!(24 + row, 30 + row, 30 + key, 38 + key);
      assert.equal(ask!(row, row + 6, key, key + 8), verdict);
    }
  }
});

Deno.test("a mask that is the same for all heads is classified once", () => {
  const mask = createBlockMask(causal, { lengthQ: 300, lengthK: 300, batch: 8, queryHeads: 16 });
  const { sizes } = blocksOf(mask)!;
  assert.deepEqual([sizes.batch, sizes.queryHeads, sizes.kvHeads], [
    undefined,
    undefined,
    undefined,
  ]);
});

Deno.test("density, counts and the drawing", () => {
  const mask = createBlockMask(masks.causal(), { lengthQ: 256, lengthK: 256, blockSize: 64 });
  assert.equal(mask.density, 10 / 16);
  assert.deepEqual(mask.describe([0, 256], [0, 256]), { empty: 6, partial: 4, full: 6 });
  assert.deepEqual(mask.describe([64, 65], [0, 256]), { empty: 2, partial: 1, full: 1 });
  assert.deepEqual(mask.describe([10, 10], [0, 256]), { empty: 0, partial: 0, full: 0 });
  const [title, ...lines] = String(mask).split("\n");
  assert.equal(title, "256 queries × 256 keys in blocks of 64 × 64, 62.5 % visible");
  assert.deepEqual(lines, ["▒···", "█▒··", "██▒·", "███▒"]);
  const large = createBlockMask(masks.causal(), { lengthQ: 2 ** 16, lengthK: 2 ** 16 });
  assert.equal(String(large).split("\n").length, 65);
  const none = createBlockMask(masks.causal(), { lengthQ: 0, lengthK: 4 });
  assert.equal(none.density, 0);
  assert.deepEqual(none.describe([0, 0], [0, 4]), { empty: 0, partial: 0, full: 0 });
});

/** Lists of random blocks: what each holds, and the lists. */
function randomLists(rows: number, columns: number, seed: number) {
  const random = randomNumbers(seed);
  const verdicts = Array.from({ length: rows * columns }, () => {
    const x = random();
    return x < 0.5 ? NEVER : x < 0.75 ? ALWAYS : MIXED;
  });
  const listOf = (verdict: Verdict) => {
    const offsets = [0], listed: number[] = [];
    for (let row = 0; row < rows; row++) {
      for (let c = 0; c < columns; c++) if (verdicts[row * columns + c] === verdict) listed.push(c);
      offsets.push(listed.length);
    }
    return { offsets: Int32Array.from(offsets), columns: Int32Array.from(listed) };
  };
  return { verdicts, full: listOf(ALWAYS), partial: listOf(MIXED) };
}

Deno.test("lists of blocks show what they list", () => {
  const place = { batch: 0, head: 0, kvHead: 0, lengthQ: 150, lengthK: 290, offset: 140 };
  const { lengthQ, lengthK } = place;
  for (const [height, width] of [[16, 32], [5, 7], [64, 3], [200, 300]] as const) {
    const rows = Math.ceil(lengthQ / height), columns = Math.ceil(lengthK / width);
    const { verdicts, ...lists } = randomLists(rows, columns, height);
    const all = { lengthQ, lengthK, blockSize: [height, width] as const, ...lists };
    const inner = evaluate(tracedOf(masks.causal(), "maskMod")!.graph.root, place, [0, 150], [
      0,
      290,
    ]);
    for (const mod of [undefined, masks.causal()]) {
      const mask = blockMaskFromLists({ ...all, maskMod: mod });
      const visible = Float64Array.from({ length: lengthQ * lengthK }, (_, n) => {
        const i = Math.floor(n / lengthK), j = n % lengthK;
        const verdict = verdicts[Math.floor(i / height) * columns + Math.floor(j / width)]!;
        return verdict === MIXED ? (mod ? inner[n]! : 1) : verdict;
      });
      checkTiles(mask, place, visible);
      const seen = verdicts.filter((verdict) => verdict !== NEVER).length;
      assert.equal(mask.density, seen / verdicts.length);
    }
  }
});

Deno.test("lists of the blocks of a mask are that mask", () => {
  const sizes = { lengthQ: 256, lengthK: 256, blockSize: 64 };
  const full = { offsets: Int32Array.of(0, 0, 1, 3, 6), columns: Int32Array.of(0, 0, 1, 0, 1, 2) };
  const partial = { offsets: Int32Array.of(0, 1, 2, 3, 4), columns: Int32Array.of(0, 1, 2, 3) };
  const listed = blockMaskFromLists({ ...sizes, full, partial, maskMod: masks.causal() });
  assert.equal(String(listed), String(createBlockMask(masks.causal(), sizes)));
  // without a function every pair of a listed block is visible
  const whole = blockMaskFromLists({ ...sizes, full, partial });
  assert.deepEqual(whole.describe([0, 256], [0, 256]), { empty: 6, partial: 0, full: 10 });
});

Deno.test("what is no block mask is refused by name", () => {
  const sizes = { lengthQ: 100, lengthK: 100, blockSize: 50 };
  const create = (options: object, mask: unknown = masks.causal()) => () =>
    createBlockMask(mask as never, { ...sizes, ...options });
  assert.throws(create({}, () => true), /TypeError.*createBlockMask: mask is .*maskMod\(\)/);
  assert.throws(create({ lengthQ: -1 }), /RangeError.*lengthQ is -1/);
  assert.throws(create({ lengthK: undefined }), /TypeError.*lengthK is undefined/);
  assert.throws(create({ blockSize: 0 }), /RangeError.*blockSize is 0/);
  assert.throws(create({ blockSize: [1, 2, 3] }), /TypeError.*blockSize/);
  assert.throws(create({ queryHeads: 0 }), /RangeError.*queryHeads is 0/);
  assert.throws(create({ diagonal: 0.5 }), /RangeError.*diagonal is 0.5/);
  const table = captured(new Int32Array(64), [64]);
  const short = maskMod(({ query, key }) => table.at(query).eq(table.at(key)));
  assert.throws(create({}, short), /RangeError.*axis 0.*0 to 99.*wanted 0 to 63/);
  const lists = (full: object, partial?: object) => () =>
    blockMaskFromLists({ ...sizes, full, partial } as never);
  const of = (offsets: number[], columns: number[]) => ({
    offsets: Int32Array.from(offsets),
    columns: Int32Array.from(columns),
  });
  assert.throws(
    lists({ offsets: [0], columns: [] }),
    /TypeError.*full is .* but must be \{ offsets, columns \}/,
  );
  assert.throws(lists(of([0, 1], [0])), /RangeError.*full.offsets has 2 entries.*must have 3/);
  assert.throws(lists(of([1, 1, 1], [0])), /RangeError.*full.offsets\[0\] is 1 but must be 0/);
  assert.throws(lists(of([0, 1, 1], [0, 1])), /full.offsets\[2\] is 1 but must be 2/);
  assert.throws(lists(of([0, 9, 2], [0, 1])), /full.offsets\[1\] is 9 but must be from 0 to 2/);
  assert.throws(lists(of([0, 2, 2], [1, 0])), /full.columns\[1\] is 0 but must be above 1/);
  assert.throws(lists(of([0, 2, 2], [1, 1])), /full.columns\[1\] is 1 but must be above 1/);
  assert.throws(lists(of([0, 1, 2], [0, 2])), /full.columns\[1\] is 2 but must be from 0 to 1/);
  assert.throws(lists(of([0, 2, 1], [0])), /RangeError.*full.offsets/);
  assert.throws(
    lists(of([0, 1, 1], [0]), of([0, 1, 1], [0])),
    /partial.columns\[0\] is 0 but row 0 of full has that block/,
  );
  const mask = createBlockMask(masks.causal(), sizes);
  assert.throws(() => mask.describe([0, 101], [0, 1]), /rows is \[0, 101\].*end <= 100/);
  assert.throws(
    () => mask.describe(3 as never, [0, 1]),
    /rows is 3 but must be a pair \[first, end\]/,
  );
});
