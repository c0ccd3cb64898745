// Softcap: s = cap tanh(s / cap), the first thing after the scale (FlashAttention-2, ONNX Attention).
// Scores are in base 2, so they carry a factor log2 e in and out.
import { Scalar } from "../tables.gen";
import { LOG2E, tanhv } from "../micro/vmath";
import { tanh } from "../micro/real";

/** Caps n scores of four lanes; with `slope` it stores the derivative 1 - tanh^2 there, same layout. */
export function scoreTile(task: usize, sp: usize, pitch: usize, n: i32, key: i32, panel: usize, slope: usize): void {
  const cap = load<f32>(task, Scalar.Softcap);
  const inverse = f32x4.splat(1 / (cap * LOG2E)), scale = f32x4.splat(cap * LOG2E), one = f32x4.splat(1);
  for (let j = 0; j < n; ++j) {
    const t = tanhv(f32x4.mul(v128.load(sp), inverse));
    v128.store(sp, f32x4.mul(t, scale));
    if (slope) {
      v128.store(slope, f32x4.sub(one, f32x4.mul(t, t)));
      slope += pitch;
    }
    sp += pitch;
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
