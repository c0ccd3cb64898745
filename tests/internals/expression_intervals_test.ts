/** Ranges over tiles against every pair of them, classification of grids, proof of captured indices. */

import assert from "node:assert/strict";
import { captured } from "../../src/expression/captured.ts";
import { checkCapturedRanges } from "../../src/expression/captured_ranges.ts";
import { classifier } from "../../src/expression/classify.ts";
import { classified } from "../expressions/classified.ts";
import { ALWAYS, MIXED, NEVER } from "../../src/expression/verdict.ts";
import { evaluate, evaluator, flatIndex } from "../../src/expression/evaluate.ts";
import { domainOf, rangesOf } from "../../src/expression/intervals.ts";
import { Extremes } from "../../src/expression/intervals/extremes.ts";
import { type Node, reachable } from "../../src/expression/node.ts";
import { type OperationName, signatureOf } from "../../src/expression/operations.ts";
import { type MaskMod, maskMod, scoreMod } from "../../src/expression/score_mod.ts";
import { tracedOf } from "../../src/expression/traced.ts";
import type { Place } from "../../src/expression/symbols.ts";
import { Complaint } from "../../src/tensor/errors.ts";
import { MASK_FUNCTIONS, SCORE_FUNCTIONS } from "../expressions/functions.ts";
import { randomMask } from "../expressions/random.ts";
import { randomNumbers } from "../random.ts";

const place: Place = { batch: 1, head: 2, kvHead: 1, lengthQ: 40, lengthK: 60, offset: 20 };
const graphOfMask = (mod: MaskMod) => tracedOf(mod, "maskMod")!.graph;

/** Values of all nodes at a pair. */
type ValuesAt = (query: number, key: number) => ArrayLike<number>;

/** What an engine computes that rounds every float to float32, and smallest ones to 0. */
function inFloat32(nodes: readonly Node[], at: Place): ValuesAt {
  const slots = new Map(nodes.map((node, n) => [node, n])), values = new Float64Array(nodes.length);
  const round = (x: number) => Math.abs(x) < 2 ** -126 ? 0 : Math.fround(x);
  return (query, key) => {
    nodes.forEach((node, n) => {
      const operands = node.operands.map((operand) => values[slots.get(operand)!]!);
      const value = valueOf(node, operands, { ...at, query, key, diagonal: query + at.offset });
      values[n] = node.type === "float" ? round(value) : value;
    });
    return values;
  };
}

function valueOf(node: Node, operands: readonly number[], symbols: Record<string, number>): number {
  if (node.op === "constant") return node.value!;
  if (node.op === "symbol") return symbols[node.symbol!]!;
  if (node.op === "gather") return node.captured!.data[flatIndex(node.captured!, operands)]!;
  const types = node.operands.map(({ type }) => type), [a = 0, b = 0, c = 0] = operands;
  return signatureOf(node.op as OperationName, types)!.evaluate(a, b, c);
}

/** A tile of at most `most` rows and keys somewhere in the place. */
function randomTile(random: () => number, most: number) {
  const side = (length: number) => {
    const begin = Math.floor(random() * length);
    return [begin, Math.min(length, begin + 1 + Math.floor(random() * most))] as const;
  };
  return { rows: side(place.lengthQ), keys: side(place.lengthK) };
}

/** Fails where a node has a value outside of its range in one of a few tiles. */
function assertInside(name: string, root: Node, valuesAt: (nodes: Node[]) => ValuesAt): void {
  const nodes = reachable([root]), ranges = rangesOf(nodes, domainOf(place));
  const at = valuesAt(nodes), random = randomNumbers(7);
  for (const most of [1, 4, 12]) {
    const { rows, keys } = randomTile(random, most);
    ranges.look(...rows, ...keys);
    for (let i = rows[0]; i < rows[1]; i++) {
      for (let j = keys[0]; j < keys[1]; j++) {
        const values = at(i, j);
        nodes.forEach(({ op }, n) => {
          const low = ranges.low[n]!, high = ranges.high[n]!, value = values[n]!;
          const inside = Number.isNaN(low) || low <= value && value <= high;
          assert.ok(inside, `${name}: ${op} is ${value} at ${i}, ${j}, not in ${low} to ${high}`);
        });
      }
    }
  }
}

