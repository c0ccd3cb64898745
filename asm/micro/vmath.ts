// Vector arithmetic. `madd`, `dotFours` and `dotPairs` are the only places that know whether relaxed SIMD is there.

/** a * b + c, fused where the build allows it. */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/**
 * c + the four products of bytes in each lane, signed ones of a and ones below 128 of b: exact, so the same bits in any form.
 * One instruction where the processor has it (VNNI, SDOT), five or more elsewhere. The plain build has no relaxed
 * instructions and never runs what stands in their place: see src/wasm/module/lower_relaxed.ts.
 */
// @ts-ignore: decorator
@inline
export function dotFours(a: v128, b: v128, c: v128, _ones: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i32x4.relaxed_dot_i8x16_i7x16_add_s(a, b, c);
  return i32x4.add(f32x4.mul(a, b), c);
}

/**
 * The same in three instructions on every processor: products of two bytes are summed in 16 bits. `ones`: 1 in each 16 bits,
 * in a register (an extadd_pairwise reads it from memory each time: 0.88 of the speed). Not in the plain build.
 */
// @ts-ignore: decorator
@inline
export function dotPairs(a: v128, b: v128, c: v128, ones: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i32x4.add(c, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(a, b), ones));
  return i32x4.add(c, i32x4.dot_i16x8_s(i16x8.q15mulr_sat_s(a, b), ones));
}

/** The same in instructions of plain SIMD: products in 16 bits. */
// @ts-ignore: decorator
@inline
export function dotWide(a: v128, b: v128, c: v128, _ones: v128): v128 {
  const low = i32x4.extadd_pairwise_i16x8_s(i16x8.extmul_low_i8x16_s(a, b)), high = i32x4.extadd_pairwise_i16x8_s(i16x8.extmul_high_i8x16_s(a, b));
  return i32x4.add(c, i32x4.add(v128.shuffle<i32>(low, high, 0, 2, 4, 6), v128.shuffle<i32>(low, high, 1, 3, 5, 7)));
}

/** Lane i of the result is the sum of the lanes of the i-th argument (a 4x4 transpose and three adds). */
// @ts-ignore: decorator
@inline
export function sumLanes(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<f32>(a, b, 0, 4, 1, 5), v128.shuffle<f32>(a, b, 2, 6, 3, 7));
  const cd = f32x4.add(v128.shuffle<f32>(c, d, 0, 4, 1, 5), v128.shuffle<f32>(c, d, 2, 6, 3, 7));
  return f32x4.add(v128.shuffle<f32>(ab, cd, 0, 1, 4, 5), v128.shuffle<f32>(ab, cd, 2, 3, 6, 7));
}

/** The same of integers, as float32: sums of two lanes must stay below 2^31. */
// @ts-ignore: decorator
@inline
export function sumIntegers(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.convert_i32x4_s(i32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7)));
  const cd = f32x4.convert_i32x4_s(i32x4.add(v128.shuffle<i32>(c, d, 0, 4, 1, 5), v128.shuffle<i32>(c, d, 2, 6, 3, 7)));
  return f32x4.add(v128.shuffle<f32>(ab, cd, 0, 1, 4, 5), v128.shuffle<f32>(ab, cd, 2, 3, 6, 7));
}

/** The sum of the four lanes, in a fixed order. */
// @ts-ignore: decorator
@inline
export function sum4(x: v128): f32 {
  return (f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 1)) +
    (f32x4.extract_lane(x, 2) + f32x4.extract_lane(x, 3));
}

// @ts-ignore: decorator
@inline
export const LOG2E: f32 = 1.4426950408889634;
// @ts-ignore: decorator
@inline
export const LN2: f32 = 0.6931471805599453;

// Each constant four times in static data, loaded into a local before a loop: V8 builds an immediate
// vector anew at every use (4.5 against 1.8 ns for four exponentials).
// -127; 1.5 * 2^23 + 127; the minimax polynomial of 2^x on [-1/2, 1/2], degree 5 down to 0.
const EXP2_TABLE = memory.data<f32>([
  -127, -127, -127, -127,
  12583039, 12583039, 12583039, 12583039,
  1.327647198e-3, 1.327647198e-3, 1.327647198e-3, 1.327647198e-3,
  9.675541334e-3, 9.675541334e-3, 9.675541334e-3, 9.675541334e-3,
  5.550713274e-2, 5.550713274e-2, 5.550713274e-2, 5.550713274e-2,
  2.402211972e-1, 2.402211972e-1, 2.402211972e-1, 2.402211972e-1,
  6.931469671e-1, 6.931469671e-1, 6.931469671e-1, 6.931469671e-1,
  1.000000072, 1.000000072, 1.000000072, 1.000000072,
], 16);

/** The i-th of the eight constants of 2^x (EXP2_STEPS in tools/build/tiles/exponentials.ts). */
// @ts-ignore: decorator
@inline
export function exp2Constant(i: i32): v128 {
  return v128.load(EXP2_TABLE + (<usize>i << 4));
}

// ln2^k / k! for k = 7 .. 1: the Taylor series of 2^f - 1, whose error on |f| <= 1/2 is 2e-9.
const EXPM1_TABLE = memory.data<f32>([
  1.525273380e-5, 1.525273380e-5, 1.525273380e-5, 1.525273380e-5,
  1.540353039e-4, 1.540353039e-4, 1.540353039e-4, 1.540353039e-4,
  1.333355815e-3, 1.333355815e-3, 1.333355815e-3, 1.333355815e-3,
  9.618129107e-3, 9.618129107e-3, 9.618129107e-3, 9.618129107e-3,
  5.550410866e-2, 5.550410866e-2, 5.550410866e-2, 5.550410866e-2,
  2.402265070e-1, 2.402265070e-1, 2.402265070e-1, 2.402265070e-1,
  6.931471806e-1, 6.931471806e-1, 6.931471806e-1, 6.931471806e-1,
], 16);

/** The i-th of the seven constants of 2^f - 1, for a local before a loop. */
// @ts-ignore: decorator
@inline
export function expm1Constant(i: i32): v128 {
  return v128.load(EXPM1_TABLE + (<usize>i << 4));
}

const ESCAPE = memory.data(16);
/**
 * Reads one word of every cache line of n rows, in address order: tiles walk six rows at once, which the
 * hardware prefetcher does not follow (backward at L 4096: 48.4 -> 51.1 GFLOP/s, forward at D 128: 50.5 -> 52.3).
 */
export function prefetch(rows: usize, stride: usize, bytes: usize, n: i32): void {
  if (stride == bytes) {
    bytes *= <usize>n;
    n = 1;
  }
  let x = 0;
  for (; n > 0; --n, rows += stride) {
    for (let p = rows, end = rows + bytes; p < end; p += 64) x += load<i32>(p);
  }
  store<i32>(ESCAPE, x);
}

/** Keeps a value that is read only for its side effect on the cache. */
// @ts-ignore: decorator
@inline
export function escape(x: i32): void {
  store<i32>(ESCAPE, x);
}
