// Floats as integers of a unit, where products are those of bytes: see stages/integers.ts and stages/integer_outputs.ts.

/** Keys that share what is taken from them: chunks of keys begin at multiples of it (CHUNK_KEYS in src/plan/wasm/regions.ts). */
// @ts-ignore: decorator
@inline
export const GROUP: i32 = 96;

/** The largest number of units in 1: rows below 2^-119 have fewer levels, but no unit is denormal. */
// @ts-ignore: decorator
@inline
export const MOST: f32 = 8.507059173023462e37; // 2^126

/** How many units make 1, where the largest number of each lane is to become `levels`; 1 where there is none. */
// @ts-ignore: decorator
@inline
export function factorOf(largest: v128, levels: f32): v128 {
  const least = f32x4.pmin(f32x4.div(f32x4.splat(levels), largest), f32x4.splat(MOST));
  return v128.bitselect(f32x4.splat(1), least, f32x4.eq(largest, f32x4.splat(0)));
}

/** Four integers of a vector, 0 where one is no number. */
// @ts-ignore: decorator
@inline
export function integers(x: v128, factor: v128): v128 {
  return i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(x, factor)));
}

/** The last bytes of each lane of four vectors, those of a first. */
// @ts-ignore: decorator
@inline
export function lastBytes(a: v128, b: v128, c: v128, d: v128): v128 {
  const last = i32x4.splat(255), low = v128.or(v128.and(a, last), i32x4.shl(v128.and(b, last), 8));
  return v128.or(v128.or(low, i32x4.shl(v128.and(c, last), 16)), i32x4.shl(d, 24));
}
