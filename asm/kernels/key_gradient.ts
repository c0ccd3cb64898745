// dK and dV of a tile of keys: rows of dS^T or P^T are the scalars, Q or dO by columns the packed side.
// Panels that saw nothing of six keys hold old numbers there, so the sums run over runs of panels that did.
import { BACKWARD_PITCH, gemm_dkv_1x4, gemm_dkv_1x8, gemm_dkv_6x16, gemm_dkv_6x4, gemm_dkv_6x8 } from "../micro/tiles.gen";

/** Panels of the largest block: 256 / 8. */
// @ts-ignore: decorator
@inline
export const PANELS: i32 = 32;
/** A list of panel runs: a count, then first panel and panels of each; runs never touch, so at most 16. */
// @ts-ignore: decorator
@inline
export const RUNS_BYTES: usize = 132;

/** For each group of six keys of a tile, the runs of panels that computed it; `keyRanges`: each panel's keys. */
export function listRuns(keyRanges: usize, panels: i32, keys: i32, runs: usize): void {
  for (let g = 0; g * 6 < keys; ++g) {
    const list = runs + <usize>g * RUNS_BYTES;
    let count = 0, open = false;
    for (let p = 0; p < panels; ++p) {
      const range = keyRanges + (<usize>p << 3), inside = load<i32>(range) <= g * 6 && g * 6 < load<i32>(range, 4);
      if (inside && !open) {
        store<i32>(list + (<usize>count << 3), p, 4);
        store<i32>(list + (<usize>count << 3), 0, 8);
        ++count;
      }
      if (inside) {
        const entry = list + (<usize>(count - 1) << 3);
        store<i32>(entry, load<i32>(entry, 8) + 1, 8);
      }
      open = inside;
    }
    store<i32>(list, count);
  }
}

/**
 * gradient[key] += rows of `scalars` . `packed` over the runs of panels, n columns, for the keys of a tile. `pairs`: sixteen
 * columns at once where there are as many.
 */
export function keyProduct(
  runs: usize, panels: i32, keys: i32, scalars: usize, packed: usize, gradient: usize, stride: usize, n: i32, pairs: bool,
): void {
  const padded = <usize>panels << 3, panel = padded << 5;
  for (let d = 0, width = 8; d < n; d += width) {
    const pair = pairs && d + 12 < n, full = d + 4 < n, shift: usize = full ? 5 : 4, b = packed + <usize>d * (padded << 2);
    width = pair ? 16 : 8;
    for (let g = 0; g * 6 < keys; ++g) {
      const list = runs + <usize>g * RUNS_BYTES, six = min(6, keys - g * 6);
      const c = gradient + <usize>(g * 6) * stride + (<usize>d << 2), a = scalars + <usize>(g * 6) * BACKWARD_PITCH;
      for (let r = 0; r < load<i32>(list); ++r) {
        const first = <usize>load<i32>(list + (<usize>r << 3), 4), rows = load<i32>(list + (<usize>r << 3), 8) << 3;
        const ap = a + (first << 5), bp = b + (first << 3 << shift);
        if (six == 6) {
          if (pair) gemm_dkv_6x16(ap, bp, bp + panel, c, rows, stride);
          else if (full) gemm_dkv_6x8(ap, bp, c, rows, stride);
          else gemm_dkv_6x4(ap, bp, c, rows, stride);
        } else {
          for (let t: usize = 0; t < <usize>six; ++t) {
            const at = ap + t * BACKWARD_PITCH, to = c + t * stride;
            if (full) gemm_dkv_1x8(at, bp, to, rows, stride);
            else gemm_dkv_1x4(at, bp, to, rows, stride);
            if (pair) gemm_dkv_1x8(at, bp + panel, to + 32, rows, stride);
          }
        }
      }
    }
  }
}
