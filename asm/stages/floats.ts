// Decode of rows of float32, by the tiles that fit how many query rows share them.
import { gemv_o_1x1, gemv_o_4x2, gemv_s_1x1, gemv_s_2x2, gemv_s_2x4 } from "../micro/tiles.gen";
import { escape } from "../micro/vmath";

/** S of n keys whose rows begin at k. `t`: where to prefetch. */
export function scoreRows(k: usize, ld: usize, q: usize, qPitch: usize, sp: usize, n: i32, D: i32, lanes: i32, t: usize): void {
  if (lanes == 1) return escape(gemv_s_1x1(k, q, sp, n, D, ld, qPitch, t));
  const whole = n & ~1;
  let x = 0;
  if (whole) {
    if (lanes == 2) x = gemv_s_2x2(k, q, sp, whole, D, ld, qPitch, t);
    else x = gemv_s_2x4(k, q, sp, whole, D, ld, qPitch, t);
  }
  if (whole < n) x += gemv_s_2x4(k + <usize>whole * ld, q, sp + (<usize>whole << 4), 1, D, 0, qPitch, q); // the last row twice
  escape(x);
}

/** O += P . V of n keys. A single row of P walks V strictly in order; more rows take four keys at once. */
export function outputRows(v: usize, ld: usize, p: usize, o: usize, oPitch: usize, n: i32, Dv: i32, lanes: i32, t: usize): void {
  const whole = lanes == 1 ? 0 : n & ~3, heads = lanes > 2 ? 4 : lanes;
  let x = 0;
  if (whole) x = gemv_o_4x2(v, p, o, whole, Dv, ld, oPitch, heads, t);
  if (whole < n) {
    x += gemv_o_1x1(v + <usize>whole * ld, p + (<usize>whole << 4), o, n - whole, Dv, ld, oPitch, heads, v);
  }
  escape(x);
}
