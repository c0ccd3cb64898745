// Decode of rows of 16-bit floats, widened in the registers of the tiles (tools/build/tiles/halves.ts) instead of in
// memory: queries and outputs lie as the tiles find eight columns, 1 3 5 7 and 0 2 4 6.
//
//   q' = q * 2^112, k' = k / 2^112: what bits of float16 say as bits of float32       S = q' . k'
//   p' = p * 2^112, v' = v / 2^112                                                     O += p' v'
//
// Infinity and NaN would come out as numbers: rows that hold one go through memory, in the same order of columns.
import { DTypeCode } from "../abi";
import {
  gemv_o_bf16_1x1, gemv_o_bf16_4x2, gemv_o_bf16_x4, gemv_o_f16_1x1, gemv_o_f16_4x2, gemv_o_f16_x4, gemv_s_bf16_1x1,
  gemv_s_bf16_2x4, gemv_s_f16_1x1, gemv_s_f16_2x4,
} from "../micro/tiles.gen";
import { prefetch } from "../micro/vmath";

/** What float16 read as float32 is too small by. */
const REBASE: f32 = 5192296858534827628530496329220096.0;
/** The largest query that can carry it. */
const LARGEST_QUERY: f32 = 32768;
/** The largest finite float16 without its sign. */
const LARGEST_HALF: i32 = 0x7bff;

/** The factor of queries and of weights for rows of type `dtype`. */
// @ts-ignore: decorator
@inline
export function factorOf(dtype: i32): f32 {
  return dtype == DTypeCode.F16 ? REBASE : 1;
}

/** Whether a row of n columns at q, times `scale`, can be multiplied by the factor. */
export function fitsFactor(q: usize, n: i32, scale: f32): bool {
  for (let d: usize = 0; d < <usize>n << 2; d += 4) if (!(abs(load<f32>(q + d) * scale) < LARGEST_QUERY)) return false;
  return true;
}

/** Rows of n float32 times a factor, in place, in the order of the tiles; n is a multiple of eight. */
export function spreadRows(x: usize, rows: i32, n: i32, factor: f32): void {
  const f = f32x4.splat(factor);
  for (const end = x + (<usize>(rows * n) << 2); x < end; x += 32) {
    const a = f32x4.mul(v128.load(x), f), b = f32x4.mul(v128.load(x, 16), f);
    v128.store(x, v128.shuffle<f32>(a, b, 1, 3, 5, 7));
    v128.store(x, v128.shuffle<f32>(a, b, 0, 2, 4, 6), 16);
  }
}

/** A row of n float32 back in the order of columns, in place. */
export function gatherRow(x: usize, n: i32): void {
  for (const end = x + (<usize>n << 2); x < end; x += 32) {
    const odd = v128.load(x), even = v128.load(x, 16);
    v128.store(x, v128.shuffle<f32>(even, odd, 0, 4, 1, 5));
    v128.store(x, v128.shuffle<f32>(even, odd, 2, 6, 3, 7), 16);
  }
}

/**
 * Whether tiles can widen n rows of `columns` columns. Reads them in address order, which brings them near: tiles walk
 * several rows at once.
 */
export function widenable(row: usize, ld: usize, n: i32, columns: i32, dtype: i32): bool {
  const bytes = <usize>columns << 1;
  if (dtype == DTypeCode.BF16) {
    prefetch(row, ld, bytes, n);
    return true;
  }
  const magnitude = i16x8.splat(0x7fff);
  let a = i16x8.splat(0), b = a;
  for (; n > 0; --n, row += ld) {
    let p = row;
    const end = row + bytes, end2 = row + (bytes & ~31);
    for (; p < end2; p += 32) {
      a = i16x8.max_s(a, v128.and(v128.load(p), magnitude));
      b = i16x8.max_s(b, v128.and(v128.load(p, 16), magnitude));
    }
    if (p < end) a = i16x8.max_s(a, v128.and(v128.load(p), magnitude));
  }
  return !v128.any_true(i16x8.gt_s(i16x8.max_s(a, b), i16x8.splat(<i16>LARGEST_HALF)));
}

/** S of n keys whose rows begin at k. */
export function scoreHalves(k: usize, ld: usize, q: usize, qPitch: usize, sp: usize, n: i32, D: i32, lanes: i32, dtype: i32): void {
  const f16 = dtype == DTypeCode.F16, whole = n & ~1;
  if (lanes == 1) {
    if (f16) gemv_s_f16_1x1(k, q, sp, n, D, ld, qPitch);
    else gemv_s_bf16_1x1(k, q, sp, n, D, ld, qPitch);
    return;
  }
  if (whole) {
    if (f16) gemv_s_f16_2x4(k, q, sp, whole, D, ld, qPitch);
    else gemv_s_bf16_2x4(k, q, sp, whole, D, ld, qPitch);
  }
  if (whole == n) return;
  k += <usize>whole * ld; // twice: what lies behind the last score is nobody's
  sp += <usize>whole << 4;
  if (f16) gemv_s_f16_2x4(k, q, sp, 1, D, 0, qPitch);
  else gemv_s_bf16_2x4(k, q, sp, 1, D, 0, qPitch);
}

/**
 * Bytes from row to row up to which a few rows of V stay in the first-level cache while they are walked for each few columns.
 * measured on an AMD EPYC (family 25 model 1), D 128, four heads, rows in the cache: 32 ns a key instead of 41.
 */
const CLOSE: usize = 512;

/** P of n keys times the factor, in place. */
function scaleWeights(p: usize, n: i32, factor: v128): void {
  for (const end = p + (<usize>n << 4); p < end; p += 16) v128.store(p, f32x4.mul(factor, v128.load(p)));
}

/** O += P . V of n keys whose rows begin at v; P is of no use afterwards. */
export function outputHalves(v: usize, ld: usize, p: usize, o: usize, oPitch: usize, n: i32, Dv: i32, lanes: i32, dtype: i32): void {
  const f16 = dtype == DTypeCode.F16, factor = f32x4.splat(factorOf(dtype)), whole = lanes == 1 ? 0 : n & ~3, heads = lanes > 2 ? 4 : lanes;
  if (lanes > 2 && ld <= CLOSE) {
    if (!f16) return gemv_o_bf16_x4(v, p, o, n, Dv, ld, oPitch);
    scaleWeights(p, n, factor);
    return gemv_o_f16_x4(v, p, o, n, Dv, ld, oPitch);
  }
  if (whole) {
    if (f16) gemv_o_f16_4x2(v, p, o, whole, Dv, ld, oPitch, heads, factor);
    else gemv_o_bf16_4x2(v, p, o, whole, Dv, ld, oPitch, heads, factor);
  }
  if (whole == n) return;
  v += <usize>whole * ld;
  p += <usize>whole << 4;
  if (f16) gemv_o_f16_1x1(v, p, o, n - whole, Dv, ld, oPitch, heads, factor);
  else gemv_o_bf16_1x1(v, p, o, n - whole, Dv, ld, oPitch, heads, factor);
}
