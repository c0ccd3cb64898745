/** Values of graphs against the same functions as plain code. */

import assert from "node:assert/strict";
import { captured } from "../../src/expression/captured.ts";
import { evaluate, evaluator } from "../../src/expression/evaluate.ts";
import { maskMod } from "../../src/expression/score_mod.ts";
import { tracedOf } from "../../src/expression/traced.ts";
import { MASK_FUNCTIONS, SCORE_FUNCTIONS } from "../expressions/functions.ts";
import { normalNumbers } from "../random.ts";

const place = { batch: 1, head: 2, kvHead: 1, lengthQ: 60, lengthK: 70, offset: 10 };
const pairOf = (query: number, key: number) => ({
  ...place,
  query,
  key,
  diagonal: query + place.offset,
});

Deno.test("functions of scores have the values of plain code", () => {
  const scores = normalNumbers(1, 60 * 70, 3);
  for (const [name, { mod, plain }] of Object.entries(SCORE_FUNCTIONS)) {
    const got = evaluate(tracedOf(mod, "scoreMod")!.graph.root, place, [0, 60], [0, 70], scores);
    got.forEach((value, n) => {
      const wanted = plain(scores[n]!, pairOf(Math.floor(n / 70), n % 70));
      const error = Math.abs(value - wanted);
      assert.ok(error <= 1e-12 * (1 + Math.abs(wanted)), `${name} ${n}: ${value}, not ${wanted}`);
    });
  }
});

Deno.test("masks have the values of plain code", () => {
  for (const [name, { mod, plain }] of Object.entries(MASK_FUNCTIONS)) {
    const got = evaluate(tracedOf(mod, "maskMod")!.graph.root, place, [5, 60], [3, 70]);
    got.forEach((value, n) => {
      const wanted = plain(pairOf(5 + Math.floor(n / 67), 3 + n % 67));
      assert.equal(value, Number(wanted), `${name} ${n}`);
    });
  }
});

Deno.test("integers wrap, and division rounds down", () => {
  const least = -(2 ** 31), most = 2 ** 31 - 1;
  const valueOf = (build: Parameters<typeof maskMod>[0]) => {
    const { root } = tracedOf(maskMod(build), "maskMod")!.graph;
    return (query: number, key: number) =>
      evaluator([root.operands[0]!], place)(NaN, query, key)[0];
  };
  const sum = valueOf(({ query, key }) => query.add(key).lt(5));
  assert.equal(sum(most, 1), least);
  const times = valueOf(({ query, key }) => query.mul(key).lt(5));
  assert.equal(times(most, most), 1);
  const quotient = valueOf(({ query, key }) => query.floorDiv(key).lt(5));
  assert.deepEqual([quotient(7, -2), quotient(-7, 2), quotient(7, 0), quotient(least, -1)], [
    -4,
    -4,
    0,
    least,
  ]);
  const rest = valueOf(({ query, key }) => query.mod(key).lt(5));
  assert.deepEqual([rest(-7, 3), rest(7, -3), rest(7, 0)], [2, -2, 0]);
  const distance = valueOf(({ query }) => query.abs().lt(5));
  assert.equal(distance(least, 0), least);
});

Deno.test("NaN wins in min and max", () => {
  const ways = ["min", "max"] as const;
  for (const way of ways) {
    const { root } = tracedOf(
      maskMod(({ query }) => query.toFloat().mul(NaN)[way](1).eq(1)),
      "maskMod",
    )!.graph;
    const smaller = root.operands.find(({ op }) => op === way)!;
    assert.ok(Number.isNaN(evaluator([smaller], place)(NaN, 0, 0)[0]));
  }
});

Deno.test("an index out of range is an error, not another element", () => {
  const table = captured(new Int32Array(6), [2, 3]);
  const { root } =
    tracedOf(maskMod(({ query, key }) => table.at(query, key).eq(0)), "maskMod")!.graph;
  assert.throws(() => evaluate(root, place, [0, 1], [0, 4]), {
    name: "RangeError",
    message: "Cannot read captured [2, 3]: index 3 of axis 1",
  });
});
