/** Programs of the tile interpreter against the values of their graphs, in every layout of rows. */

import assert from "node:assert/strict";
import { derivative } from "../../src/expression/derivative.ts";
import { evaluator } from "../../src/expression/evaluate.ts";
import { learnedArrays, type Node } from "../../src/expression/node.ts";
import { OPCODES } from "../../src/expression/opcodes.ts";
import {
  gradientProgram,
  hideProgram,
  type Program,
  scoreProgram,
} from "../../src/expression/bytecode.ts";
import { encode } from "../../src/expression/encoding.ts";
import { type ScoreMod, scoreMod } from "../../src/expression/score_mod.ts";
import { tracedOf } from "../../src/expression/traced.ts";
import { MASK_FUNCTIONS, SCORE_FUNCTIONS } from "../expressions/functions.ts";
import { randomMask, randomScore } from "../expressions/random.ts";
import { rounded } from "../expressions/rounded.ts";
import { openTileMachine, type Ran, type Tile } from "../expressions/tile_machine.ts";
import { normalNumbers } from "../random.ts";

const machine = await openTileMachine();
const place = { batch: 1, head: 2, kvHead: 1, lengthQ: 60, lengthK: 70, offset: 10 };
const GROUP = 2, KEYS = 48;

/** Eight queries of a head at some keys, not all of a tile. */
const prefill = tileOf(Array.from({ length: 8 }, (_, n) => ({ query: 17 + n, head: 2 })), 7, 47);
/** The last panel: lanes past the last query repeat it. */
const last = tileOf(
  Array.from({ length: 8 }, (_, n) => ({ query: Math.min(59, 56 + n), head: 2 })),
  23,
  47,
);
/** Two queries of the two heads of a group. */
const decode = tileOf([2, 3].flatMap((head) => [9, 10].map((query) => ({ query, head }))), 16, 45);

function tileOf(lanes: Tile["lanes"], key: number, keys: number): Tile {
  const scores = Float32Array.from(normalNumbers(key, keys * lanes.length, 2));
  return { lanes, key, keys, scores };
}

/** Calls `check` with the place, score and position of each pair of a tile. */
function forPairs(
  { lanes, key, scores }: Tile,
  check: (lane: Tile["lanes"][number], key: number, score: number, n: number) => void,
): void {
  scores.forEach((score, n) => {
    check(lanes[n % lanes.length]!, key + Math.floor(n / lanes.length), score, n);
  });
}

/** Every layout, by name. */
function layouts(program: Program): { name: string; tile: Tile; ran: Ran }[] {
  const encoded = encode(program, KEYS);
  return [
    ...Object.entries({ prefill, last, decode }).map(([name, tile]) => ({
      ...{ name, tile },
      ran: machine.run(encoded, place, GROUP, tile),
    })),
    { name: "one by one", tile: prefill, ran: machine.runByOne(encoded, place, GROUP, prefill) },
  ];
}

const rootOf = (mod: object, kind: "scoreMod" | "maskMod") => tracedOf(mod, kind)!.graph;

/** Functions with what the others lack. */
const OTHERS = {
  unequal: scoreMod(({ score, key }) => score.ne(key.toFloat()).where(score, 2)),
};

/**
 * Compares scores and slopes with float64, allowing for what rounding to float32 does to this function: by itself, and
 * to its argument.
 */
function checkScore(name: string, mod: ScoreMod): void {
  const graph = rootOf(mod, "scoreMod"), derived = derivative(graph);
  const roots = [graph.root, derived.score], inFloat32 = rounded(roots);
  const program = scoreProgram(graph.root, false, derived);
  for (const { name: layout, tile, ran } of layouts(program)) {
    forPairs(tile, ({ query, head }, key, score, n) => {
      const at = { ...place, head, kvHead: head >> 1 };
      const exactly = evaluator(roots, at);
      const [wanted, above, below] = [0, 1e-6, -1e-6].map((
        change,
      ) => [...exactly(score * (1 + change), query, key)]) as [number[], number[], number[]];
      const near = inFloat32(score, { ...at, query, key, diagonal: query + place.offset });
      const got = [ran.scores[n]!, program.slope ? ran.slopes[n]! : 1];
      got.forEach((value, which) => {
        const want = wanted[which]!;
        const bend = [above, below, near].reduce(
          (most, other) => Math.max(most, Math.abs(want - other[which]!)),
          0,
        );
        if (Object.is(value, want) || value === want) return;
        const error = Math.abs(value - want), allowed = 2e-6 * (1 + Math.abs(want)) + 20 * bend;
        const what = `${name}, ${layout}, ${which ? "slope" : "score"} of ${query}, ${key}`;
        assert.ok(error <= allowed, `${what}: ${value}, not ${want} (${near[which]} in float32)`);
      });
    });
  }
}

