// Products of a tile of keys with a panel of rows, for backward: the same registers for S and dP.
import { BACKWARD_PITCH, gemm_s_dp_1x8, gemm_s_dp_6x8 } from "../micro/tiles.gen";

/** A product of keys [from, to) of the tile with one panel, into rows of P or dS. */
export function scoreProduct(rows: usize, stride: usize, packed: usize, dst: usize, from: i32, to: i32, n: i32, start: usize): void {
  const keys = to - from, at = rows + <usize>from * stride, out = dst + <usize>from * BACKWARD_PITCH;
  gemm_s_dp_6x8(at, packed, out, n, stride, start, keys / 6);
  if (keys % 6 == 0) return;
  if (to >= 6) {
    const last = <usize>(to - 6);
    gemm_s_dp_6x8(rows + last * stride, packed, dst + last * BACKWARD_PITCH, n, stride, start, 1);
  } else gemm_s_dp_1x8(at, packed, out, n, stride, start, keys);
}
