// Ranges of values over whole tiles of queries × keys, without looking at their pairs. A range may be wider than what
// occurs, never narrower.
import { conditionStep } from "./intervals/conditions.ts";
import { Extremes } from "./intervals/extremes.ts";
import { floatConstant, floatStep, unknownFloat } from "./intervals/floats.ts";
import { integerStep } from "./intervals/integers.ts";
import {
  affineStep,
  newState,
  putInt,
  type Range,
  type Slots,
  type State,
  type Step,
} from "./intervals/state.ts";
import { type CapturedArray, type Node, reachable } from "./node.ts";
import { type Place, VARIES } from "./symbols.ts";

/** The values that symbols may have: of one place, or of many at once. */
export type Domain = { readonly [Name in keyof Place]: Range };

/** Ranges of some expressions, in the order in which they were given, over the tile that was looked at last. */
export interface Ranges {
  readonly low: Float64Array;
  readonly high: Float64Array;
  /** Looks at queries `rowBegin` to `rowEnd − 1` and keys `keyBegin` to `keyEnd − 1`. */
  look(rowBegin: number, rowEnd: number, keyBegin: number, keyEnd: number): void;
}

/** Trees of captured arrays, for analyses of one call to share: they hold the values of when they were made. */
export type ExtremesOf = Map<CapturedArray, Extremes>;

/** The domain of one place. */
export function domainOf(place: Place): Domain {
  const { batch, head, kvHead, lengthQ, lengthK, offset } = place;
  const at = (value: number): Range => [value, value];
  return {
    batch: at(batch),
    head: at(head),
    kvHead: at(kvHead),
    lengthQ: at(lengthQ),
    lengthK: at(lengthK),
    offset: at(offset),
  };
}

function symbolStep(name: Node["symbol"], n: number, state: State, domain: Domain): Step {
  if (name === "score") return unknownFloat(n, state);
  const { tile } = state;
  if (name === "query") return affineStep(state, n, { query: 1, key: 0, constant: 0 })!;
  if (name === "key") return affineStep(state, n, { query: 0, key: 1, constant: 0 })!;
  const [low, high] = domain[name === "diagonal" ? "offset" : name!];
  const query = name === "diagonal" ? 1 : 0;
  const exact = low === high ? affineStep(state, n, { query, key: 0, constant: low }) : undefined;
  return exact ?? (() => putInt(state, n, low + query * tile[0]!, high + query * tile[1]!));
}

function treeOf(array: CapturedArray, known: ExtremesOf): Extremes {
  const tree = known.get(array) ?? new Extremes(array.data as Int32Array);
  known.set(array, tree);
  return tree;
}

/** Integers that are read lie between the first and the last that could be, row-major. */
function gatherStep(
  { captured, type }: Node,
  n: number,
  indices: readonly number[],
  state: State,
  known: ExtremesOf,
): Step {
  const { shape, data } = captured!, { low, high } = state, last = data.length - 1;
  if (type === "float") return unknownFloat(n, state);
  if (last < 0) return () => putInt(state, n, -Infinity, Infinity);
  const tree = treeOf(captured!, known), [index] = indices;
  if (shape.length === 1) { // as below, with less to do
    return () => {
      const from = low[index!]!, to = high[index!]!;
      tree.find(
        from <= 0 ? 0 : from >= last ? last : from,
        (to <= 0 ? 0 : to >= last ? last : to) + 1,
      );
      low[n] = tree.min;
      high[n] = tree.max;
    };
  }
  return () => {
    let from = 0, to = 0;
    for (let axis = 0; axis < shape.length; axis++) {
      from = from * shape[axis]! + low[indices[axis]!]!;
      to = to * shape[axis]! + high[indices[axis]!]!;
    }
    tree.find(Math.min(last, Math.max(0, from)), Math.min(last, Math.max(0, to)) + 1);
    putInt(state, n, tree.min, tree.max);
  };
}

function constantStep({ type, value }: Node, n: number, state: State): Step {
  if (type === "float") return floatConstant(value!, n, state);
  if (type === "int") return affineStep(state, n, { query: 0, key: 0, constant: value! })!;
  return () => {
    state.low[n] = state.high[n] = value!;
  };
}

/** The step of node n, whose operands stand at `operands`. */
function stepOf(
  node: Node,
  n: number,
  operands: readonly number[],
  state: State,
  domain: Domain,
  known: ExtremesOf,
): Step {
  const [a = 0, b = 0, c = 0] = operands, slots: Slots = { n, a, b, c };
  if (node.op === "constant") return constantStep(node, n, state);
  if (node.op === "symbol") return symbolStep(node.symbol, n, state, domain);
  if (node.op === "gather") return gatherStep(node, n, operands, state, known);
  if (node.type === "int") return integerStep(node, slots, state);
  return node.type === "float" ? floatStep(node, slots, state) : conditionStep(node, slots, state);
}

/** The steps of a graph by what their results change with; those that are the same for all tiles are done. */
interface Program {
  readonly ofRows: readonly Step[];
  readonly ofKeys: readonly Step[];
  readonly ofPairs: readonly Step[];
}

function programOf(
  nodes: readonly Node[],
  slots: ReadonlyMap<Node, number>,
  state: State,
  domain: Domain,
  known: ExtremesOf,
): Program {
  const steps: Step[][] = [[], [], [], []];
  nodes.forEach((node, n) => {
    const operands = node.operands.map((operand) => slots.get(operand)!);
    const step = stepOf(node, n, operands, state, domain, known);
    const varies = node.varies & (VARIES.query | VARIES.key);
    if (varies === 0) step();
    else steps[varies]!.push(step);
  });
  const [, ofRows = [], ofKeys = [], ofPairs = []] = steps;
  return { ofRows, ofKeys, ofPairs };
}

function runAll(steps: readonly Step[]): void {
  for (let n = 0; n < steps.length; n++) steps[n]!();
}

/**
 * Makes what finds the ranges of `roots`. Tiles must not be empty and must lie within the lengths of the domain. Floats
 * of which nothing is known, the score among them, have NaN at both ends.
 */
export function rangesOf(
  roots: readonly Node[],
  domain: Domain,
  known: ExtremesOf = new Map(),
): Ranges {
  const nodes = reachable(roots), slots = new Map(nodes.map((node, n) => [node, n]));
  const last = ([, length]: Range) => Math.max(0, length - 1);
  const state = newState(nodes.length, last(domain.lengthQ), last(domain.lengthK));
  const { ofRows, ofKeys, ofPairs } = programOf(nodes, slots, state, domain, known);
  const wanted = roots.map((root) => slots.get(root)!), { tile } = state;
  const low = new Float64Array(roots.length), high = new Float64Array(roots.length);
  tile.fill(-1); // no tile
  const look: Ranges["look"] = (rowBegin, rowEnd, keyBegin, keyEnd) => {
    const newRows = tile[0] !== rowBegin || tile[1] !== rowEnd - 1;
    const newKeys = tile[2] !== keyBegin || tile[3] !== keyEnd - 1;
    tile[0] = rowBegin;
    tile[1] = rowEnd - 1;
    tile[2] = keyBegin;
    tile[3] = keyEnd - 1;
    if (newRows) runAll(ofRows);
    if (newKeys) runAll(ofKeys);
    runAll(ofPairs);
    for (let r = 0; r < wanted.length; r++) {
      low[r] = state.low[wanted[r]!]!;
      high[r] = state.high[wanted[r]!]!;
    }
  };
  return { low, high, look };
}
