/** Programs that sum up gradients of captured arrays, against the derivatives of their graphs. */

import assert from "node:assert/strict";
import { gradientProgram } from "../../src/expression/bytecode.ts";
import { derivative } from "../../src/expression/derivative.ts";
import { encode } from "../../src/expression/encoding.ts";
import { evaluator } from "../../src/expression/evaluate.ts";
import { learnedArrays, type Node } from "../../src/expression/node.ts";
import type { ScoreMod } from "../../src/expression/score_mod.ts";
import { tracedOf } from "../../src/expression/traced.ts";
import { SCORE_FUNCTIONS } from "../expressions/functions.ts";
import { randomScore } from "../expressions/random.ts";
import { rounded } from "../expressions/rounded.ts";
import { openTileMachine } from "../expressions/tile_machine.ts";
import { normalNumbers } from "../random.ts";

const machine = await openTileMachine();
const place = { batch: 1, head: 2, kvHead: 1, lengthQ: 60, lengthK: 70, offset: 10 };
const GROUP = 2, KEYS = 48, KEY = 7;
const lanes = Array.from({ length: 8 }, (_, n) => ({ query: 17 + n, head: 2 }));
const dS = Float32Array.from(normalNumbers(81, KEYS * 8, 1));
const scores = Float32Array.from(normalNumbers(82, KEYS * 8, 2));
// whatever a function makes of a hidden pair, it adds nothing
dS.forEach((_, n) => n % 11 || (dS[n] = 0));

/** What float64 makes of a function's sums, and what rounding scores and terms to float32 may do to them. */
function sumsOf(mod: ScoreMod): { wanted: Float64Array; allowed: Float64Array } {
  const { graph } = tracedOf(mod, "scoreMod")!, terms = derivative(graph).captured;
  const arrays = learnedArrays(graph.root);
  const starts = arrays.map((_, n) =>
    arrays.slice(0, n).reduce((sum, { data }) => sum + data.length, 0)
  );
  const count = arrays.reduce((sum, { data }) => sum + data.length, 0);
  const wanted = new Float64Array(count), allowed = new Float64Array(count);
  const roots: Node[] = terms.flatMap(({ index, value }) => [value, ...index]);
  const evaluate = evaluator(roots, place), inFloat32 = rounded(roots);
  dS.forEach((ds, n) => {
    if (ds === 0) return;
    const query = lanes[n % 8]!.query, key = KEY + Math.floor(n / 8);
    const at = (score: number) => [...evaluate(score, query, key)];
    const pair = { ...place, query, key, diagonal: query + place.offset };
    const values = at(scores[n]!), others = [1e-6, -1e-6].map((x) => at(scores[n]! * (1 + x)));
    others.push(inFloat32(scores[n]!, pair));
    for (const { captured, index } of terms) {
      const [value, ...at] = values.splice(0, 1 + index.length);
      const bends = others.map((other) => Math.abs(other.splice(0, 1 + index.length)[0]! - value!));
      const element = at.reduce((sum, i, axis) => sum * captured.shape[axis]! + i, 0);
      const sum = starts[arrays.indexOf(captured)]! + element;
      wanted[sum]! += ds * value!;
      allowed[sum]! += Math.abs(ds) * (4e-6 * Math.abs(value!) + 20 * Math.max(...bends));
    }
  });
  return { wanted, allowed };
}

function check(name: string, mod: ScoreMod): void {
  const { graph } = tracedOf(mod, "scoreMod")!;
  const { wanted, allowed } = sumsOf(mod);
  if (wanted.length === 0) return;
  const program = gradientProgram(derivative(graph).captured, learnedArrays(graph.root));
  const tile = { lanes, key: KEY, keys: KEYS, scores: dS };
  const sums = machine.sums(encode(program, KEYS), place, GROUP, tile, scores, wanted.length);
  wanted.forEach((want, n) => {
    if (!Number.isFinite(want)) return;
    const near = Math.abs(sums[n]! - want) <= allowed[n]!;
    assert.ok(near, `${name}, sum ${n}: ${sums[n]}, not ${want}`);
  });
}

Deno.test("sums of the functions that people write", () => {
  for (const [name, { mod }] of Object.entries(SCORE_FUNCTIONS)) check(name, mod);
});

Deno.test("sums of random graphs", () => {
  for (let seed = 1; seed <= 120; seed++) check(`score ${seed}`, randomScore(seed));
});