/** How many of a grid's mixed blocks are really empty or full; fails where another verdict is wrong. */
function looseBlocks(name: string, mod: MaskMod, at: Place, rows: number, keys: number): number {
  const graph = graphOfMask(mod), { lengthQ, lengthK } = at;
  const grid = classified(graph, at, rows, keys);
  const values = evaluate(graph.root, at, [0, lengthQ], [0, lengthK]);
  let loose = 0;
  grid.verdicts.forEach((verdict, n) => {
    const row = Math.floor(n / grid.columns) * rows, key = n % grid.columns * keys;
    let shown = 0, all = 0;
    for (let i = row; i < Math.min(lengthQ, row + rows); i++) {
      for (let j = key; j < Math.min(lengthK, key + keys); j++, all++) {
        shown += values[i * lengthK + j]!;
      }
    }
    const truth = shown === 0 ? NEVER : shown === all ? ALWAYS : MIXED;
    if (verdict !== MIXED) assert.equal(verdict, truth, `${name}: block ${row}, ${key}`);
    else if (truth !== MIXED) loose++;
  });
  return loose;
}

Deno.test("no value of a random graph leaves its range, in float64 and in float32", () => {
  for (let seed = 0; seed < 250; seed++) {
    const { root } = graphOfMask(randomMask(seed, { floatsInMasks: true }));
    assertInside(`seed ${seed}`, root, (nodes) => {
      const at = evaluator(nodes, place);
      return (query, key) => at(NaN, query, key);
    });
    assertInside(`seed ${seed} in float32`, root, (nodes) => inFloat32(nodes, place));
  }
});

Deno.test("no value of a function of scores leaves its range", () => {
  for (const [name, { mod }] of Object.entries(SCORE_FUNCTIONS)) {
    const { root } = tracedOf(mod, "scoreMod")!.graph;
    assertInside(name, root, (nodes) => {
      const at = evaluator(nodes, place);
      return (query, key) => at(Math.sin(query - key), query, key);
    });
  }
});

Deno.test("random masks: no block is called empty or full that is not", () => {
  for (let seed = 1000; seed < 1150; seed++) {
    looseBlocks(`seed ${seed}`, randomMask(seed, { depth: 1 + seed % 4 }), place, 8, 16);
  }
});

/** Half planes that cover a block only together, and a remainder of products in short blocks. */
const LOOSE: Readonly<Record<string, number>> = { globalsAndWindow: 4, residues: 8 };

Deno.test("masks that people write: verdicts are right, and nearly none is mixed in vain", () => {
  const shapes = [[200, 300, 8, 16], [300, 200, 16, 16], [130, 500, 32, 64], [1, 500, 1, 64]];
  for (const [name, { mod }] of Object.entries(MASK_FUNCTIONS)) {
    let loose = 0;
    for (const [lengthQ = 0, lengthK = 0, rows = 0, keys = 0] of shapes) {
      const at = { ...place, lengthQ, lengthK, offset: lengthK - lengthQ };
      loose += looseBlocks(name, mod, at, rows, keys);
    }
    assert.ok(loose <= (LOOSE[name] ?? 0), `${name}: ${loose} mixed in vain`);
  }
});

Deno.test("a mask that is the same everywhere is asked about once", () => {
  for (const [shown, verdict] of [[true, ALWAYS], [false, NEVER]] as const) {
    const at = { ...place, lengthQ: 1000, lengthK: 3000 };
    const grid = classified(graphOfMask(maskMod(() => shown)), at, 128, 64);
    assert.deepEqual([grid.rows, grid.columns, grid.asked], [8, 47, 1]);
    assert.ok(grid.verdicts.every((one) => one === verdict));
  }
});

Deno.test("an empty problem has no blocks", () => {
  const { root, trace } = graphOfMask(maskMod(({ query, key }) => key.le(query)));
  for (const [lengthQ, lengthK] of [[0, 100], [100, 0]] as const) {
    const grid = classified({ root, trace }, { ...place, lengthQ, lengthK }, 16, 16);
    assert.equal(grid.verdicts.length, 0);
  }
});

