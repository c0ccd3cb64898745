// Values of graphs in float64, pair by pair: what every other way to compute them is measured against.
import { show } from "../tensor/errors.ts";
import { type CapturedArray, type Node, reachable } from "./node.ts";
import { type OperationName, signatureOf } from "./operations.ts";
import type { Place } from "./symbols.ts";

/** Values of some expressions at a pair; the array is the same at every call. */
export type Evaluator = (score: number, query: number, key: number) => Float64Array;

/** Position of an element of a captured array. */
export function flatIndex({ shape }: CapturedArray, index: readonly number[]): number {
  return index.reduce((position, at, axis) => {
    const length = shape[axis]!;
    if (at >= 0 && at < length) return position * length + at;
    throw new RangeError(`Cannot read captured ${show(shape)}: index ${at} of axis ${axis}`);
  }, 0);
}

/** The pair that is evaluated. */
interface Pair {
  score: number;
  query: number;
  key: number;
}

/** Value of a symbol. */
function symbolStep(name: Node["symbol"], place: Place, pair: Pair): () => number {
  if (name === "score" || name === "query" || name === "key") return () => pair[name];
  if (name === "diagonal") return () => pair.query + place.offset;
  return () => place[name!];
}

/** Computes a node from the values of those before it; `at`: where its operands stand among them. */
function stepOf(
  node: Node,
  at: readonly number[],
  values: Float64Array,
  place: Place,
  pair: Pair,
): () => number {
  if (node.op === "constant") return () => node.value!;
  if (node.op === "symbol") return symbolStep(node.symbol, place, pair);
  if (node.op === "gather") {
    const array = node.captured!;
    return () => array.data[flatIndex(array, at.map((n) => values[n]!))]!;
  }
  const types = node.operands.map(({ type }) => type);
  const { evaluate } = signatureOf(node.op as OperationName, types)!;
  const [a = 0, b = 0, c = 0] = at;
  return () => evaluate(values[a]!, values[b]!, values[c]!);
}

/** Makes the function that computes `roots` at a pair. */
export function evaluator(roots: readonly Node[], place: Place): Evaluator {
  const nodes = reachable(roots), slots = new Map(nodes.map((node, n) => [node, n]));
  const values = new Float64Array(nodes.length), results = new Float64Array(roots.length);
  const pair: Pair = { score: NaN, query: 0, key: 0 };
  const steps = nodes.map((node) =>
    stepOf(node, node.operands.map((one) => slots.get(one)!), values, place, pair)
  );
  const wanted = roots.map((root) => slots.get(root)!);
  return (score, query, key) => {
    pair.score = score;
    pair.query = query;
    pair.key = key;
    steps.forEach((step, n) => values[n] = step());
    wanted.forEach((n, r) => results[r] = values[n]!);
    return results;
  };
}

/** Values of a rectangle of pairs, rows × keys; `scores` likewise. */
export function evaluate(
  root: Node,
  place: Place,
  [firstRow, endRow]: readonly [number, number],
  [firstKey, endKey]: readonly [number, number],
  scores?: ArrayLike<number>,
): Float64Array {
  const at = evaluator([root], place),
    values = new Float64Array((endRow - firstRow) * (endKey - firstKey));
  let n = 0;
  for (let i = firstRow; i < endRow; i++) {
    for (let j = firstKey; j < endKey; j++, n++) values[n] = at(scores?.[n] ?? NaN, i, j)[0]!;
  }
  return values;
}
