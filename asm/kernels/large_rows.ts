// Rows whose lse is so large that its rounding in float32 would change their weights: they get their sum anew, from
// the very scores that backward will make.
//
//   for each panel of the block with such a row
//     for each tile of all the keys of the call               S^T[key][8] = K . Q^T, features, hidden pairs
//       m = max S,  l = l 2^(old m - m) + sum of 2^(S - m)     base 2, lanes of their own
//   P = 2^(S - m) factor,  factor = 1 / l
//
// The saved lse may be that of more keys than the call has (attention in parts): then factor = e^(m - lse).
import { Flag, Operand } from "../tables.gen";
import { constants, deferRow, isLarge, packedQueries, panels, rowBegin, rowEnd, setFactor, stats } from "./backward_block";
import { Constants, RowStats, UPPER } from "../micro/records";
import { aboveScore, isLow, naturalOf, sameLse } from "../micro/range";
import { endKey, firstKey, rowAt } from "../micro/task";
import { BACKWARD_PITCH, exp2v } from "../micro/tiles.gen";
import { exp2Constant } from "../micro/vmath";
import { hideScores } from "../stages/hide";
import { setPanel } from "../stages/panel";
import { beginTile, BENT_FLAGS, scoreTiles, stateLogit } from "../stages/scores.gen";
import { scoreProduct } from "../stages/score_product";
import { exp, log } from "../micro/real";

/** Below every score. */
export const LOWEST: f32 = -3.4028234663852886e38;

let m0: v128 = f32x4.splat(0), m1: v128 = f32x4.splat(0), l0: v128 = f32x4.splat(0), l1: v128 = f32x4.splat(0);

/** l of four lanes, brought from m to their new maximum, with n scores at sp. */
export function sum(sp: usize, pitch: usize, n: i32, m: v128, top: v128, l: v128): v128 {
  const lo = exp2Constant(0), mg = exp2Constant(1), k5 = exp2Constant(2), k4 = exp2Constant(3);
  const k3 = exp2Constant(4), k2 = exp2Constant(5), k1 = exp2Constant(6), k0 = exp2Constant(7);
  let x = f32x4.mul(l, exp2v(f32x4.sub(m, top), lo, mg, k5, k4, k3, k2, k1, k0));
  for (let j = 0; j < n; ++j, sp += pitch) {
    x = f32x4.add(x, exp2v(f32x4.sub(v128.load(sp), top), lo, mg, k5, k4, k3, k2, k1, k0));
  }
  return x;
}

export function maximum(sp: usize, pitch: usize, n: i32, m: v128): v128 {
  for (let j = 0; j < n; ++j, sp += pitch) m = f32x4.pmax(m, v128.load(sp));
  return m;
}

/** m and l of a panel over all keys; `tile`: room for a tile of scores. */
function panelState(task: usize, flags: i32, sequence: usize, batch: i32, head: i32, p: i32, k: usize, kStride: usize, D: i32, tile: usize, keys: i32, panel: usize): void {
  const first = rowBegin + (p << 3), last = min(first + 7, rowEnd - 1), end = endKey(sequence, last);
  const s = tile + (<usize>p << 5);
  m0 = m1 = f32x4.splat(LOWEST);
  l0 = l1 = f32x4.splat(0);
  setPanel(panel, task, flags, sequence, batch, head, first, rowEnd);
  for (let key = firstKey(sequence, first) / keys * keys; key < end; key += keys) {
    const n = min(keys, end - key);
    scoreProduct(k + <usize>key * kStride, kStride, packedQueries(p), s, 0, n, D, constants + Constants.Zero);
    beginTile(flags, batch, key, n, 1);
    scoreTiles(task, flags, s, BACKWARD_PITCH, n, key, panel, 2, 0, 0);
    hideScores(task, flags, s, BACKWARD_PITCH, n, key, panel, 2, 0, 0);
    const a = maximum(s, BACKWARD_PITCH, n, m0), b = maximum(s + UPPER, BACKWARD_PITCH, n, m1);
    l0 = sum(s, BACKWARD_PITCH, n, m0, a, l0);
    l1 = sum(s + UPPER, BACKWARD_PITCH, n, m1, b, l1);
    m0 = a;
    m1 = b;
  }
}

/** Replaces lse of the large rows of the block by their own m, and their factors by those of their own sums. */
export function settleLargeRows(task: usize, flags: i32, sequence: usize, batch: i32, head: i32, k: usize, kStride: usize, D: i32, tile: usize, keys: i32, panel: usize): void {
  for (let p = 0; p < panels; ++p) {
    let any = false;
    for (let lane = 0; lane < 8; ++lane) any = any || isLarge((p << 3) + lane);
    if (!any) continue;
    panelState(task, flags & ~Flag.Blocks, sequence, batch, head, p, k, kStride, D, tile, keys, panel);
    v128.store(tile, m0);
    v128.store(tile, m1, UPPER);
    v128.store(tile, l0, 32);
    v128.store(tile, l1, 32 + UPPER);
    for (let lane = 0; lane < 8; ++lane) {
      if (!isLarge((p << 3) + lane)) continue;
      const i = rowBegin + (p << 3) + lane, at = tile + (<usize>lane << 2), m = load<f32>(at);
      const bent = (flags & BENT_FLAGS) != 0, natural = naturalOf(m, bent), lse = <f64>load<f32>(rowAt(task, Operand.Lse, batch, head, i));
      const logit = aboveScore(stateLogit(task, flags, batch, head, i), m, bent), l = <f64>load<f32>(at, 32) + exp(logit);
      if (!(l > 0 && l < Infinity && m > LOWEST && m < Infinity)) {
        deferRow((p << 3) + lane);
        continue;
      }
      const own = sameLse(natural + log(l), lse);
      if (!own && bent && isLow(<f32>lse)) { // products made it low: not what the tiles can hold
        deferRow((p << 3) + lane);
        continue;
      }
      store<f32>(stats + <usize>p * RowStats.Bytes + (<usize>lane << 2), -m, RowStats.NegativeLse);
      setFactor((p << 3) + lane, <f32>(own ? 1 / l : exp(natural - lse)));
    }
  }
}