Deno.test("the number of tiles asked about grows with the boundary, not with the area", () => {
  const graph = graphOfMask(maskMod(({ diagonal, key }) => key.le(diagonal)));
  const asked = [4096, 8192, 16384].map((length) => {
    const at = { ...place, lengthQ: length, lengthK: length, offset: 0 };
    return classified(graph, at, 64, 64).asked;
  });
  assert.ok(asked[1]! < 2.1 * asked[0]! && asked[2]! < 2.1 * asked[1]!, `${asked}`);
});

Deno.test("wrapping integers are not taken for their exact forms", () => {
  const at = { ...place, lengthQ: 64, lengthK: 64, offset: 0 };
  const masks = {
    product: maskMod(({ query, key }) => key.mul(2 ** 30).ge(query)),
    sum: maskMod(({ query, key }) => key.add(2 ** 31 - 8).sub(query).ge(0)),
    there: maskMod(({ query, key }) => key.add(2 ** 31 - 1).sub(2 ** 31 - 1).le(query)),
    square: maskMod(({ query, key }) => key.mul(key).mul(key.mul(key)).mul(key.mul(300)).gt(query)),
    below: maskMod(({ query, key }) => key.neg().sub(2 ** 31 - 1).sub(query).lt(0)),
    least: maskMod(({ key }) => key.sub(8).sub(2 ** 31 - 8).abs().lt(0)),
  };
  for (const [name, mod] of Object.entries(masks)) looseBlocks(name, mod, at, 4, 8);
});

Deno.test("values that a remainder skips in one tile are those of that tile, without its ends", () => {
  const at = { ...place, lengthK: 60 };
  const of = (value: number) =>
    classifier(graphOfMask(maskMod(({ key }) => key.mod(10).eq(value))), at);
  const [two, five, eight] = [of(2), of(5), of(8)];
  for (const verdicts of [two, five, eight]) {
    const inGap = verdicts === five ? NEVER : MIXED;
    assert.equal(verdicts(0, 1, 8, 13), inGap); // 8, 9, 0, 1, 2
    assert.equal(verdicts(0, 1, 10, 20), MIXED);
    assert.equal(verdicts(0, 1, 18, 23), inGap);
    assert.equal(verdicts(0, 1, 20, 40), MIXED);
  }
});

Deno.test("floats that may be NaN or overflow prove nothing", () => {
  const at = { ...place, lengthQ: 16, lengthK: 16, offset: 0 };
  const zero = captured(new Float32Array(16), [16]);
  const masks = {
    capped: maskMod(({ key }) => zero.at(key).log().mul(zero.at(key)).min(3).le(5)),
    overflow: maskMod(({ key }) => key.toFloat().mul(1e38).mul(1e38).mul(zero.at(key)).le(1)),
    constant: maskMod(({ key }) => key.toFloat().mul(Infinity).le(Infinity)),
    // devices may take the smallest numbers for 0
    above: maskMod(({ key }) => key.add(1).toFloat().mul(2 ** -130).gt(0)),
    below: maskMod(({ key }) => key.add(1).toFloat().mul(-(2 ** -130)).lt(0)),
  };
  for (const [name, mod] of Object.entries(masks)) {
    assert.equal(classifier(graphOfMask(mod), at)(0, 16, 0, 16), MIXED, name);
  }
});

Deno.test("elements of a table of two axes, up to the last of a tile", () => {
  const at = { ...place, lengthQ: 12, lengthK: 40, offset: 0 }, random = randomNumbers(11);
  for (const rises of [false, true]) {
    const data = Int32Array.from(
      { length: 12 * 40 },
      (_, n) => rises ? n : Math.floor(random() * 9),
    );
    const table = captured(data, [12, 40]);
    for (const [rows, keys] of [[1, 1], [1, 8], [3, 5], [12, 40]] as const) {
      for (const least of [4, 8, 100, 101, 475]) {
        const mod = maskMod(({ query, key }) => table.at(query, key).lt(least));
        looseBlocks(`below ${least}`, mod, at, rows, keys);
      }
    }
  }
});

/** Fails unless the extremes of random runs of an array are those of its elements. */
function assertExtremes(data: Int32Array, random: () => number, name: string): void {
  const extremes = new Extremes(data), { length } = data;
  for (let n = 0; n < 200; n++) {
    const first = Math.floor(random() * length),
      end = first + 1 +
        Math.floor(random() * (length - first));
    extremes.find(first, end);
    const run = data.subarray(first, end);
    assert.equal(extremes.min, Math.min(...run), `${name}: ${first} to ${end}`);
    assert.equal(extremes.max, Math.max(...run), `${name}: ${first} to ${end}`);
  }
}

