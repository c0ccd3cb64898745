// Products of a run of keys with one panel, for forward and for what looks inside it.
import { State, UPPER } from "../micro/records";
import { FORWARD_PITCH, gemm_s_1x8, gemm_s_4x8, gemm_s_6x8 } from "../micro/tiles.gen";

/** No score yet: T of a softmax state is the maximum of the products that start from it. */
export function beginMaximum(start: usize): void {
  v128.store(start, f32x4.splat(-Infinity), State.T);
  v128.store(start, f32x4.splat(-Infinity), State.T + UPPER);
}

/**
 * S^T[n keys][8] of one panel; `rows`: those of K, `pitch` bytes apart. The products start from the two vectors at
 * `start`, a softmax state, whose T becomes their maximum.
 */
export function scoreRun(rows: usize, pitch: usize, q: usize, sp: usize, n: i32, columns: i32, start: usize): void {
  beginMaximum(start);
  scoreMore(rows, pitch, q, sp, n, columns, start);
}

/** The same of keys beside others: their maximum joins that of T. */
export function scoreMore(rows: usize, pitch: usize, q: usize, sp: usize, n: i32, columns: i32, start: usize): void {
  if (n < 4) return gemm_s_1x8(rows, q, sp, columns, pitch, start, n);
  // Behind whole sixes one or two fours, some keys once more; a six where five are left. 128 keys are 20 sixes and 2 fours:
  // 0.7 % of forward at D 64, where a six once more was one of 22.
  const rest = n % 6, sixes = n / 6 - (rest == 2 ? 1 : 0);
  if (sixes > 0) gemm_s_6x8(rows, q, sp, columns, pitch, start, sixes);
  if (rest == 0) return;
  if (rest == 5 && n > 5) {
    const last = <usize>(n - 6);
    return gemm_s_6x8(rows + last * pitch, q, sp + last * FORWARD_PITCH, columns, pitch, start, 1);
  }
  const last = <usize>(n - 4);
  if (rest == 2 || rest == 5) gemm_s_4x8(rows + <usize>(6 * sixes) * pitch, q, sp + <usize>(6 * sixes) * FORWARD_PITCH, columns, pitch, start, 1);
  gemm_s_4x8(rows + last * pitch, q, sp + last * FORWARD_PITCH, columns, pitch, start, 1);
}
