/** Building graphs: types, errors, captured arrays, folding, composition. */

import assert from "node:assert/strict";
import { captured, MOST_CAPTURED_GRADIENT } from "../../src/expression/captured.ts";
import { evaluator } from "../../src/expression/evaluate.ts";
import { apply, constant, type Graph, symbol, Trace } from "../../src/expression/graph.ts";
import { isConstant, type Node, reachable } from "../../src/expression/node.ts";
import {
  type OperationName,
  OPERATIONS,
  type Signature,
  type ValueType,
} from "../../src/expression/operations.ts";
import {
  maskMod,
  type MaskSymbols,
  scoreMod,
  type ScoreSymbols,
} from "../../src/expression/score_mod.ts";
import { tracedOf } from "../../src/expression/traced.ts";
import { randomNumbers } from "../random.ts";

const place = { batch: 1, head: 2, kvHead: 1, lengthQ: 8, lengthK: 9, offset: 1 };

function maskGraph(build: Parameters<typeof maskMod>[0]): Graph {
  return tracedOf(maskMod(build), "maskMod")!.graph;
}

/** Fails unless `build`, run on the symbols of a score, throws this message. */
function assertRefused(message: string, build: (symbols: never) => unknown): void {
  assert.throws(() => scoreMod(build as () => never), (error: Error) => error.message === message);
}

/** What tests that JavaScript users could write do with symbols, types aside. */
type Untyped = Record<string, Record<string, (...x: unknown[]) => never>>;

Deno.test("every operation takes its signatures and no other types", () => {
  const types: ValueType[] = ["float", "int", "bool"];
  const trace = new Trace();
  trace.run(() => {
    const symbols = new Map(types.map((type) => [type, openOf(type)]));
    for (const name of Object.keys(OPERATIONS) as OperationName[]) {
      if (name === "pow") continue; // the exponent must be plain
      const count = OPERATIONS[name][0]!.operands.length;
      for (const operands of combinations(types, count)) {
        const signature: Signature | undefined = OPERATIONS[name].find((one) =>
          `${one.operands}` === `${operands}`
        );
        const build = (): Node => apply(name, operands.map((type) => symbols.get(type)!));
        if (signature) assert.equal(build().type, signature.result, `${name} ${operands}`);
        else assert.throws(build, { name: "TypeError" }, `${name} ${operands}`);
      }
    }
  });
});

/** A node that is no constant. */
function openOf(type: ValueType): Node {
  const one = captured(Int32Array.of(5), [1]).at(0) as unknown as Node;
  if (type === "int") return one;
  return type === "float" ? apply("toFloat", [one]) : apply("lt", [one, 7]);
}

function combinations<T>(items: readonly T[], count: number): T[][] {
  if (count === 0) return [[]];
  return combinations(items, count - 1).flatMap((rest) => items.map((item) => [...rest, item]));
}

Deno.test("errors name the operation and both types", () => {
  assertRefused(
    "Cannot apply add to float and int: wanted float and float, or int and int",
    ({ score, key }: Untyped) => score!.add!(key),
  );
  assertRefused(
    "Cannot apply sigmoid to int: wanted float",
    ({ key }: Untyped) => key!.sigmoid!(),
  );
  assertRefused(
    "Cannot apply and to bool and 1: wanted bool and bool",
    ({ key }: Untyped) => (key!.lt!(3) as Untyped[string]).and!(1),
  );
  assertRefused(
    "Cannot apply add to int and 1.5: 1.5 is no 32-bit integer, toFloat() makes floats of ints",
    ({ key }: Untyped) => key!.add!(1.5),
  );
  assertRefused("Cannot apply mod: the divisor is 0", ({ key }: Untyped) => key!.mod!(0));
  assertRefused(
    "Cannot apply pow: the exponent must be a plain number",
    ({ score }: Untyped) => score!.pow!(score),
  );
  assertRefused(
    "Cannot apply where to bool and float and int: wanted bool and float and float, or bool and " +
      "int and int, or bool and bool and bool",
    ({ score, key }: Untyped) => (key!.lt!(3) as Untyped[string]).where!(score, key),
  );
});

Deno.test("operators of JavaScript are refused where they can be", () => {
  const message =
    "Cannot use an operator on int: write a method, a.sub(b) for a - b, a.le(b) for a <= b";
  assertRefused(message, ({ query, key }: Record<string, number>) => query! - key!);
  assertRefused(message, ({ query, key }: Record<string, number>) => key! <= query!);
  assertRefused(message, ({ key }: Record<string, number>) => `${key}`);
});

Deno.test("results have the right type, and masks know no score", () => {
  assertRefused(
    "Cannot run scoreMod: the function returned int but must return float",
    ({ key }: Untyped) => key,
  );
  assertRefused(
    "Cannot run scoreMod: the function returned undefined but must return float",
    () => undefined,
  );
  assert.throws(() => maskMod(({ key }) => key as never), {
    message: "Cannot run maskMod: the function returned int but must return bool",
  });
  assert.throws(() => maskMod(({ score }: Partial<ScoreSymbols>) => score!.gt(0)), {
    message: "Cannot run maskMod: a mask knows no score: it says which scores are computed",
  });
  assert.throws(() => maskMod(3 as never), {
    message: "Cannot run maskMod: its argument is 3 but must be a function of symbols",
  });
  assert.ok(isConstant(maskGraph(() => true).root, 1));
});

