// The gradient that the entropy H of a row was given, dH. It adds to dS of a pair
//
//   -dH p (ln p + H + 1 - sum of p),     1 - sum of p: the weight that features' logits have in the row
//
// What is the same for all pairs of a row joins delta. The rest is dH ln 2 times log2 p = S - lse, which the tile of
// scores holds just before it becomes P; with dropout it must not pass through Z, so it waits in a tile of its own.
import { weight } from "../micro/rows";
import { rowAt } from "../micro/task";
import { multiply } from "../micro/tile";
import { BACKWARD_PITCH } from "../micro/tiles.gen";
import { exp2Constant } from "../micro/vmath";
import { RowStats, UPPER } from "../micro/records";
import { Flag, Operand } from "../tables.gen";
import { stateLogit } from "./scores.gen";

/** dH of a row. */
export function entropyGradient(task: usize, flags: i32, batch: i32, head: i32, i: i32): f64 {
  return flags & Flag.DEntropy ? <f64>load<f32>(rowAt(task, Operand.DEntropy, batch, head, i)) : 0;
}

/** What it adds to delta of a row. */
export function entropyDelta(task: usize, flags: i32, batch: i32, head: i32, i: i32, lse: f64): f64 {
  const dH = entropyGradient(task, flags, batch, head, i);
  if (dH == 0) return 0;
  const logit = <f64>stateLogit(task, flags, batch, head, i), rest = logit == -Infinity ? 0 : weight(logit, lse);
  return dH * (<f64>load<f32>(rowAt(task, Operand.Entropy, batch, head, i)) + rest);
}

/** Its term of n keys of a panel, less the factor P: from scores at s to e; `stats`: those of the panel. */
export function entropyTile(s: usize, e: usize, n: i32, stats: usize): void {
  const lowest = exp2Constant(0); // P is 0 from there down, and S may be minus infinity
  for (let v: usize = 0; v < 32; v += UPPER) {
    const m = v128.load(stats + v, RowStats.NegativeLse), gain = v128.load(stats + v, RowStats.Gain);
    for (let p: usize = v, end = v + <usize>n * BACKWARD_PITCH; p < end; p += BACKWARD_PITCH) {
      v128.store(e + p, f32x4.mul(gain, f32x4.pmax(f32x4.add(v128.load(s + p), m), lowest)));
    }
  }
}

/** ... and with it. */
export function weighTile(e: usize, p: usize, n: i32): void {
  multiply(e, p, BACKWARD_PITCH, n);
  multiply(e + UPPER, p + UPPER, BACKWARD_PITCH, n);
}

/** Adds it to dS. */
export function addTile(dS: usize, e: usize, n: i32): void {
  for (let p: usize = 0, end = <usize>n * BACKWARD_PITCH; p < end; p += BACKWARD_PITCH) {
    v128.store(dS + p, f32x4.add(v128.load(dS + p), v128.load(e + p)));
    v128.store(dS + p, f32x4.add(v128.load(dS + p, UPPER), v128.load(e + p, UPPER)), UPPER);
  }
}
