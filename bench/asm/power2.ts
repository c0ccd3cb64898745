/**
 * 2^x for x at most 0: split off the integer with the rounding trick, a polynomial of degree 5, the
 * integer into the exponent. The constants are vectors of a table (bench/limits/exp_table.ts), loaded
 * once by the caller because V8 rebuilds a constant vector at every use.
 */
// @ts-ignore: decorator
@inline
export function power2(
  x: v128, low: v128, magic: v128,
  k5: v128, k4: v128, k3: v128, k2: v128, k1: v128, k0: v128,
): v128 {
  x = f32x4.pmax(low, x);
  const shifted = f32x4.add(x, magic);
  x = f32x4.sub(x, f32x4.sub(shifted, magic));
  let p = f32x4.relaxed_madd(x, k5, k4);
  p = f32x4.relaxed_madd(p, x, k3);
  p = f32x4.relaxed_madd(p, x, k2);
  p = f32x4.relaxed_madd(p, x, k1);
  p = f32x4.relaxed_madd(p, x, k0);
  return f32x4.mul(p, i32x4.shl(shifted, 23));
}
