// Ranges of operations that give booleans: comparisons and logic.
import type { Node } from "../node.ts";
import { combined, type End, endsOf, inGap, type Slots, type State, type Step } from "./state.ts";

/** What finds the least and the most of a − b, NaN where a or b may be; exact where both have affine forms. */
function differenceOf(
  { a, b }: Slots,
  { low, high, tile, affine }: State,
): [least: End, most: End] {
  const first = affine[a], second = affine[b];
  if (first && second) return endsOf(combined(first, 1, second, -1), tile);
  return [() => low[a]! - high[b]!, () => high[a]! - low[b]!];
}

/** Whether one operand is a number in a gap of the other. */
function apart({ a, b }: Slots, state: State): boolean {
  const { low, high } = state;
  return low[a] === high[a] && inGap(state, b, low[a]!) ||
    low[b] === high[b] && inGap(state, a, low[b]!);
}

/** `eq`, or `ne` where `equal` is 0. */
function equality(node: Node, slots: Slots, state: State, equal: 0 | 1): Step {
  const { n } = slots, { low, high } = state, [leastOf, mostOf] = differenceOf(slots, state);
  const gaps = node.operands.some(({ op }) => op === "mod"); // nothing else has any
  return () => {
    const least = leastOf(), most = mostOf();
    if (least > 0 || most < 0 || (gaps && apart(slots, state))) low[n] = high[n] = 1 - equal;
    else if (least === 0 && most === 0) low[n] = high[n] = equal;
    else {
      low[n] = 0;
      high[n] = 1;
    }
  };
}

/** Comparisons by the sign of the difference; nothing is known where an end is NaN. */
function comparison(node: Node, slots: Slots, state: State): Step | undefined {
  const { n } = slots, { low, high } = state;
  const [leastOf, mostOf] = differenceOf(slots, state);
  switch (node.op) {
    case "lt":
      return () => {
        low[n] = mostOf() < 0 ? 1 : 0;
        high[n] = leastOf() >= 0 ? 0 : 1;
      };
    case "le":
      return () => {
        low[n] = mostOf() <= 0 ? 1 : 0;
        high[n] = leastOf() > 0 ? 0 : 1;
      };
    case "gt":
      return () => {
        low[n] = leastOf() > 0 ? 1 : 0;
        high[n] = mostOf() <= 0 ? 0 : 1;
      };
    case "ge":
      return () => {
        low[n] = leastOf() >= 0 ? 1 : 0;
        high[n] = mostOf() < 0 ? 0 : 1;
      };
    case "eq":
      return equality(node, slots, state, 1);
    case "ne":
      return equality(node, slots, state, 0);
  }
  return undefined;
}

/** The step of an operation that gives a boolean. */
export function conditionStep(node: Node, slots: Slots, state: State): Step {
  const { n, a, b, c } = slots, { low, high } = state;
  const compared = comparison(node, slots, state);
  if (compared) return compared;
  const put = (least: number, most: number) => {
    low[n] = least;
    high[n] = most;
  };
  switch (node.op) {
    case "and":
      return () => {
        low[n] = low[a]! & low[b]!;
        high[n] = high[a]! & high[b]!;
      };
    case "or":
      return () => put(low[a]! | low[b]!, high[a]! | high[b]!);
    case "xor":
      return () => {
        const known = low[a] === high[a] && low[b] === high[b], both = low[a]! ^ low[b]!;
        put(known ? both : 0, known ? both : 1);
      };
    case "not":
      return () => put(1 - high[a]!, 1 - low[a]!);
    case "where":
      return () => {
        const yes = high[a] ? b : c, no = low[a] ? b : c;
        put(low[yes]! & low[no]!, high[yes]! | high[no]!);
      };
    default:
      throw new Error(`no range of ${node.op}`);
  }
}
