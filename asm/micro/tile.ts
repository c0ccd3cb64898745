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
