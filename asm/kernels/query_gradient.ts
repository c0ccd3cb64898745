// dQ of a panel from a tile of keys: dQ^T[column][8] += K^T . dS^T, K read in place.
import { BACKWARD_PITCH, gemm_dq_1x8, gemm_dq_4x16, gemm_dq_4x8, gemm_dq_5x8 } from "../micro/tiles.gen";

/**
 * C^T[column][8] += rows^T . X^T of n keys, rows read in place: columns in fives and fours, single ones only where `columns`
 * needs them. `x`: at the panel's lanes, keys `xPitch` bytes apart.
 */
export function rowsProduct(k: usize, pitch: usize, x: usize, xPitch: usize, c: usize, columns: i32, n: i32): void {
  let fours = (4 * columns) % 5, fives = (columns - 4 * fours) / 5;
  if (columns < 4 * fours) {
    fours = columns / 4;
    fives = 0;
  }
  const d4 = <usize>(5 * fives), d1 = d4 + <usize>(4 * fours);
  gemm_dq_5x8(k, x, c, n, pitch, xPitch, fives);
  gemm_dq_4x8(k + (d4 << 2), x, c + (d4 << 5), n, pitch, xPitch, fours);
  gemm_dq_1x8(k + (d1 << 2), x, c + (d1 << 5), n, pitch, xPitch, columns - <i32>d1);
}

/** dQ^T += K^T . dS^T over keys [from, to) of the tile. `k`, `ds`: the rows of its first key, `ds` at the panel's lanes. */
export function queryProduct(k: usize, pitch: usize, ds: usize, dq: usize, columns: i32, from: i32, to: i32): void {
  rowsProduct(k + <usize>from * pitch, pitch, ds + <usize>(from * BACKWARD_PITCH), BACKWARD_PITCH, dq, columns, to - from);
}

/**
 * The same for a panel over keys [from, to) and the next one over [fromNext, toNext): two at once where both have keys, in
 * the order of keys for each.
 */
export function queryPair(
  k: usize, pitch: usize, ds: usize, dq: usize, columns: i32, from: i32, to: i32, fromNext: i32, toNext: i32,
): void {
  const first = max(from, fromNext), last = min(to, toNext), n = last - first, next = dq + (<usize>columns << 5);
  if (from < first) queryProduct(k, pitch, ds, dq, columns, from, first);
  if (fromNext < first) queryProduct(k, pitch, ds + 32, next, columns, fromNext, first);
  const kn = k + <usize>first * pitch, dsn = ds + <usize>first * BACKWARD_PITCH, fours = columns / 4, d1 = <usize>(4 * fours);
  gemm_dq_4x16(kn, dsn, dq, next, n, pitch, fours);
  gemm_dq_1x8(kn + (d1 << 2), dsn, dq + (d1 << 5), n, pitch, BACKWARD_PITCH, columns & 3);
  gemm_dq_1x8(kn + (d1 << 2), dsn + 32, next + (d1 << 5), n, pitch, BACKWARD_PITCH, columns & 3);
  if (last < to) queryProduct(k, pitch, ds, dq, columns, last, to);
  if (last < toNext) queryProduct(k, pitch, ds + 32, next, columns, last, toNext);
}
