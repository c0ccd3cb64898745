// Products of a run of keys with one panel, for forward and for what looks inside it.
import { State, UPPER } from "../micro/records";
import { FORWARD_PITCH, gemm_s_1x8, gemm_s_6x8 } from "../micro/tiles.gen";

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
  gemm_s_6x8(rows, q, sp, columns, pitch, start, n / 6);
  if (n % 6 == 0) return;
  if (n >= 6) { // the last six keys, some once more: cheaper than up to five single rows
    const last = <usize>(n - 6);
    gemm_s_6x8(rows + last * pitch, q, sp + last * FORWARD_PITCH, columns, pitch, start, 1);
  } else gemm_s_1x8(rows, q, sp, columns, pitch, start, n);
}