Deno.test("extremes of any run", () => {
  const random = randomNumbers(3);
  for (const length of [1, 2, 31, 32, 33, 64, 100, 257]) {
    const data = Int32Array.from({ length }, () => Math.floor(random() * 1000) - 500);
    assertExtremes(data, random, `${length}`);
    assertExtremes(data.toSorted(), random, `${length} that rise`);
  }
});

Deno.test("extremes of an array that falls once, wherever it does", () => {
  const random = randomNumbers(4);
  for (const length of [2, 5, 8, 33]) {
    for (let fall = 1; fall < length; fall++) {
      const data = Int32Array.from({ length }, (_, n) => n < fall ? n : n - 2);
      assertExtremes(data, random, `${length}, at ${fall}`);
    }
  }
});

const complaint = new Complaint("attention");
const domain = { ...domainOf({ ...place, lengthQ: 100, lengthK: 120 }), head: [0, 3] as const };

/** Fails unless the indices of a function of scores are refused with this text. */
function assertStray(build: Parameters<typeof scoreMod>[0], text: string): void {
  const { root } = tracedOf(scoreMod(build), "scoreMod")!.graph;
  assert.throws(() => checkCapturedRanges([root], [domain], new Map(), complaint), {
    name: "RangeError",
    message: `Cannot run attention: the index of ${text}`,
  });
}

Deno.test("indices that could be out of range are refused with axis and range", () => {
  const row = captured(new Float32Array(100), [100]),
    table = captured(new Float32Array(12), [4, 3]);
  assertStray(
    ({ score, key }) => score.add(row.at(key)),
    "axis 0 of a captured array of shape [100] can be 0 to 119, wanted 0 to 99: " +
      "hold it there with max(0).min(99)",
  );
  assertStray(
    ({ score, head, query, key }) => score.add(table.at(head, query.sub(key))),
    "axis 1 of a captured array of shape [4, 3] can be -119 to 99, wanted 0 to 2: " +
      "hold it there with max(0).min(2)",
  );
  // what a condition hides is read all the same
  assertStray(
    ({ score, key }) => key.lt(100).where(score.add(row.at(key)), score),
    "axis 0 of a captured array of shape [100] can be 0 to 119, wanted 0 to 99: " +
      "hold it there with max(0).min(99)",
  );
});

Deno.test("indices that are held in range are proven", () => {
  const row = captured(new Float32Array(100), [100]),
    table = captured(new Float32Array(12), [4, 3]);
  const buckets = captured(Int32Array.from({ length: 120 }, (_, n) => n % 3), [120]);
  const mods = [
    scoreMod(({ score, query, key }) => score.add(row.at(query.sub(key).abs().min(99)))),
    scoreMod(({ score, query, key }) => score.add(row.at(query.sub(key).mod(100)))),
    scoreMod(({ score, head, key }) => score.add(table.at(head, buckets.at(key)))),
    scoreMod(({ score, lengthK, key }) => score.add(table.at(key.mul(4).floorDiv(lengthK), 1))),
  ];
  for (const mod of mods) {
    const { root } = tracedOf(mod, "scoreMod")!.graph;
    checkCapturedRanges([root], [domain], new Map(), complaint);
  }
});

Deno.test("many sequences are proven together, or else one by one", () => {
  const row = captured(new Float32Array(50), [50]);
  const { root } = tracedOf(
    scoreMod(({ score, lengthK, key }) => score.add(row.at(lengthK.sub(1).sub(key)))),
    "scoreMod",
  )!.graph;
  const sequences = (...lengths: number[]) =>
    lengths.map((lengthK, batch) => domainOf({ ...place, batch, lengthK }));
  checkCapturedRanges([root], sequences(10, 50, 0, 31), new Map(), complaint); // at once it could be −40
  checkCapturedRanges([root], [], new Map(), complaint);
  assert.throws(() => checkCapturedRanges([root], sequences(10, 51), new Map(), complaint), {
    message: /^Cannot run attention: the index of axis 0 .* can be 0 to 50, wanted 0 to 49/,
  });
});
