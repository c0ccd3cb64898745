/** The named masks: their meaning pair by pair, their blocks, how they compose, what they refuse. */

import assert from "node:assert/strict";
import { classified } from "../expressions/classified.ts";
import { ALWAYS, MIXED, NEVER } from "../../src/expression/verdict.ts";
import { evaluate } from "../../src/expression/evaluate.ts";
import { masks } from "../../src/expression/masks.ts";
import { type MaskMod, maskMod } from "../../src/expression/score_mod.ts";
import { tracedOf } from "../../src/expression/traced.ts";

/** Whether query i, with diagonal d, sees key j. */
type Sees = (i: number, d: number, j: number) => boolean;

const idsQ = Int32Array.from({ length: 300 }, (_, n) => Math.floor(n / 37));
const idsK = Int32Array.from({ length: 300 }, (_, n) => Math.floor((n + 20) / 45));
const { causal, window, prefix, documents, dilated, strided, globalTokens } = masks;

const NAMED: Readonly<Record<string, readonly [MaskMod, Sees]>> = {
  "causal": [causal(), (_, d, j) => j <= d],
  "window": [window(20, 3), (_, d, j) => d - 20 <= j && j <= d + 3],
  "window, open left": [window(Infinity, 2), (_, d, j) => j <= d + 2],
  "window, open right": [window(7, Infinity), (_, d, j) => d - 7 <= j],
  "window, open": [window(Infinity, Infinity), () => true],
  "window, one key": [window(0, 0), (_, d, j) => j === d],
  "window, wider than 32 bits can add": [window(2 ** 31 - 1, 0), (_, d, j) => j <= d],
  "prefix": [prefix(50), (_, _d, j) => j < 50],
  "prefix of none": [prefix(0), () => false],
  "documents": [documents(idsQ), (i, _, j) => idsQ[i] === idsQ[j]],
  "documents of two": [documents(idsQ, idsK), (i, _, j) => idsQ[i] === idsK[j]],
  "dilated": [dilated(9, 5), (_, d, j) => Math.abs(d - j) <= 45 && (d - j) % 5 === 0],
  "strided": [strided(13), (_, d, j) => (d - j) % 13 === 0],
  "strided by one": [strided(1), () => true],
  "globalTokens": [globalTokens(9), (i, _, j) => i < 9 || j < 9],
  "prefix LM": [causal().or(prefix(40)), (_, d, j) => j <= d || j < 40],
  "causal documents": [
    causal().and(documents(idsQ)),
    (i, d, j) => j <= d && idsQ[i] === idsQ[j],
  ],
  "the future": [causal().not(), (_, d, j) => j > d],
  "with a function": [
    window(30, 30).and(maskMod(({ key }) => key.mod(2).eq(0)).not()),
    (_, d, j) => Math.abs(d - j) <= 30 && j % 2 === 1,
  ],
};

const SHAPES = [[200, 300], [300, 200], [1, 250], [64, 64]] as const;

Deno.test("named masks mean what they say, and their blocks are right", () => {
  for (const [name, [mod, sees]] of Object.entries(NAMED)) {
    let loose = 0;
    for (const [lengthQ, lengthK] of SHAPES) loose += check(name, mod, sees, lengthQ, lengthK);
    assert.equal(loose, 0, `${name}: blocks that are mixed in vain`);
  }
});

/** Compares all pairs and all blocks; returns how many mixed blocks are really empty or full. */
function check(name: string, mod: MaskMod, sees: Sees, lengthQ: number, lengthK: number): number {
  const graph = tracedOf(mod, "maskMod")!.graph, rows = 8, keys = 16, offset = lengthK - lengthQ;
  const place = { batch: 0, head: 0, kvHead: 0, lengthQ, lengthK, offset };
  const values = evaluate(graph.root, place, [0, lengthQ], [0, lengthK]);
  const grid = classified(graph, place, rows, keys);
  const shown = new Uint32Array(grid.verdicts.length), all = new Uint32Array(grid.verdicts.length);
  values.forEach((value, n) => {
    const i = Math.floor(n / lengthK), j = n % lengthK;
    if (value !== Number(sees(i, i + offset, j))) assert.fail(`${name}: ${value} at ${i}, ${j}`);
    const block = Math.floor(i / rows) * grid.columns + Math.floor(j / keys);
    shown[block]! += value;
    all[block]!++;
  });
  return grid.verdicts.reduce((loose, verdict, n) => {
    const truth = shown[n] === 0 ? NEVER : shown[n] === all[n] ? ALWAYS : MIXED;
    if (verdict !== MIXED) assert.equal(verdict, truth, `${name}: block ${n}`);
    return loose + Number(verdict !== truth);
  }, 0);
}

Deno.test("named masks refuse what has no meaning", () => {
  const refused = (build: () => unknown, name: string, message: string) =>
    assert.throws(build, { name, message: `Cannot run masks.${message}` });
  refused(
    () => window(-1, 0),
    "RangeError",
    "window: left is -1 but must be an integer from 0 to 2147483647",
  );
  refused(
    () => prefix(1.5),
    "RangeError",
    "prefix: n is 1.5 but must be an integer from 0 to 2147483647",
  );
  refused(
    () => strided(0),
    "RangeError",
    "strided: n is 0 but must be an integer from 1 to 2147483647",
  );
  refused(
    () => dilated(2 ** 20, 2 ** 20),
    "RangeError",
    "dilated: width · dilation is 1099511627776 but must be an integer from 0 to 2147483647",
  );
  refused(
    () => globalTokens("4" as never),
    "TypeError",
    'globalTokens: n is "4" but must be a number',
  );
  refused(
    () => documents([1, 2] as never),
    "TypeError",
    "documents: ids is [1, 2] but must be an Int32Array",
  );
});
