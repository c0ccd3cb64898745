/** Derivatives of functions of scores against central differences. */

import assert from "node:assert/strict";
import { captured } from "../../src/expression/captured.ts";
import { type Derivative, derivative } from "../../src/expression/derivative.ts";
import { evaluator, flatIndex } from "../../src/expression/evaluate.ts";
import type { Graph } from "../../src/expression/graph.ts";
import { isConstant, type Node, reachable } from "../../src/expression/node.ts";
import { scoreMod } from "../../src/expression/score_mod.ts";
import { tracedOf } from "../../src/expression/traced.ts";
import { SCORE_FUNCTIONS } from "../expressions/functions.ts";
import { randomScore } from "../expressions/random.ts";

const place = { batch: 1, head: 2, kvHead: 1, lengthQ: 128, lengthK: 128, offset: 5 };
/** Steps of captured values, exact in float32, and of scores. */
const STEP = 2 ** -12;

/** Scores, queries and keys to look at. */
const pairs = Array.from({ length: 60 }, (_, n) => ({
  score: 4 * Math.sin(7.7 * n + 1),
  query: 37 * n % 128,
  key: 53 * n % 128,
}));

type Pair = typeof pairs[number];

function graphOfScore(build: Parameters<typeof scoreMod>[0]): Graph {
  return tracedOf(scoreMod(build), "scoreMod")!.graph;
}

/** Derivative from values around, to the fourth order; NaN near a kink or a jump. */
function difference(value: (step: number) => number): number {
  const by = (h: number) => (value(h) - value(-h)) / (2 * h);
  const coarse = by(STEP), fine = by(STEP / 2), scale = 1 + Math.abs(fine);
  const oneSided = (value(STEP) - value(0)) / STEP; // a kink between both sides looks smooth to others
  const smooth = Math.abs(coarse - fine) <= 1e-5 * scale &&
    Math.abs(oneSided - coarse) <= 1e-2 * scale;
  return smooth ? (4 * fine - coarse) / 3 : NaN;
}

/** One element of a captured array, and its derivative: several terms may read the same one. */
interface Element {
  readonly data: Float32Array | Int32Array;
  readonly at: number;
  value: number;
}

/** The values of all terms of a pair, by element. */
function elementsOf({ captured }: Derivative, values: readonly number[]): Element[] {
  const elements: Element[] = [], rest = [...values];
  for (const { captured: array, index } of captured) {
    const value = rest.shift()!, at = flatIndex(array, rest.splice(0, index.length));
    const known = elements.find((one) => one.data === array.data && one.at === at);
    if (known) known.value += value;
    else elements.push({ data: array.data, at, value });
  }
  return elements;
}

/** Largest error of a derivative at all pairs, relative to 1 + |derivative|, and how much could be compared. */
function compare(graph: Graph, of: Derivative): { error: number; compared: number; all: number } {
  const terms = of.captured.flatMap(({ value, index }) => [value, ...index]);
  const at = evaluator([graph.root], place), got = evaluator([of.score, ...terms], place);
  let error = 0, compared = 0, all = 0;
  const note = (own: number, wanted: number) => {
    all++;
    if (!Number.isFinite(wanted)) return;
    compared++;
    const off = Math.abs(own - wanted) / (1 + Math.abs(wanted));
    error = Math.max(error, Number.isNaN(off) ? Infinity : off);
  };
  for (const { score, query, key } of pairs) {
    const [byScore = 0, ...values] = got(score, query, key).slice();
    note(byScore, difference((step) => at(score + step, query, key)[0]!));
    for (const { data, at: n, value } of elementsOf(of, values)) {
      const read = () => at(score, query, key)[0]!;
      note(value, difference((step) => withStep(data, n, step, read)));
    }
  }
  return { error, compared, all };
}

/** `read()` while an element is larger by `step`. */
function withStep(
  data: Float32Array | Int32Array,
  at: number,
  step: number,
  read: () => number,
): number {
  const before = data[at]!;
  data[at] = before + step;
  const value = read();
  data[at] = before;
  return value;
}

