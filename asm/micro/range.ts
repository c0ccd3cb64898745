// Scores near the ends of float32. Kernels hold scores in base 2, where those below -2.36e38 in natural units would be
// minus infinity, which means masked. So what is added to a score goes on below the knee with a smaller slope:
//
//   x log2 e             x >= -2^126
//   0.8 x - shift        below; the two meet at the knee, and the lowest float32 stays finite
//
// At that size the largest scores of a row take all the weight, whatever the slope: their order is what counts. Where
// products are of such a size too, or made the score low by themselves, lse shows it, and the row is repaired.
import { madd } from "./vmath";

// @ts-ignore: decorator
@inline
const SLOPE: f32 = 0.8;
/** 2^126 (log2 e - 0.8) */
// @ts-ignore: decorator
@inline
const SHIFT: f32 = 5.4672717e37;
/** 2^126 log2 e */
// @ts-ignore: decorator
@inline
const KNEE: f32 = 1.2273022e38;
/** 2^126: the knee in natural units. */
// @ts-ignore: decorator
@inline
const NATURAL_KNEE: f32 = 8.507059e37;

/** Whether a row's lse lies below the knee. */
export function isLow(lse: f32): bool {
  return lse < -NATURAL_KNEE;
}

/** Which values lie below the knee, minus infinity among them. */
// @ts-ignore: decorator
@inline
export function belowKnee(x: v128): v128 {
  return f32x4.lt(x, f32x4.splat(-NATURAL_KNEE));
}

/** Scores in base 2, with x in natural units added to them. */
// @ts-ignore: decorator
@inline
export function addNatural(score: v128, x: v128, log2e: v128): v128 {
  const low = madd(x, f32x4.splat(SLOPE), f32x4.sub(score, f32x4.splat(SHIFT)));
  return f32x4.pmax(madd(x, log2e, score), low);
}

/** A score in natural units; `bent`: whether something was added that may lie below the knee. */
export function naturalOf(score: f32, bent: bool): f64 {
  if (bent && score < -KNEE) return (<f64>score + <f64>SHIFT) / <f64>SLOPE;
  return <f64>score * 0.6931471805599453;
}

/**
 * How far a logit in natural units lies above a score in base 2. Below the knee the way back rounds, where two that
 * are the same must be.
 */
export function aboveScore(logit: f64, score: f32, bent: bool): f64 {
  const natural = naturalOf(score, bent);
  return bent && score < -KNEE && sameLse(logit, natural) ? 0 : logit - natural;
}

/** An lse whose rounding in float32 changes weights by more than 5e-4: its rows need a sum of their own. */
export const LARGE: f32 = 8192;

/** Whether two values of an lse differ by roundings of float32 only. */
export function sameLse(exact: f64, given: f64): bool {
  return abs(exact - given) <= 5e-7 * abs(given);
}

/** n scores of four lanes from base 2 to natural units; `bent`: see `naturalOf`. */
export function naturalTile(sp: usize, pitch: usize, n: i32, bent: bool): void {
  const ln2 = f32x4.splat(0.6931471805599453), shift = f32x4.splat(SHIFT), slope = f32x4.splat(1 / SLOPE), knee = f32x4.splat(-KNEE);
  for (; n > 0; --n, sp += pitch) {
    const s = v128.load(sp), natural = f32x4.mul(s, ln2);
    v128.store(sp, bent ? v128.bitselect(f32x4.mul(f32x4.add(s, shift), slope), natural, f32x4.lt(s, knee)) : natural);
  }
}
