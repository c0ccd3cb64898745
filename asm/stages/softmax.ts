// The online softmax of one panel (Milakov and Gimelshein 2018; FlashAttention-2 section 3.1), base 2.
//
// State of a panel (micro/records.ts), 8 lanes each:  -m | l | t     m: running maximum, l: running sum,
// t: largest score of the current tile less m. m starts at 0 and moves only when a tile outgrows it by 2^8, or
// when a lane's first visible tile lies far below it; the final division makes both exact.
import { State, UPPER } from "../micro/records";
import { flushed, TINY } from "../micro/tile";
import { exp2v, exponentialTile, statisticsTile } from "../micro/tiles.gen";
import { exp2Constant } from "../micro/vmath";
import { movePanelSums } from "./statistics";

const WIDTH: usize = 32;

/** t = largest of n scores, per lane. */
function maximum(sp: usize, n: i32, state: usize): void {
  let a = f32x4.splat(-Infinity), b = a;
  for (const end = sp + <usize>n * WIDTH; sp < end; sp += WIDTH) {
    a = f32x4.pmax(a, v128.load(sp));
    b = f32x4.pmax(b, v128.load(sp, 16));
  }
  v128.store(state, a, State.T);
  v128.store(state, b, State.T + UPPER);
}

/** Which of four lanes have outgrown their maximum by 2^8. */
// @ts-ignore: decorator
@inline
function outgrown(t: v128): v128 {
  return f32x4.gt(t, f32x4.splat(8));
}

/** Which of four lanes have seen no key so far. */
// @ts-ignore: decorator
@inline
function fresh(l: v128): v128 {
  return f32x4.eq(l, f32x4.splat(0));
}

/**
 * Finds the maximum again after masking, where a masked score in it could do harm: it must not raise m,
 * nor hide that the first scores of a lane lie far below.
 */
export function rescan(sp: usize, n: i32, state: usize): void {
  const a = v128.or(fresh(v128.load(state, State.L)), outgrown(v128.load(state, State.T)));
  const b = v128.or(fresh(v128.load(state, State.L + UPPER)), outgrown(v128.load(state, State.T + UPPER)));
  if (v128.any_true(v128.or(a, b))) maximum(sp, n, state);
}

/** Which of four lanes must move their maximum: outgrown, or empty so far and far above the scores. */
// @ts-ignore: decorator
@inline
function moves(t: v128, l: v128): v128 {
  const far = v128.and(f32x4.gt(t, f32x4.splat(-Infinity)), f32x4.lt(t, f32x4.splat(-8)));
  return v128.or(outgrown(t), v128.and(fresh(l), far));
}

/** m += t in the lanes that move: rescales l, O^T and the sums of statistics, shifts the scores of the tile. */
function move(sp: usize, n: i32, state: usize, op: usize, columns: i32, sums: usize): void {
  const lo = exp2Constant(0), mg = exp2Constant(1), k5 = exp2Constant(2), k4 = exp2Constant(3);
  const k3 = exp2Constant(4), k2 = exp2Constant(5), k1 = exp2Constant(6), k0 = exp2Constant(7);
  const zero = f32x4.splat(0);
  for (let v: usize = 0; v < WIDTH; v += 16) {
    const l = v128.load(state + v, State.L), moving = moves(v128.load(state + v, State.T), l);
    const t = v128.and(v128.load(state + v, State.T), moving);
    // an empty lane has nothing to rescale, and 2^-t may overflow there: 0 * infinity is NaN
    const f = v128.bitselect(f32x4.splat(1), exp2v(f32x4.sub(zero, t), lo, mg, k5, k4, k3, k2, k1, k0), f32x4.eq(l, zero));
    v128.store(state + v, f32x4.sub(v128.load(state + v, State.NegativeM), t), State.NegativeM);
    v128.store(state + v, f32x4.mul(l, f), State.L);
    if (sums) movePanelSums(sums + v, l, t, f);
    for (let q = op + v, end = q + <usize>columns * WIDTH; q < end; q += WIDTH) v128.store(q, f32x4.mul(f, v128.load(q)));
    for (let q = sp + v, end = q + <usize>n * WIDTH; q < end; q += WIDTH) v128.store(q, f32x4.sub(v128.load(q), t));
  }
}

/**
 * One tile of n keys: scores in, P out; state, and O^T of `columns` columns, brought up to date. `sums`: those of
 * statistics, or 0; `key`: the first key, which they need.
 */
export function softmaxTile(sp: usize, n: i32, state: usize, op: usize, columns: i32, sums: usize = 0, key: i32 = 0): void {
  const a = moves(v128.load(state, State.T), v128.load(state, State.L)), b = moves(v128.load(state, State.T + UPPER), v128.load(state, State.L + UPPER));
  if (v128.any_true(v128.or(a, b))) move(sp, n, state, op, columns, sums);
  if (sums) statisticsTile(sp, n, state + State.L, sums, key);
  else exponentialTile(sp, n, state + State.L);
}

/**
 * Subtracts m from n scores that do not carry it yet, and finds their maximum. m moves first: scores that rise by
 * hundreds from tile to tile would be rounded at that size if the old m were subtracted; so they are rounded once,
 * near 0. `flush`: tiny weights become 0, as in flushTiny.
 */
export function rebase(sp: usize, n: i32, state: usize, op: usize, columns: i32, flush: bool, sums: usize = 0): void {
  maximum(sp, n, state);
  let any = v128.splat<i32>(0);
  for (let v: usize = 0; v < WIDTH; v += 16) {
    const t = f32x4.add(v128.load(state + v, State.T), v128.load(state + v, State.NegativeM));
    v128.store(state + v, t, State.T);
    any = v128.or(any, moves(t, v128.load(state + v, State.L)));
  }
  if (v128.any_true(any)) {
    move(sp, 0, state, op, columns, sums);
    for (let v: usize = 0; v < WIDTH; v += 16) { // what moved is at the maximum now
      const t = v128.load(state + v, State.T), zero = f32x4.splat(0);
      v128.store(state + v, v128.bitselect(zero, t, moves(t, v128.load(state + v, State.L))), State.T);
    }
  }
  const m0 = v128.load(state, State.NegativeM), m1 = v128.load(state, State.NegativeM + UPPER);
  const limit = f32x4.splat(TINY), none = f32x4.splat(-Infinity);
  const end = sp + <usize>n * WIDTH;
  if (flush) {
    for (; sp < end; sp += WIDTH) {
      v128.store(sp, flushed(f32x4.add(v128.load(sp), m0), limit, none));
      v128.store(sp, flushed(f32x4.add(v128.load(sp, 16), m1), limit, none), 16);
    }
    return;
  }
  for (; sp < end; sp += WIDTH) {
    v128.store(sp, f32x4.add(v128.load(sp), m0));
    v128.store(sp, f32x4.add(v128.load(sp, 16), m1), 16);
  }
}

/** Puts 1 / l, or 0 for lanes that saw no key, where t was: the factors of the final division. */
export function finish(state: usize): void {
  const zero = f32x4.splat(0), one = f32x4.splat(1);
  for (let v: usize = 0; v < WIDTH; v += 16) {
    const l = v128.load(state + v, State.L);
    v128.store(state + v, v128.andnot(f32x4.div(one, l), f32x4.eq(l, zero)), State.T);
  }
}
