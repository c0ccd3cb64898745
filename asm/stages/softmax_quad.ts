// The online softmax of a quad of four query rows (decode): scores are [key][4 lanes].
import { QuadState, QuadSums } from "../micro/records";
import { flushTiny } from "../micro/tile";
import { exp2v } from "../micro/tiles.gen";
import { exp2Constant, madd } from "../micro/vmath";
import { moveSums } from "./statistics";

/**
 * P = 2^(S - m) in place for n keys of a quad, at `scores`; m and l as in softmax.ts. Rescales the quad's rows of O, `oPitch`
 * bytes apart. `flush`: tiny weights become 0. `sum`: its sums of statistics, or 0; `key`: the first key.
 */
export function softmaxQuad(scores: usize, n: i32, state: usize, o: usize, oPitch: usize, flush: bool, sum: usize, key: i32): void {
  const lo = exp2Constant(0), mg = exp2Constant(1), k5 = exp2Constant(2), k4 = exp2Constant(3);
  const k3 = exp2Constant(4), k2 = exp2Constant(5), k1 = exp2Constant(6), k0 = exp2Constant(7);
  const end = scores + (<usize>n << 4), none = f32x4.splat(-Infinity), zero = f32x4.splat(0), limit = f32x4.splat(8);
  let m = v128.load(state, QuadState.NegativeM), l = v128.load(state, QuadState.L), t = none;
  for (let p = scores; p < end; p += 16) t = f32x4.pmax(t, v128.load(p));
  t = f32x4.add(t, m);
  const empty = f32x4.eq(l, zero), fresh = v128.and(empty, f32x4.gt(t, none));
  const moving = v128.or(f32x4.gt(t, limit), v128.and(fresh, f32x4.lt(t, f32x4.neg(limit))));
  if (v128.any_true(moving)) {
    t = v128.and(t, moving);
    const f = v128.bitselect(f32x4.splat(1), exp2v(f32x4.sub(zero, t), lo, mg, k5, k4, k3, k2, k1, k0), empty);
    m = f32x4.sub(m, t);
    if (sum) moveSums(sum + QuadSums.PS, sum + QuadSums.Top, sum + QuadSums.PJ, l, t, f);
    l = f32x4.mul(l, f);
    v128.store(state, m, QuadState.NegativeM);
    v128.store(state, f, QuadState.L); // for a moment, to be read by lanes
    for (let r: usize = 0; r < 4; ++r) {
      const g = v128.load_splat<f32>(state + (r << 2), QuadState.L);
      for (let p = o + r * oPitch, e = p + oPitch; p < e; p += 16) v128.store(p, f32x4.mul(g, v128.load(p)));
    }
  }
  if (flush) flushTiny(scores, 16, n, m);
  let added = zero; // of its own: see exponentialTile in tools/build/tiles/exponentials.ts
  if (sum) {
    let ps = zero, top = v128.load(sum, QuadSums.Top), pj = zero, j = zero;
    const one = f32x4.splat(1), first = f32x4.splat(<f32>key);
    for (let p = scores; p < end; p += 16) {
      const x = f32x4.add(v128.load(p), m), y = exp2v(x, lo, mg, k5, k4, k3, k2, k1, k0);
      added = f32x4.add(added, y);
      ps = madd(y, f32x4.pmax(x, lo), ps); // P is 0 from lo down
      top = f32x4.pmax(top, y);
      pj = madd(y, j, pj);
      j = f32x4.add(j, one);
      v128.store(p, y);
    }
    v128.store(sum, f32x4.add(v128.load(sum, QuadSums.PS), ps), QuadSums.PS);
    v128.store(sum, top, QuadSums.Top);
    v128.store(sum, f32x4.add(v128.load(sum, QuadSums.PJ), madd(first, added, pj)), QuadSums.PJ);
  } else {
    for (let p = scores; p < end; p += 16) {
      const y = exp2v(f32x4.add(v128.load(p), m), lo, mg, k5, k4, k3, k2, k1, k0);
      added = f32x4.add(added, y);
      v128.store(p, y);
    }
  }
  v128.store(state, f32x4.add(l, added), QuadState.L);
}
