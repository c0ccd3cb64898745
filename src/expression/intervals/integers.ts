// Ranges of integer operations.
import type { Node } from "../node.ts";
import {
  type Affine,
  affineStep,
  combinedOf,
  putInt,
  putWithGap,
  type Slots,
  type State,
  type Step,
} from "./state.ts";

/** The affine form of a node, where its operands have one. */
function formOf({ op }: Node, { a, b }: Slots, state: State): Affine | undefined {
  const { affine } = state;
  switch (op) {
    case "add":
      return combinedOf(state, a, 1, b, 1);
    case "sub":
      return combinedOf(state, a, 1, b, -1);
    case "neg":
      return combinedOf(state, a, -1, a, 0);
    case "mul": {
      const first = affine[a], second = affine[b];
      if (!first || !second) return undefined;
      if (isPlain(second)) return combinedOf(state, a, second.constant, a, 0);
      return isPlain(first) ? combinedOf(state, b, first.constant, b, 0) : undefined;
    }
  }
  return undefined;
}

function isPlain({ query, key }: Affine): boolean {
  return query === 0 && key === 0;
}

/** Sets the range from the products or quotients at the corners. */
function putCorners(
  state: State,
  { n, a, b }: Slots,
  value: (x: number, y: number) => number,
): void {
  const { low, high } = state;
  const p = value(low[a]!, low[b]!), q = value(low[a]!, high[b]!);
  const r = value(high[a]!, low[b]!), s = value(high[a]!, high[b]!);
  putInt(state, n, Math.min(p, q, r, s), Math.max(p, q, r, s));
}

const product = (x: number, y: number) => x * y;
const quotient = (x: number, y: number) => Math.floor(x / y);

function square(state: State, { n, a }: Slots): void {
  const { low, high } = state;
  const p = low[a]! * low[a]!, q = high[a]! * high[a]!;
  putInt(state, n, low[a]! <= 0 && high[a]! >= 0 ? 0 : Math.min(p, q), Math.max(p, q));
}

function absolute(state: State, { n, a }: Slots): void {
  const low = state.low[a]!, high = state.high[a]!;
  putInt(state, n, low >= 0 ? low : high <= 0 ? -high : 0, Math.max(-low, high));
}

function floorDivision(state: State, slots: Slots): void {
  const { n, a, b } = slots, { low, high } = state;
  if (low[b]! > 0 || high[b]! < 0) return putCorners(state, slots, quotient);
  const most = Math.max(Math.abs(low[a]!), Math.abs(high[a]!)); // 0 gives 0
  putInt(state, n, -most, most);
}

/** A remainder has the sign of the divisor and is smaller; by one divisor, what does not wrap keeps its order. */
function remainder(state: State, { n, a, b }: Slots): void {
  const { low, high } = state, divisor = high[b]!;
  if (low[b] !== divisor || divisor <= 0) {
    return putInt(state, n, Math.min(0, low[b]! + 1), Math.max(0, divisor - 1));
  }
  if (high[a]! - low[a]! >= divisor - 1) return putInt(state, n, 0, divisor - 1);
  const first = low[a]! - divisor * Math.floor(low[a]! / divisor);
  const last = high[a]! - divisor * Math.floor(high[a]! / divisor);
  if (first <= last) return putInt(state, n, first, last);
  putWithGap(state, n, [0, divisor - 1], last, first); // 0 … last and first … divisor − 1
}

function chosen(state: State, { n, a, b, c }: Slots): void {
  const { low, high } = state;
  const yes = high[a] ? b : c, no = low[a] ? b : c; // one arm where the condition is known
  putInt(state, n, Math.min(low[yes]!, low[no]!), Math.max(high[yes]!, high[no]!));
}

/** The step of an operation that gives an integer. */
export function integerStep(node: Node, slots: Slots, state: State): Step {
  const { n, a, b } = slots, { low, high } = state, form = formOf(node, slots, state);
  const exact = form && affineStep(state, n, form);
  if (exact) return exact;
  switch (node.op) {
    case "add":
      return () => putInt(state, n, low[a]! + low[b]!, high[a]! + high[b]!);
    case "sub":
      return () => putInt(state, n, low[a]! - high[b]!, high[a]! - low[b]!);
    case "neg":
      return () => putInt(state, n, -high[a]!, -low[a]!);
    case "mul":
      return a === b ? () => square(state, slots) : () => putCorners(state, slots, product);
    case "abs":
      return () => absolute(state, slots);
    case "min":
      return () => putInt(state, n, Math.min(low[a]!, low[b]!), Math.min(high[a]!, high[b]!));
    case "max":
      return () => putInt(state, n, Math.max(low[a]!, low[b]!), Math.max(high[a]!, high[b]!));
    case "floorDiv":
      return () => floorDivision(state, slots);
    case "mod":
      return () => remainder(state, slots);
    case "where":
      return () => chosen(state, slots);
    default:
      throw new Error(`no range of ${node.op}`);
  }
}
