// e^x, ln x and tanh x in float64, for single rows and scores. The standard library's come with 6 KB of tables, a
// tenth of the binary; these have polynomials, with an error of a few ulps.

const LN2_HIGH: f64 = 0.6931471803691238; // its last 21 bits are 0, so n times it is exact
const LN2_LOW: f64 = 1.9082149292705877e-10;

/** e^r - 1 for |r| <= ln 2 / 2: the Taylor series to r^13. */
function expm1Near0(r: f64): f64 {
  let p: f64 = 1.6059043836821613e-10;
  p = p * r + 2.08767569878681e-09;
  p = p * r + 2.505210838544172e-08;
  p = p * r + 2.755731922398589e-07;
  p = p * r + 2.7557319223985893e-06;
  p = p * r + 2.48015873015873e-05;
  p = p * r + 0.0001984126984126984;
  p = p * r + 0.001388888888888889;
  p = p * r + 0.008333333333333333;
  p = p * r + 0.041666666666666664;
  p = p * r + 0.16666666666666666;
  p = p * r + 0.5;
  return r + r * r * p;
}

/** p 2^n, where 2^n alone may be beyond float64. */
function scaled(p: f64, n: i32): f64 {
  const half = n >> 1;
  return p * reinterpret<f64>(<i64>(half + 1023) << 52) * reinterpret<f64>(<i64>(n - half + 1023) << 52);
}

/** e^x */
export function exp(x: f64): f64 {
  if (x != x) return x;
  if (x > 710) return Infinity;
  if (x < -746) return 0;
  const n = nearest(x * 1.4426950408889634);
  return scaled(1 + expm1Near0((x - n * LN2_HIGH) - n * LN2_LOW), <i32>n);
}

/** ln x of x >= 0: x = 2^e m with m about 1, ln m = 2 artanh((m - 1) / (m + 1)). */
export function log(x: f64): f64 {
  if (!(x > 0 && x < Infinity)) return x == 0 ? -Infinity : x;
  let e = 0;
  if (x < 2.2250738585072014e-308) {
    x *= 18014398509481984; // 2^54
    e = -54;
  }
  // m from sqrt(1/2) to sqrt(2)
  const bits = reinterpret<u64>(x) + (0x3ff0000000000000 - 0x3fe6a09e667f3bcd);
  e += <i32>(bits >> 52) - 1023;
  const m = reinterpret<f64>((bits & 0x000fffffffffffff) + 0x3fe6a09e667f3bcd);
  const f = (m - 1) / (m + 1), s = f * f;
  let p: f64 = 0.043478260869565216;
  p = p * s + 0.047619047619047616;
  p = p * s + 0.05263157894736842;
  p = p * s + 0.058823529411764705;
  p = p * s + 0.06666666666666667;
  p = p * s + 0.07692307692307693;
  p = p * s + 0.09090909090909091;
  p = p * s + 0.1111111111111111;
  p = p * s + 0.14285714285714285;
  p = p * s + 0.2;
  p = p * s + 0.3333333333333333;
  p *= s;
  return <f64>e * LN2_HIGH + (2 * f * (1 + p) + <f64>e * LN2_LOW);
}

// 2 log2 e / (2k + 1) for k = 5 .. 0: what is left out of log2 is 1e-10 of it.
const LOG2_TABLE = memory.data<f64>([
  0.2623081892525388, 0.3205988979753252, 0.41219858311113244,
  0.5770780163555853, 0.9617966939259757, 2.8853900817779268,
], 8);

/** log2 of two float32, as float64: x = 2^e m as in log. Above 0 and finite. */
function log2Two(x: v128): v128 {
  const bits = i64x2.add(f64x2.promote_low_f32x4(x), i64x2.splat(0x3ff0000000000000 - 0x3fe6a09e667f3bcd)), powers = i64x2.shr_u(bits, 52);
  const e = f64x2.convert_low_i32x4_s(i32x4.sub(v128.shuffle<i32>(powers, powers, 0, 2, 0, 2), i32x4.splat(1023)));
  const m = i64x2.add(v128.and(bits, i64x2.splat(0x000fffffffffffff)), i64x2.splat(0x3fe6a09e667f3bcd)), one = f64x2.splat(1);
  const f = f64x2.div(f64x2.sub(m, one), f64x2.add(m, one)), s = f64x2.mul(f, f);
  let p = v128.load_splat<f64>(LOG2_TABLE);
  p = f64x2.add(f64x2.mul(p, s), v128.load_splat<f64>(LOG2_TABLE, 8));
  p = f64x2.add(f64x2.mul(p, s), v128.load_splat<f64>(LOG2_TABLE, 16));
  p = f64x2.add(f64x2.mul(p, s), v128.load_splat<f64>(LOG2_TABLE, 24));
  p = f64x2.add(f64x2.mul(p, s), v128.load_splat<f64>(LOG2_TABLE, 32));
  p = f64x2.add(f64x2.mul(p, s), v128.load_splat<f64>(LOG2_TABLE, 40));
  return f64x2.add(e, f64x2.mul(p, f));
}

/** log2 of four float32 above 0 that are finite. */
export function log2Four(x: v128): v128 {
  const a = log2Two(x), b = log2Two(v128.shuffle<f32>(x, x, 2, 3, 2, 3));
  return v128.shuffle<f32>(f32x4.demote_f64x2_zero(a), f32x4.demote_f64x2_zero(b), 0, 1, 4, 5);
}

/** log2 of a float32 >= 0. */
export function log2(x: f32): f32 {
  if (!(x > 0 && x < Infinity)) return x == 0 ? -Infinity : x;
  return <f32>f64x2.extract_lane(log2Two(f32x4.splat(x)), 0);
}

/** tanh x, as (e^2|x| - 1) / (e^2|x| + 1), its numerator without cancellation. */
export function tanh(x: f64): f64 {
  const y = 2 * min(abs(x), 22), m = y < 0.34 ? expm1Near0(y) : exp(y) - 1;
  return copysign(m / (m + 2), x);
}
