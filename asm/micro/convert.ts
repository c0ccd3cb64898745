// Storage types. Arithmetic is float32 everywhere; float16, bfloat16 and bytes with a scale exist in memory only.
import { DTypeCode } from "../abi";

/**
 * 4 float16 in the low halves of four lanes -> float32. The exponent is rebased by a product, which also makes subnormals
 * right; exponent 31 (infinity, NaN) is put back by hand.
 */
// @ts-ignore: decorator
@inline
function widenHalf(h: v128): v128 {
  const magnitude = v128.and(h, i32x4.splat(0x7fff));
  const value = f32x4.mul(i32x4.shl(magnitude, 13), f32x4.splat(5192296858534827628530496329220096.0));
  const special = v128.and(i32x4.gt_s(magnitude, i32x4.splat(0x7bff)), i32x4.splat(0x7f800000));
  return v128.or(v128.or(value, special), i32x4.shl(v128.and(h, i32x4.splat(0x8000)), 16));
}

/**
 * n float16 at src -> float32 at dst, eight at a time: sign extension has the sign where a shift leaves it. Whether none
 * was infinity or NaN, which come out wrong; n is a multiple of eight.
 */
function widenFinite(src: usize, dst: usize, n: i32): bool {
  const keep = i32x4.splat(0x8fffe000), rebase = f32x4.splat(5192296858534827628530496329220096.0);
  const magnitude = i16x8.splat(0x7fff);
  let largest = i16x8.splat(0);
  for (const end = src + (<usize>n << 1); src < end; src += 16, dst += 32) {
    const h = v128.load(src);
    largest = i16x8.max_s(largest, v128.and(h, magnitude));
    v128.store(dst, f32x4.mul(v128.and(i32x4.shl(i32x4.extend_low_i16x8_s(h), 13), keep), rebase));
    v128.store(dst, f32x4.mul(v128.and(i32x4.shl(i32x4.extend_high_i16x8_s(h), 13), keep), rebase), 16);
  }
  return !v128.any_true(i16x8.gt_s(largest, i16x8.splat(0x7bff)));
}

/** n bfloat16 at src -> float32 at dst, eight at a time: they are the upper halves. */
function widenShort(src: usize, dst: usize, n: i32): bool {
  const zero = i16x8.splat(0);
  for (const end = src + (<usize>n << 1); src < end; src += 16, dst += 32) {
    const h = v128.load(src);
    v128.store(dst, v128.shuffle<i16>(zero, h, 0, 8, 1, 9, 2, 10, 3, 11));
    v128.store(dst, v128.shuffle<i16>(zero, h, 4, 12, 5, 13, 6, 14, 7, 15), 16);
  }
  return true;
}

/** A row of n bytes behind their scale -> float32 at dst. */
function widenBytes(row: usize, dst: usize, n: i32): void {
  const scale = load<f32>(row), s = f32x4.splat(scale);
  let src = row + 4, i = 0;
  for (; i + 8 <= n; i += 8, src += 8, dst += 32) {
    const h = v128.load8x8_s(src);
    v128.store(dst, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(h)), s));
    v128.store(dst, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(h)), s), 16);
  }
  for (; i < n; ++i, ++src, dst += 4) store<f32>(dst, <f32>load<i8>(src) * scale);
}

/** Largest magnitudes below it are raised before something is divided by them: the quotient may be beyond float32. */
export const TINY: f32 = 7.888609052210118e-31; // 2^-100
/** ... by this factor. */
export const RAISED: f32 = 18446744073709551616.0; // 2^64

// @ts-ignore: decorator
@inline
export function raising(most: f32): f32 {
  return most < TINY ? RAISED : 1;
}

/**
 * n float32 at src -> a scale and bytes behind it: the largest magnitude is 127. A row that holds NaN or infinity has a
 * scale that is not finite, so that none of it comes back as a number.
 */
function narrowBytes(src: usize, row: usize, n: i32): void {
  let most: f32 = 0;
  for (let i = 0; i < n; ++i) most = max(most, abs(load<f32>(src + (<usize>i << 2))));
  const up = raising(most), inverse: f32 = most > 0 && most < Infinity ? 127 / (most * up) : 0;
  store<f32>(row, most < Infinity ? most / 127 : NaN);
  for (let i = 0; i < n; ++i) store<i8>(row + 4 + <usize>i, <i8>nearest(load<f32>(src + (<usize>i << 2)) * up * inverse));
}

/** n values of type `dtype` at src -> float32 at dst. */
export function widen(src: usize, dst: usize, n: i32, dtype: i32): void {
  if (dtype == DTypeCode.F32) {
    memory.copy(dst, src, <usize>n << 2);
    return;
  }
  if (dtype == DTypeCode.I8) return widenBytes(src, dst, n);
  let i = 0;
  if (dtype == DTypeCode.BF16 ? widenShort(src, dst, n & ~7) : widenFinite(src, dst, n & ~7)) {
    i = n & ~7;
    src += <usize>i << 1;
    dst += <usize>i << 2;
  }
  for (; i + 4 <= n; i += 4, src += 8, dst += 16) {
    const h = v128.load16x4_u(src);
    v128.store(dst, dtype == DTypeCode.F16 ? widenHalf(h) : i32x4.shl(h, 16));
  }
  for (; i < n; ++i, src += 2, dst += 4) store<f32>(dst, element(src, 0, dtype));
}

/** The d-th value of a row of type `dtype`. */
export function element(row: usize, d: i32, dtype: i32): f32 {
  if (dtype == DTypeCode.F32) return load<f32>(row + (<usize>d << 2));
  if (dtype == DTypeCode.I8) return <f32>load<i8>(row + 4 + <usize>d) * load<f32>(row);
  const h = i32x4.splat(load<u16>(row + (<usize>d << 1)));
  return f32x4.extract_lane(dtype == DTypeCode.F16 ? widenHalf(h) : i32x4.shl(h, 16), 0);
}

/** Round to nearest, ties to even; overflow goes to infinity, NaN stays a quiet NaN. */
function toHalf(x: f32): u32 {
  const bits = reinterpret<u32>(x), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  // below 2^-14: adding 1/2 lets the hardware round at the last place of a subnormal half
  if (magnitude < 0x38800000) return sign | (reinterpret<u32>(reinterpret<f32>(magnitude) + 0.5) - 0x3f000000);
  return sign | ((magnitude + 0xfff + (magnitude >> 13 & 1) >> 13) - (112 << 10));
}

function toBfloat(x: f32): u32 {
  const bits = reinterpret<u32>(x);
  if ((bits & 0x7fffffff) > 0x7f800000) return bits >> 16 | 0x40;
  return bits + 0x7fff + (bits >> 16 & 1) >> 16;
}

/** n float32 at src -> values of type `dtype` at dst. */
export function narrow(src: usize, dst: usize, n: i32, dtype: i32): void {
  if (dtype == DTypeCode.F32) {
    memory.copy(dst, src, <usize>n << 2);
    return;
  }
  if (dtype == DTypeCode.I8) return narrowBytes(src, dst, n);
  for (let i = 0; i < n; ++i, src += 4, dst += 2) {
    const x = load<f32>(src);
    store<u16>(dst, <u16>(dtype == DTypeCode.F16 ? toHalf(x) : toBfloat(x)));
  }
}
