// Softcap: s = cap tanh(s / cap), the first thing after the scale (FlashAttention-2, ONNX Attention).
// Scores are in base 2, so they carry a factor log2 e in and out.
import { LOG2E, tanhv } from "../micro/vmath";

/** Caps n scores of four lanes; with `factor` it stores the derivative 1 - tanh^2 there, same layout. */
export function softcapTile(sp: usize, pitch: usize, n: i32, cap: f32, factor: usize): void {
  const inverse = f32x4.splat(1 / (cap * LOG2E)), scale = f32x4.splat(cap * LOG2E), one = f32x4.splat(1);
  for (let j = 0; j < n; ++j) {
    const t = tanhv(f32x4.mul(v128.load(sp), inverse));
    v128.store(sp, f32x4.mul(t, scale));
    if (factor) {
      v128.store(factor, f32x4.sub(one, f32x4.mul(t, t)));
      factor += pitch;
    }
    sp += pitch;
  }
}