Deno.test("functions that people write have the derivative of central differences", () => {
  for (const [name, { mod }] of Object.entries(SCORE_FUNCTIONS)) {
    const graph = tracedOf(mod, "scoreMod")!.graph,
      { error, compared, all } = compare(graph, derivative(graph));
    assert.ok(error <= 1e-6, `${name} is off by ${error}`);
    assert.ok(compared >= 0.95 * all, `${name}: ${compared} of ${all} compared`);
  }
});

Deno.test("random graphs have the derivative of central differences", () => {
  let compared = 0, all = 0, terms = 0;
  for (let seed = 0; seed < 150; seed++) {
    const graph = tracedOf(randomScore(seed), "scoreMod")!.graph, of = derivative(graph);
    const one = compare(graph, of);
    assert.ok(one.error <= 1e-4, `seed ${seed} is off by ${one.error}`);
    compared += one.compared;
    all += one.all;
    terms += of.captured.length;
  }
  assert.ok(compared > 0.8 * all && terms > 100, `${compared} of ${all} compared, ${terms} terms`);
});

Deno.test("an arm that was not chosen adds nothing, infinite as its slope may be", () => {
  const { root, trace } = graphOfScore(({ score }) => {
    const root = score.sqrt(), positive = score.gt(0);
    return positive.where(root, 0).add(positive.where(root.mul(score.log()), 1));
  });
  const value = evaluator([derivative({ root, trace }).score], place);
  for (const score of [0, -1, -Infinity]) assert.equal(value(score, 0, 0)[0], 0);
  assert.ok(Math.abs(value(1, 0, 0)[0]! - 1.5) < 1e-12);
});

Deno.test("of equal operands of min and max the first has the derivative", () => {
  const weight = captured(Float32Array.of(2), [1], { gradient: true });
  for (const way of ["min", "max"] as const) {
    const of = derivative(graphOfScore(({ score }) => score[way](weight.at(0))));
    const value = evaluator([of.score, of.captured[0]!.value], place);
    assert.deepEqual([...value(2, 0, 0)], [1, 0]);
  }
});

Deno.test("the absolute value has no slope at zero", () => {
  const value = evaluator([derivative(graphOfScore(({ score }) => score.abs())).score], place);
  assert.deepEqual([0, -0, 2, -2].map((score) => value(score, 0, 0)[0]), [0, 0, 1, -1]);
});

Deno.test("functions that only add to the score have the constant slope 1", () => {
  for (const name of ["alibi", "relativeTable", "decay", "buckets", "waves"]) {
    const of = derivative(tracedOf(SCORE_FUNCTIONS[name]!.mod, "scoreMod")!.graph);
    assert.ok(isConstant(of.score, 1), name);
  }
  const none = derivative(graphOfScore(({ key }) => key.toFloat()));
  assert.ok(isConstant(none.score, 0));
});

Deno.test("there is one term for each place that reads an array with a gradient", () => {
  const gradient = captured(new Float32Array(8), [8], { gradient: true });
  const fixed = captured(new Float32Array(8), [8]);
  const of = derivative(graphOfScore(({ score, head, kvHead }) => {
    const a = gradient.at(head), b = gradient.at(kvHead);
    return score.add(a).add(a.mul(b)).add(fixed.at(head));
  }));
  assert.equal(of.captured.length, 2);
  assert.ok(of.captured.every(({ captured }) => captured === gradient));
});

Deno.test("a derivative goes on in the same graph", () => {
  const { root, trace } = graphOfScore(({ score }) => score.tanh());
  const of = derivative({ root, trace });
  const tanhs = (roots: Node[]) => reachable(roots).filter(({ op }) => op === "tanh").length;
  assert.equal(tanhs([root, of.score]), 1);
  assert.equal(derivative({ root, trace }).score, of.score);
});
