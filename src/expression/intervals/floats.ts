// Ranges of floats, which hold in float64, in float32, and where a multiplication and an addition are fused: rounding
// is monotonic, so ends that are float32 values, rounded outwards, enclose all of them. Of functions whose rounding is
// not known (exp, a division on a GPU) nothing is said.
import type { Node } from "../node.ts";
import type { Slots, State, Step } from "./state.ts";

const LARGEST = 3.4028234663852886e38;
/** Smallest normal float32: GPUs may turn smaller ones into 0. */
const NORMAL = 2 ** -126;

const float = new Float32Array(1), bits = new Int32Array(float.buffer);

/** The largest float32 that is not above `x`. */
function below(x: number): number {
  float[0] = x;
  if (float[0]! <= x) return float[0]!;
  bits[0]! += float[0]! > 0 ? -1 : 1; // a zero above x is −0
  return float[0]!;
}

/** Sets the range; nothing is known of what could overflow, since ∞ − ∞ and 0 · ∞ are NaN. */
function put({ low, high }: State, n: number, l: number, h: number): void {
  if (!(l >= -LARGEST && h <= LARGEST)) {
    low[n] = high[n] = NaN;
    return;
  }
  const least = below(l), most = -below(-h);
  low[n] = least > 0 && least < NORMAL ? 0 : least;
  high[n] = most < 0 && most > -NORMAL ? 0 : most;
}

function product(state: State, { n, a, b }: Slots): void {
  const { low, high } = state;
  const p = low[a]! * low[b]!, q = low[a]! * high[b]!, r = high[a]! * low[b]!;
  const s = high[a]! * high[b]!;
  put(state, n, Math.min(p, q, r, s), Math.max(p, q, r, s));
}

function absolute(state: State, { n, a }: Slots): void {
  const low = state.low[a]!, high = state.high[a]!;
  put(state, n, low > 0 ? low : high < 0 ? -high : 0, Math.max(-low, high));
}

function square(state: State, { n, a }: Slots): void {
  const { low, high } = state;
  const p = low[a]! * low[a]!, q = high[a]! * high[a]!;
  put(state, n, low[a]! <= 0 && high[a]! >= 0 ? 0 : Math.min(p, q), Math.max(p, q));
}

function chosen(state: State, { n, a, b, c }: Slots): void {
  const { low, high } = state;
  const yes = high[a] ? b : c, no = low[a] ? b : c; // one arm where the condition is known
  put(state, n, Math.min(low[yes]!, low[no]!), Math.max(high[yes]!, high[no]!));
}

/** The step of a constant. */
export function floatConstant(value: number, n: number, state: State): Step {
  return () => put(state, n, value, value);
}

/** The step of a float of which nothing is known. */
export function unknownFloat(n: number, { low, high }: State): Step {
  return () => {
    low[n] = high[n] = NaN;
  };
}

/** The step of an operation that gives a float. */
export function floatStep(node: Node, slots: Slots, state: State): Step {
  const { n, a, b } = slots, { low, high } = state;
  switch (node.op) {
    case "toFloat":
      return () => put(state, n, low[a]!, high[a]!);
    case "neg":
      return () => put(state, n, -high[a]!, -low[a]!);
    case "add":
      return () => put(state, n, low[a]! + low[b]!, high[a]! + high[b]!);
    case "sub":
      return () => put(state, n, low[a]! - high[b]!, high[a]! - low[b]!);
    case "mul":
      return () => product(state, slots);
    case "square":
      return () => square(state, slots);
    case "abs":
      return () => absolute(state, slots);
    case "min":
      return () => put(state, n, Math.min(low[a]!, low[b]!), Math.min(high[a]!, high[b]!));
    case "max":
      return () => put(state, n, Math.max(low[a]!, low[b]!), Math.max(high[a]!, high[b]!));
    case "where":
      return () => chosen(state, slots);
    default:
      return unknownFloat(n, state);
  }
}
