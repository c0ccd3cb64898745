// Weights of scores against a given lse: P = 2^(S - lse), for what looks inside attention. By the definition, score by
// score: what is not finite stays where it is.
import { State, UPPER } from "../micro/records";
import { aboveScore, isLow, LARGE, naturalOf, sameLse } from "../micro/range";
import { weight } from "../micro/rows";
import { endKey, firstKey, sequenceOf } from "../micro/task";
import { FORWARD_PITCH, exp2v } from "../micro/tiles.gen";
import { exp2Constant } from "../micro/vmath";
import { exp, log } from "../micro/real";
import { exactScore } from "./repair";
import { BENT_FLAGS, stateLogit } from "./scores.gen";

/** From here on 2^x is infinite. */
const MOST: f32 = 128;

/** Whether tiles, whose scores are in base 2, cannot hold what a weight against this lse needs. */
export function beyondTiles(lse: f32): bool {
  return lse == Infinity || (isLow(lse) && lse > -Infinity);
}

/**
 * What `rows` rows bring to their weights: -lse in base 2 where a state has -m, where it has l the factor that gives back
 * what was lost when that was rounded, and lse itself in place of t. Lanes without a row weigh nothing. `lse`: that of the
 * first row, `stride` bytes from those that follow.
 */
export function setWeights(lse: usize, stride: usize, rows: i32, state: usize): void {
  for (let lane = 0; lane < 8; ++lane, lse += stride, state += 4) {
    let m: f32 = -Infinity, factor: f32 = 1, value: f32 = 0;
    if (lane < rows) {
      value = load<f32>(lse);
      const exact = -<f64>value * 1.4426950408889634;
      m = <f32>exact;
      if (abs(m) < Infinity) factor = <f32>(1 + (exact - <f64>m) * 0.6931471805599453);
    }
    store<f32>(state, m, State.NegativeM);
    store<f32>(state, factor, State.L);
    store<f32>(state, value, State.T);
  }
}

/** Whether the rounding of an lse would change weights: its row needs a sum of its own; see kernels/large_rows.ts. */
export function isLarge(lse: f32): bool {
  return abs(lse) > LARGE && abs(lse) < Infinity;
}

/**
 * Replaces -lse of query i by -m of its scores, and the factor by that of their sum; `state`: its lane, `m` and `l`: what
 * its keys come to. An lse of more keys than these is taken at its word.
 */
export function settle(task: usize, flags: i32, batch: i32, head: i32, i: i32, m: f32, l: f32, state: usize): void {
  const bent = (flags & BENT_FLAGS) != 0, natural = naturalOf(m, bent), lse = load<f32>(state, State.T);
  const sum = <f64>l + exp(aboveScore(stateLogit(task, flags, batch, head, i), m, bent));
  if (!(sum > 0 && sum < Infinity && m < Infinity)) return;
  const own = sameLse(natural + log(sum), <f64>lse);
  if (!own && bent && isLow(lse)) return; // products made it low: not what tiles can hold
  store<f32>(state, -m, State.NegativeM);
  store<f32>(state, <f32>(own ? 1 / sum : exp(natural - <f64>lse)), State.L);
  store<f32>(state, 0, State.T);
}

/** Weight of query i and key j by the definition; hidden pairs have none. */
export function exactWeight(task: usize, batch: i32, head: i32, i: i32, j: i32, lse: f32): f32 {
  const sequence = sequenceOf(task, batch);
  if (j < firstKey(sequence, i) || j >= endKey(sequence, i)) return 0;
  const s = exactScore(task, batch, head, i, j);
  return s == -Infinity ? 0 : <f32>weight(s, <f64>lse);
}

/** S of n keys becomes P, but for the factor; hidden pairs are at minus infinity. */
function weightTile(sp: usize, n: i32, m: v128): void {
  const lo = exp2Constant(0), mg = exp2Constant(1), k5 = exp2Constant(2), k4 = exp2Constant(3);
  const k3 = exp2Constant(4), k2 = exp2Constant(5), k1 = exp2Constant(6), k0 = exp2Constant(7);
  const none = f32x4.splat(-Infinity), most = f32x4.splat(MOST);
  for (; n > 0; --n, sp += FORWARD_PITCH) {
    const s = v128.load(sp), p = exp2v(f32x4.pmin(f32x4.add(s, m), most), lo, mg, k5, k4, k3, k2, k1, k0);
    v128.store(sp, v128.andnot(p, f32x4.eq(s, none))); // infinity - infinity must not come back
  }
}

/** S of keys [key, key + n) and the rows from i on becomes P, but for the factors in `state`; whether pair by pair somewhere. */
export function weightTiles(task: usize, batch: i32, head: i32, i: i32, sp: usize, n: i32, key: i32, state: usize): bool {
  let exact = false;
  for (let v: usize = 0; v < 32; v += UPPER) weightTile(sp + v, n, v128.load(state + v, State.NegativeM));
  for (let lane = 0; lane < 8; ++lane, sp += 4, state += 4) {
    const lse = load<f32>(state, State.T);
    if (!beyondTiles(lse)) continue;
    exact = true;
    for (let j = 0; j < n; ++j) store<f32>(sp + <usize>(j * FORWARD_PITCH), exactWeight(task, batch, head, i + lane, key + j, lse));
  }
  return exact;
}