Deno.test("symbols are refused outside of their run", () => {
  const kept: MaskSymbols[] = [];
  maskMod((symbols) => {
    kept.push(symbols);
    return true;
  });
  const { key, query } = kept[0]!, message = /^Cannot apply \w+: symbols can be used only in/;
  assert.throws(() => key.add(1), { name: "TypeError", message });
  assert.throws(() => maskMod((symbols) => symbols.key.lt(query)), { message });
  assert.throws(() => captured(new Float32Array(1), []).at(), { message });
  maskMod((outer) => {
    assert.throws(() => maskMod((inner) => inner.key.lt(outer.key)), { message });
    return outer.key.lt(3); // the outer run goes on
  });
  assert.throws(() => maskMod(() => kept[1] as never), { name: "TypeError" });
  let condition: unknown;
  maskMod((symbols) => condition = symbols.key.lt(1));
  assert.throws(() => maskMod(() => condition as never), {
    message: "Cannot run maskMod: the function returned an expression that another function made",
  });
});

Deno.test("captured checks data, shape and gradient", () => {
  const refused = (message: RegExp, ...given: unknown[]) =>
    assert.throws(() => captured(...given as Parameters<typeof captured>), { message });
  refused(/^Cannot run captured: data is a Float64Array but must/, new Float64Array(1), [1]);
  refused(/data has 3 elements but the shape \[2\] has 2/, new Float32Array(3), [2]);
  refused(/shape is \[-1\] but must be an array of integers/, new Float32Array(1), [-1]);
  refused(/may have at most 4 axes/, new Float32Array(1), [1, 1, 1, 1, 1]);
  refused(/integers have no gradient/, new Int32Array(1), [1], { gradient: true });
  const many = MOST_CAPTURED_GRADIENT + 1;
  refused(new RegExp(`at most ${many - 1}`), new Float32Array(many), [many], { gradient: true });
  refused(/gradient is 1 but must be a boolean/, new Float32Array(1), [1], { gradient: 1 });
});

Deno.test("at takes one integer for each axis", () => {
  const table = captured(new Float32Array(6), [2, 3]);
  assertRefused(
    "Cannot apply at: 1 indices given but the shape is [2, 3]",
    ({ key }: never) => table.at(key),
  );
  assertRefused(
    "Cannot apply at: index 1 is float, wanted int",
    ({ key, score }: never) => table.at(key, score),
  );
  assertRefused("Cannot apply at: index 0 is 0.5, wanted int", () => table.at(0.5, 0));
});

Deno.test("equal expressions are one node", () => {
  const { root } = maskGraph(({ query, key }) =>
    query.add(key).lt(7).xor(key.add(query).lt(8).and(query.add(key).lt(7)))
  );
  assert.equal(reachable([root]).filter(({ op }) => op === "add").length, 1);
  assert.equal(reachable([root]).filter(({ op }) => op === "lt").length, 2);
});

Deno.test("masks compose, and what they share is one node", () => {
  const near = maskMod(({ query, key }) => query.sub(key).abs().le(3));
  const even = maskMod(({ query, key }) => query.sub(key).mod(2).eq(0));
  const graph = tracedOf(near.and(even.not()).or(near), "maskMod")!.graph;
  assert.equal(reachable([graph.root]).filter(({ op }) => op === "sub").length, 1);
  const values = evaluator([graph.root], place);
  for (let i = 0; i < 8; i++) {
    for (let j = 0; j < 9; j++) assert.equal(values(0, i, j)[0], Number(Math.abs(i - j) <= 3));
  }
  assert.throws(() => near.and(3 as never), /^TypeError: Cannot apply and: 3 is no mask/);
});

Deno.test("a function knows scores from masks", () => {
  const score = scoreMod((symbols) => symbols.score), mask = maskMod(() => true);
  assert.ok(tracedOf(score, "scoreMod") && tracedOf(mask, "maskMod"));
  for (const wrong of [mask, {}, undefined]) assert.equal(tracedOf(wrong, "scoreMod"), undefined);
});

/** Values at which identities of floats and of integers break. */
const FLOATS = [0, -0, 1, -1, 0.5, 3, 1e300, -Infinity, Infinity, NaN];
const INTS = [0, 1, -1, 2, 7, -7, 2 ** 31 - 1, -(2 ** 31)];

/** A node, and what it must be worth at each sample. */
interface Known {
  readonly node: Node;
  readonly values: readonly number[];
}