/** Compares what is hidden, exactly. */
function checkMask(name: string, root: Node): void {
  for (const { name: layout, tile, ran } of layouts(hideProgram(root))) {
    forPairs(tile, ({ query, head }, key, score, n) => {
      const shown = evaluator([root], { ...place, head, kvHead: head >> 1 })(NaN, query, key)[0];
      const what = `${name}, ${layout}, pair ${query}, ${key}`;
      if (!shown) assert.equal(ran.scores[n], -Infinity, what);
      else assert.ok(Math.abs(ran.scores[n]! - score) <= 1e-6 * (1 + Math.abs(score)), what);
    });
  }
}

Deno.test("programs of the functions that people write", () => {
  for (const [name, { mod }] of Object.entries(SCORE_FUNCTIONS)) checkScore(name, mod);
  for (const [name, mod] of Object.entries(OTHERS)) checkScore(name, mod);
  for (const [name, { mod }] of Object.entries(MASK_FUNCTIONS)) {
    checkMask(name, rootOf(mod, "maskMod").root);
  }
});

/** Random graphs: so many run every instruction. */
const GRAPHS = 60;

Deno.test("programs of random graphs", () => {
  for (let seed = 1; seed <= GRAPHS; seed++) {
    checkMask(`mask ${seed}`, rootOf(randomMask(seed), "maskMod").root);
    checkScore(`score ${seed}`, randomScore(seed));
  }
});

/** The instructions of a program. */
function opcodesOf({ sections }: Program): string[] {
  return Object.values(sections).flat().map(({ op }) => op);
}

Deno.test("these tests run every instruction", () => {
  const seen = new Set<string>();
  const add = (mod: object) => {
    const graph = rootOf(mod, "scoreMod");
    const derived = derivative(graph);
    opcodesOf(scoreProgram(graph.root, true, derived)).forEach((op) => seen.add(op));
    opcodesOf(gradientProgram(derived.captured, learnedArrays(graph.root)))
      .forEach((op) => seen.add(op));
  };
  Object.values(SCORE_FUNCTIONS).forEach(({ mod }) => add(mod));
  Object.values(OTHERS).forEach(add);
  for (let seed = 1; seed <= GRAPHS; seed++) {
    add(randomScore(seed));
    opcodesOf(hideProgram(rootOf(randomMask(seed), "maskMod").root)).forEach((op) => seen.add(op));
  }
  assert.deepEqual(OPCODES.filter((op) => !seen.has(op)), []);
});

Deno.test("scores that something hid before stay hidden", () => {
  const { root } = rootOf(scoreMod(({ score }) => score.neg().add(1)), "scoreMod");
  const scores = prefill.scores.map((score, n) => n % 3 ? score : -Infinity);
  const program = encode(scoreProgram(root, true), KEYS);
  const ran = machine.run(program, place, GROUP, { ...prefill, scores });
  ran.scores.forEach((score, n) => assert.equal(score === -Infinity, n % 3 === 0));
});

/** What the instructions for a function are, in the section of pairs. */
function pairOpcodes(build: Parameters<typeof scoreMod>[0]): string[] {
  const { root } = rootOf(scoreMod(build), "scoreMod");
  return scoreProgram(root, false).sections.pair.map(({ op }) => op);
}

Deno.test("programs are short: units cost nothing, and what changes with a key or a query alone is not of pairs", () => {
  assert.deepEqual(pairOpcodes(({ score }) => score), []);
  assert.deepEqual(pairOpcodes(({ score }) => score.div(20).tanh().mul(20)), [
    ...["mul", "tanh", "mul"],
  ]);
  assert.deepEqual(
    pairOpcodes(({ score, query, key }) => score.sub(query.sub(key).abs().toFloat().mul(0.1))),
    ["distance", "nmadd"],
  );
  assert.deepEqual(
    pairOpcodes(({ score, query, key }) => score.add(key.mod(7).add(query.mul(3)).toFloat())),
    ["iadd", "toFloat", "madd"],
  );
});
