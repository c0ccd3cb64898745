// Decode of rows of bytes: queries and weights as 16-bit integers, products summed in 32 bits, exactly.
//
//   q = (its largest magnitude / QUERY) * integers                         once an item
//   S[key] = (integers . bytes of the key) * unit of q * scale of the key
//   W[key] = P[key] * scale of the value = (the largest W / WEIGHT) * integers
//   O += (integers . bytes of the values) * (the largest W / WEIGHT)       once a block of keys
import { gemv_o_bytes_x1, gemv_o_bytes_x4, gemv_s_bytes_2x1, gemv_s_bytes_2x4 } from "../micro/tiles.gen";
import { RAISED, raising, TINY } from "../micro/convert";
import { escape, madd } from "../micro/vmath";

/** The largest integer of a query: products of 2048 columns, summed in two lanes, stay below 2^31. */
const QUERY: f32 = 16383;
/** The columns for which it does. */
const QUERY_COLUMNS: f32 = 2048;
/** The largest integer of a weight: products of a block of up to 1024 keys stay below 2^31. */
const WEIGHT: f32 = 16383;

/** n float32 at x as 16-bit integers at dst, which is zero behind them; what a unit is worth: NaN where one is no number. */
export function packQuery(x: usize, dst: usize, n: i32): f32 {
  let most: f32 = 0;
  for (let d = 0; d < n; ++d) most = max(most, abs(load<f32>(x + (<usize>d << 2))));
  if (!(most < Infinity)) return NaN;
  const largest = n > <i32>QUERY_COLUMNS ? QUERY * QUERY_COLUMNS / <f32>n : QUERY, up = raising(most);
  const factor: f32 = most > 0 ? largest / (most * up) : 0;
  for (let d = 0; d < n; ++d) store<i16>(dst + (<usize>d << 1), <i16>nearest(load<f32>(x + (<usize>d << 2)) * up * factor));
  return most / largest;
}

/** P of n keys times the scales in front of their values, at v; the largest of each lane so far. */
export function weighValues(sp: usize, v: usize, ld: usize, n: i32, most: v128): v128 {
  for (; n > 0; --n, sp += 16, v += ld) {
    const w = f32x4.mul(v128.load(sp), v128.load_splat<f32>(v));
    v128.store(sp, w);
    most = f32x4.max(most, w); // NaN stays
  }
  return most;
}

/** The largest weights of lanes; where they are tiny, they and all others of their lanes are raised. */
function raiseWeights(sp: usize, n: i32, most: v128): v128 {
  const tiny = v128.andnot(f32x4.lt(most, f32x4.splat(TINY)), f32x4.eq(most, f32x4.splat(0)));
  if (!v128.any_true(tiny)) return most;
  const up = v128.bitselect(f32x4.splat(RAISED), f32x4.splat(1), tiny);
  for (const end = sp + (<usize>n << 4); sp < end; sp += 16) v128.store(sp, f32x4.mul(v128.load(sp), up));
  return f32x4.mul(most, up);
}

/** Weights of n keys as integers, those of two keys in each word: [pair of keys][lane]; a last key has no other. */
export function packWeights(sp: usize, n: i32, most: v128, dst: usize): void {
  const zero = f32x4.splat(0), half = f32x4.splat(0.5);
  most = raiseWeights(sp, n, most);
  const factor = v128.andnot(f32x4.div(f32x4.splat(WEIGHT), most), f32x4.eq(most, zero));
  for (; n > 0; n -= 2, sp += 32, dst += 16) {
    const a = i32x4.trunc_sat_f32x4_s(madd(v128.load(sp), factor, half));
    const b = n > 1 ? i32x4.trunc_sat_f32x4_s(madd(v128.load(sp, 16), factor, half)) : zero;
    v128.store(dst, v128.or(a, i32x4.shl(b, 16)));
  }
}

/** O += sums times what a unit of a weight is worth, for a row of n columns. */
export function addSums(sums: usize, o: usize, n: i32, most: f32): void {
  const share = f32x4.splat(1 / WEIGHT), unit = f32x4.splat(most); // their product may be below float32
  for (const end = o + (<usize>n << 2); o < end; o += 16, sums += 16) {
    v128.store(o, madd(f32x4.mul(f32x4.convert_i32x4_s(v128.load(sums)), share), unit, v128.load(o)));
  }
}

/** S of n keys whose rows begin at k, by the integers of a quad at x. `t`: where memory is touched, `step` bytes further each time. */
export function scoreIntegers(k: usize, ld: usize, x: usize, pitch: usize, sp: usize, n: i32, columns: usize, lanes: i32, unit: usize, t: usize, step: usize): void {
  const whole = n & ~1, last = k + <usize>whole * ld, rest = sp + (<usize>whole << 4);
  let y = 0;
  if (lanes == 1) {
    if (whole) y = gemv_s_bytes_2x1(k, x, sp, whole, columns, ld, pitch, unit, t, step);
    if (whole < n) y += gemv_s_bytes_2x1(last, x, rest, 1, columns, 0, pitch, unit, x, 0);
  } else {
    if (whole) y = gemv_s_bytes_2x4(k, x, sp, whole, columns, ld, pitch, unit, t, step);
    if (whole < n) y += gemv_s_bytes_2x4(last, x, rest, 1, columns, 0, pitch, unit, x, 0);
  }
  escape(y);
}

/** Sums += W . V of n keys whose rows begin at v; `pitch`: bytes of the sums of a row of W. */
export function sumBytes(v: usize, ld: usize, w: usize, sums: usize, pitch: usize, n: i32, lanes: i32): void {
  const pairs = n >> 1, columns = pitch >> 2, last = v + <usize>(n - 1) * ld, rest = w + (<usize>pairs << 4);
  if (lanes == 1) {
    if (pairs) gemv_o_bytes_x1(v, w, sums, pairs, columns, ld, pitch);
    if (n & 1) gemv_o_bytes_x1(last, rest, sums, 1, columns, 0, pitch);
  } else {
    if (pairs) gemv_o_bytes_x4(v, w, sums, pairs, columns, ld, pitch);
    if (n & 1) gemv_o_bytes_x4(last, rest, sums, 1, columns, 0, pitch);
  }
}