/** Symbols of all types and constants, with their values at samples (score, query, key). */
function firstKnown(samples: readonly (readonly [number, number, number])[]): Known[] {
  const constants = (numbers: readonly number[], type: ValueType) =>
    numbers.map((value) => ({ node: constant(value, type), values: samples.map(() => value) }));
  const key = symbol("key");
  return [
    { node: symbol("score"), values: samples.map(([score]) => score) },
    { node: symbol("query"), values: samples.map(([, query]) => query) },
    { node: key, values: samples.map(([, , key]) => key) },
    { node: apply("lt", [key, 1]), values: samples.map(([, , key]) => Number(key < 1)) },
    ...constants(FLOATS, "float"),
    ...constants(INTS, "int"),
    ...constants([0, 1], "bool"),
  ];
}

Deno.test("folding and ordering keep every value bit for bit", () => {
  const random = randomNumbers(20261126);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;
  const names = Object.keys(OPERATIONS) as OperationName[];
  for (let round = 0; round < 60; round++) {
    const samples = Array.from(
      { length: 8 },
      () => [pick(FLOATS), pick(INTS), pick([0, 1])] as const,
    );
    const trace = new Trace(), known = trace.run(() => firstKnown(samples));
    for (let step = 0; step < 80; step++) {
      const name = pick(names), { operands, evaluate } = pick(OPERATIONS[name]);
      const given = operands.map((type) => pick(known.filter(({ node }) => node.type === type)));
      if (name === "pow" && !isConstant(given[1]!.node)) continue; // an error
      const node = trace.run(() => apply(name, given.map((one) => one.node)));
      const values = samples.map((_, n) => {
        const [a = 0, b = 0, c = 0] = given.map((one) => one.values[n]!);
        return evaluate(a, b, c);
      });
      known.push({ node, values });
    }
    const value = evaluator(known.map(({ node }) => node), place);
    samples.forEach(([score, query, key], n) => {
      const got = value(score, query, key);
      known.forEach(({ node, values }, k) =>
        assert.ok(Object.is(got[k], values[n]), `${node.op} is ${got[k]}, not ${values[n]}`)
      );
    });
  }
});

Deno.test("every operation on symbols, constants and what rules look into keeps every value", () => {
  const samples = FLOATS.flatMap((score, n) =>
    [0, 1].map((key) => [score, INTS[n % INTS.length]!, key] as const)
  );
  const trace = new Trace(), leaves = trace.run(() => firstKnown(samples));
  const made = (name: OperationName, given: readonly Known[]): Known | undefined => {
    const types = given.map(({ node }) => node.type).join();
    const found = OPERATIONS[name].find(({ operands }) => operands.join() === types);
    const [, exponent] = given;
    if (!found || (name === "pow" && !isConstant(exponent!.node))) return undefined;
    const node = trace.run(() => apply(name, given.map((one) => one.node)));
    const values = samples.map((_, n) => {
      const [a = 0, b = 0, c = 0] = given.map((one) => one.values[n]!);
      return found.evaluate(a, b, c);
    });
    return { node, values };
  };
  const names = Object.keys(OPERATIONS) as OperationName[];
  const all = (counts: number, of: readonly Known[]): Known[] =>
    names.flatMap((name) => {
      const tuples = Array.from({ length: of.length ** counts }, (_, n) =>
        Array.from({ length: counts }, (_, axis) =>
          of[Math.floor(n / of.length ** axis) % of.length]!));
      return tuples.flatMap((given) =>
        made(name, given) ?? []
      );
    });
  const inner = all(1, leaves.filter(({ node }) => !isConstant(node)));
  const [score, query, key, , half] = leaves as [Known, Known, Known, Known, Known];
  const orders = [made("lt", [query, key])!, made("ne", [query, key])!, made("lt", [score, half])!];
  const compared = [...orders, ...orders.map((order) => made("not", [order])!)];
  const few = [...leaves.slice(0, 6), ...leaves.slice(-2), ...compared, ...inner.slice(0, 4)];
  const known = [
    ...all(1, [...leaves, ...inner, ...compared]),
    ...all(2, [...leaves, ...inner, ...compared]),
    ...all(3, few),
  ];
  const value = evaluator(known.map(({ node }) => node), place);
  samples.forEach(([score, query, key], n) => {
    const got = value(score, query, key);
    known.forEach(({ node, values }, k) =>
      assert.ok(Object.is(got[k], values[n]), `${node.op} is ${got[k]}, not ${values[n]}`)
    );
  });
});

Deno.test("what rules can fold is folded", () => {
  const trace = new Trace(), score = trace.run(() => symbol("score"));
  const query = trace.run(() => symbol("query"));
  assert.ok(isConstant(trace.run(() => apply("pow", [score, 0])), 1)); // no program has that power
  assert.ok(isConstant(trace.run(() => apply("mod", [query, 1])), 0));
  const { root: always } = maskGraph(({ query, key }) => query.sub(query).add(key).eq(key));
  assert.ok(isConstant(always, 1));
  const { root: less } = maskGraph(({ query, key }) => query.ge(key).not());
  assert.equal(less.op, "lt");
  const { root: arm } = maskGraph(({ query, key }) => key.lt(2).not().where(query.gt(key), false));
  assert.equal(arm.op, "and");
  assert.deepEqual(new Set(arm.operands.map(({ op }) => op)), new Set(["gt", "ge"]));
});
