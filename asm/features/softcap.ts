// Softcap: s = cap tanh(s / cap), the first thing after the scale (FlashAttention-2, ONNX Attention).
// Scores are in base 2, so they carry a factor log2 e in and out.
import { Scalar } from "../tables.gen";
import { expm1Constant, LOG2E, madd } from "../micro/vmath";
import { tanh } from "../micro/real";

/**
 * Caps n scores of four lanes; with `slope` it stores the derivative 1 - tanh^2 there, same layout. tanh x, to a few ulps, is
 * (e^2|x| - 1) / (e^2|x| + 1) with the numerator computed without cancellation: 2^n (2^f - 1) + (2^n - 1). Above 10 it
 * is 1; NaN stays NaN.
 */
export function scoreTile(task: usize, sp: usize, pitch: usize, n: i32, key: i32, panel: usize, slope: usize): void {
  const cap = load<f32>(task, Scalar.Softcap);
  // 2 log2(e) |x| of x = s / (cap log2(e)), and that of 10
  const rate = f32x4.splat(2 / cap), most = f32x4.splat(28.85390081777927);
  const scale = f32x4.splat(cap * LOG2E), one = f32x4.splat(1), two = f32x4.splat(2);
  const negative = f32x4.splat(-0.0), magic = f32x4.splat(12583039);
  const c0 = expm1Constant(0), c1 = expm1Constant(1), c2 = expm1Constant(2), c3 = expm1Constant(3);
  const c4 = expm1Constant(4), c5 = expm1Constant(5), c6 = expm1Constant(6);
  for (; n > 0; --n, sp += pitch) {
    const s = v128.load(sp), sign = v128.and(s, negative);
    const y = f32x4.pmin(f32x4.mul(v128.xor(s, sign), rate), most);
    const r = f32x4.add(y, magic), f = f32x4.sub(y, f32x4.sub(r, magic));
    let p = madd(c0, f, c1);
    p = madd(p, f, c2);
    p = madd(p, f, c3);
    p = madd(p, f, c4);
    p = madd(p, f, c5);
    p = f32x4.mul(madd(p, f, c6), f);
    const power = i32x4.shl(r, 23), m = madd(power, p, f32x4.sub(power, one));
    const t = v128.or(sign, f32x4.div(m, f32x4.add(m, two)));
    v128.store(sp, f32x4.mul(t, scale));
    if (slope) {
      v128.store(slope, f32x4.sub(one, f32x4.mul(t, t)));
      slope += pitch;
    }
  }
}

/** One score, natural units. */
export function scoreOne(task: usize, s: f64, batch: i32, head: i32, i: i32, j: i32): f64 {
  const cap = <f64>load<f32>(task, Scalar.Softcap);
  return cap * tanh(s / cap);
}

/** The derivative of scoreOne by the score. */
export function slopeOne(task: usize, s: f64, batch: i32, head: i32, i: i32, j: i32): f64 {
  const t = tanh(s / <f64>load<f32>(task, Scalar.Softcap));
  return 1 - t * t;
}
