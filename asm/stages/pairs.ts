// Products of two panels at once, 16 queries: the shape of processors and engines that make one operation of 256 bits of
// two neighbours of 128 (V8's re-vectorisation). Elsewhere its 24 sums do not fit the registers; see
// src/wasm/run/loop_probe.ts for who chooses. Each sum has the same terms in the same order as with one panel.
//
//   keys that both panels see           two panels at once
//   keys before and behind them         one panel
import {
  BACKWARD_PITCH, FORWARD_PITCH, gemm_o_6x16, gemm_s_1x8, gemm_s_6x16, gemm_s_6x8, gemm_s_dp_6x16,
} from "../micro/tiles.gen";
import { outputFours, outputSixes, sixesOf } from "./output_run";
import { scoreProduct } from "./score_product";
import { beginMaximum } from "./score_run";

/** Fewest keys that two panels must share. */
const SHARED: i32 = 8;

/** Whether two runs share keys enough: [max(from, fromNext), min(to, toNext)). */
export function shareKeys(from: i32, to: i32, fromNext: i32, toNext: i32): bool {
  return min(to, toNext) - max(from, fromNext) >= SHARED;
}

/** S^T of keys [from, to) of one panel: whole sixes, the last ones once more where they do not come out even. */
function scoreRest(rows: usize, pitch: usize, q: usize, sp: usize, from: i32, to: i32, first: i32, columns: i32, start: usize): void {
  if (to - first < 6) {
    gemm_s_1x8(rows + <usize>from * pitch, q, sp + <usize>(from * FORWARD_PITCH), columns, pitch, start, to - from);
    return;
  }
  for (; from < to; from += 6) {
    const at = <usize>max(first, min(from, to - 6));
    gemm_s_6x8(rows + at * pitch, q, sp + at * FORWARD_PITCH, columns, pitch, start, 1);
  }
}

/**
 * S^T of the keys [from, to) of a panel and [fromNext, toNext) of the next, whose scores lie `apart` bytes behind. `rows`,
 * `sp`: those of the tile's first key. The products start from softmax states, whose T become the maxima.
 */
export function scorePair(
  rows: usize, pitch: usize, q: usize, sp: usize, apart: usize, columns: i32, start: usize, startNext: usize,
  from: i32, to: i32, fromNext: i32, toNext: i32,
): void {
  const begin = max(from, fromNext), end = min(to, toNext), qNext = q + (<usize>columns << 5), spNext = sp + apart;
  beginMaximum(start);
  beginMaximum(startNext);
  const first = <usize>begin, s = first * FORWARD_PITCH;
  gemm_s_6x16(rows + first * pitch, q, qNext, sp + s, spNext + s, columns, pitch, start, startNext, (end - begin) / 6);
  if ((end - begin) % 6 != 0) { // the last six, some once more
    const last = <usize>(end - 6), s = last * FORWARD_PITCH;
    gemm_s_6x16(rows + last * pitch, q, qNext, sp + s, spNext + s, columns, pitch, start, startNext, 1);
  }
  scoreRest(rows, pitch, q, sp, from, begin, from, columns, start);
  scoreRest(rows, pitch, q, sp, end, to, from, columns, start);
  scoreRest(rows, pitch, qNext, spNext, fromNext, begin, fromNext, columns, startNext);
  scoreRest(rows, pitch, qNext, spNext, end, toNext, fromNext, columns, startNext);
}

/** O^T of a panel at o and of the next += V^T . P^T over the same keys as in scorePair, the first of which is a multiple of eight. */
export function outputPair(
  v: usize, pitch: usize, sp: usize, apart: usize, o: usize, columns: i32, from: i32, to: i32, fromNext: i32, toNext: i32,
): void {
  const begin = max(from, fromNext), last = min(to, toNext) & ~7, sixes = sixesOf(columns);
  const oNext = o + (<usize>columns << 5), spNext = sp + apart;
  outputFours(v, pitch, sp, o, columns, from, to);
  outputFours(v, pitch, spNext, oNext, columns, fromNext, toNext);
  outputSixes(v, pitch, sp, o, sixes, from, begin);
  outputSixes(v, pitch, spNext, oNext, sixes, fromNext, begin);
  const s = <usize>(begin * FORWARD_PITCH);
  gemm_o_6x16(v + (<usize>begin << 2), sp + s, spNext + s, o, oNext, last - begin, pitch, sixes);
  outputSixes(v, pitch, sp, o, sixes, last, to);
  outputSixes(v, pitch, spNext, oNext, sixes, last, toNext);
}

/** S^T or dP^T of backward, as scoreProduct, of a panel and of the next, which lie side by side at `dst`. */
export function productPair(
  rows: usize, stride: usize, packed: usize, dst: usize, n: i32, start: usize, startNext: usize, from: i32, to: i32, fromNext: i32, toNext: i32,
): void {
  const begin = max(from, fromNext), sixes = (min(to, toNext) - begin) / 6, next = packed + (<usize>n << 5);
  const at = rows + <usize>begin * stride, out = dst + <usize>begin * BACKWARD_PITCH;
  gemm_s_dp_6x16(at, packed, next, out, out + 32, n, stride, start, startNext, sixes);
  const done = begin + 6 * sixes; // at the end of the keys a group may be smaller
  if (from < begin) scoreProduct(rows, stride, packed, dst, from, begin, n, start);
  if (fromNext < begin) scoreProduct(rows, stride, next, dst + 32, fromNext, begin, n, startNext);
  if (done < to) scoreProduct(rows, stride, packed, dst, done, to, n, start);
  if (done < toNext) scoreProduct(rows, stride, next, dst + 32, done, toNext, n, startNext);
}
