// Passes over tiles of scores [key][lanes], keys `pitch` bytes apart.

/** x *= y for n keys of four lanes. */
export function multiply(x: usize, y: usize, pitch: usize, n: i32): void {
  for (; n > 0; --n) {
    v128.store(x, f32x4.mul(v128.load(x), v128.load(y)));
    x += pitch;
    y += pitch;
  }
}

/** x = 0 for n keys of eight lanes where S is minus infinity: what is masked must not come back as 0 * NaN. */
export function silenceMasked(s: usize, x: usize, pitch: usize, n: i32): void {
  const masked = f32x4.splat(-Infinity);
  for (; n > 0; --n) {
    v128.store(x, v128.andnot(v128.load(x), f32x4.eq(v128.load(s), masked)));
    v128.store(x, v128.andnot(v128.load(x, 16), f32x4.eq(v128.load(s, 16), masked)), 16);
    s += pitch;
    x += pitch;
  }
}

/** Weights below 2^-80 of a row's largest: far below what float32 can tell in a sum of 2^20 keys. */
// @ts-ignore: decorator
@inline
export const TINY: f32 = -80;

/** A score, or `none` where it lies below the limit. */
// @ts-ignore: decorator
@inline
export function flushed(s: v128, limit: v128, none: v128): v128 {
  return v128.bitselect(none, s, f32x4.lt(s, limit));
}

/**
 * S = minus infinity for n keys of four lanes where 2^(S + shift) is tiny. Products with such weights are
 * denormal until larger ones come, and denormal numbers cost 100 cycles each.
 */
export function flushTiny(sp: usize, pitch: usize, n: i32, shift: v128): void {
  const none = f32x4.splat(-Infinity), limit = f32x4.sub(f32x4.splat(TINY), shift);
  for (; n > 0; --n, sp += pitch) v128.store(sp, flushed(v128.load(sp), limit, none));
}
