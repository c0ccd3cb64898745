// Ranges of operations that give booleans: comparisons and logic.
import type { Node } from "../node.ts";
import { combined, inGap, leastOf, mostOf, type Slots, type State, type Step } from "./state.ts";

/** Takes the range of a − b; its ends are NaN where a or b may be. */
type OfDifference = (least: number, most: number) => void;

/** A step from the range of the difference of both operands, exact where both have affine forms. */
function fromDifference({ a, b }: Slots, state: State, use: OfDifference): Step {
  const { low, high, tile, affine } = state, first = affine[a], second = affine[b];
  if (!first || !second) return () => use(low[a]! - high[b]!, high[a]! - low[b]!);
  const form = combined(first, 1, second, -1);
  return () => use(leastOf(form, tile), mostOf(form, tile));
}

/** Whether one operand is a number in a gap of the other. */
function apart({ a, b }: Slots, state: State): boolean {
  const { low, high } = state;
  return low[a] === high[a] && inGap(state, b, low[a]!) ||
    low[b] === high[b] && inGap(state, a, low[b]!);
}

/** `eq`, or `ne` where `equal` is 0. */
function equality(slots: Slots, state: State, equal: 0 | 1): Step {
  const { n } = slots, { low, high } = state;
  return fromDifference(slots, state, (least, most) => {
    const same = least === 0 && most === 0;
    const different = least > 0 || most < 0 || apart(slots, state);
    low[n] = same ? equal : different ? 1 - equal : 0;
    high[n] = same ? equal : different ? 1 - equal : 1;
  });
}

/** Comparisons by the sign of the difference; nothing is known where an end is NaN. */
function comparison(op: Node["op"], slots: Slots, state: State): Step | undefined {
  const { n } = slots, { low, high } = state;
  const put = (always: boolean, never: boolean) => {
    low[n] = always ? 1 : 0;
    high[n] = never ? 0 : 1;
  };
  const step = (use: OfDifference) => fromDifference(slots, state, use);
  switch (op) {
    case "lt":
      return step((least, most) => put(most < 0, least >= 0));
    case "le":
      return step((least, most) => put(most <= 0, least > 0));
    case "gt":
      return step((least, most) => put(least > 0, most <= 0));
    case "ge":
      return step((least, most) => put(least >= 0, most < 0));
    case "eq":
      return equality(slots, state, 1);
    case "ne":
      return equality(slots, state, 0);
  }
  return undefined;
}

/** The step of an operation that gives a boolean. */
export function conditionStep(node: Node, slots: Slots, state: State): Step {
  const { n, a, b, c } = slots, { low, high } = state;
  const compared = comparison(node.op, slots, state);
  if (compared) return compared;
  const put = (least: number, most: number) => {
    low[n] = least;
    high[n] = most;
  };
  switch (node.op) {
    case "and":
      return () => put(low[a]! & low[b]!, high[a]! & high[b]!);
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
