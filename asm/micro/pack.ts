// Moving tiles between rows in memory and the packed forms that the register tiles read. Any number of
// columns: whole groups of four by 4x4 transposes, the rest one by one; nothing past a row is touched.
import { madd } from "./vmath";

// The four rows of a 4x4 transpose of a, b, c, d.
// @ts-ignore: decorator
@inline
function t0(a: v128, b: v128, c: v128, d: v128): v128 {
  return v128.shuffle<f32>(v128.shuffle<f32>(a, b, 0, 4, 1, 5), v128.shuffle<f32>(c, d, 0, 4, 1, 5), 0, 1, 4, 5);
}
// @ts-ignore: decorator
@inline
function t1(a: v128, b: v128, c: v128, d: v128): v128 {
  return v128.shuffle<f32>(v128.shuffle<f32>(a, b, 0, 4, 1, 5), v128.shuffle<f32>(c, d, 0, 4, 1, 5), 2, 3, 6, 7);
}
// @ts-ignore: decorator
@inline
function t2(a: v128, b: v128, c: v128, d: v128): v128 {
  return v128.shuffle<f32>(v128.shuffle<f32>(a, b, 2, 6, 3, 7), v128.shuffle<f32>(c, d, 2, 6, 3, 7), 0, 1, 4, 5);
}
// @ts-ignore: decorator
@inline
function t3(a: v128, b: v128, c: v128, d: v128): v128 {
  return v128.shuffle<f32>(v128.shuffle<f32>(a, b, 2, 6, 3, 7), v128.shuffle<f32>(c, d, 2, 6, 3, 7), 2, 3, 6, 7);
}

/** Eight rows of n columns as [column][8], each row times its entry of `scales`; lanes past `rows` are zero. */
export function packPanel(x: usize, ld: usize, dst: usize, rows: i32, n: i32, scales: usize): void {
  const zero = f32x4.splat(0);
  if (rows < 8) memory.fill(dst, 0, <usize>n << 5);
  for (let g = 0; g < min(rows, 8); g += 4) {
    const m = rows - g, scale = scales + (<usize>g << 2);
    const s0 = v128.load_splat<f32>(scale), s1 = v128.load_splat<f32>(scale, 4);
    const s2 = v128.load_splat<f32>(scale, 8), s3 = v128.load_splat<f32>(scale, 12);
    let r = x + <usize>g * ld, w = dst + (<usize>g << 2), d = 0;
    for (; d + 4 <= n; d += 4) {
      const a = f32x4.mul(v128.load(r), s0);
      const b = m > 1 ? f32x4.mul(v128.load(r + ld), s1) : zero;
      const c = m > 2 ? f32x4.mul(v128.load(r + ld * 2), s2) : zero;
      const e = m > 3 ? f32x4.mul(v128.load(r + ld * 3), s3) : zero;
      v128.store(w, t0(a, b, c, e));
      v128.store(w, t1(a, b, c, e), 32);
      v128.store(w, t2(a, b, c, e), 64);
      v128.store(w, t3(a, b, c, e), 96);
      r += 16;
      w += 128;
    }
    for (; d < n; ++d) {
      for (let i = 0; i < min(m, 4); ++i) store<f32>(w + (<usize>i << 2), load<f32>(r + <usize>i * ld) * load<f32>(scale + (<usize>i << 2)));
      r += 4;
      w += 32;
    }
  }
}

/**
 * The transpose of [column][8] back into rows, each lane times its own factor (two vectors at
 * `factors`). Returns a bit for each row that holds a value which is not finite.
 */
export function unpackPanel(p: usize, factors: usize, out: usize, ld: usize, rows: i32, n: i32): i32 {
  const zero = f32x4.splat(0);
  let bad = 0;
  for (let g = 0; g < min(rows, 8); g += 4) {
    const s = v128.load(factors + (<usize>g << 2)), m = rows - g;
    let w = out + <usize>g * ld, t = p + (<usize>g << 2), d = 0, check = zero, check1 = zero, check2 = zero, check3 = zero;
    for (; d + 4 <= n; d += 4) {
      const a = f32x4.mul(v128.load(t), s), b = f32x4.mul(v128.load(t, 32), s);
      const c = f32x4.mul(v128.load(t, 64), s), e = f32x4.mul(v128.load(t, 96), s);
      // 0 * x is NaN exactly when x is not finite
      check = madd(a, zero, check);
      check1 = madd(b, zero, check1);
      check2 = madd(c, zero, check2);
      check3 = madd(e, zero, check3);
      v128.store(w, t0(a, b, c, e));
      if (m > 1) v128.store(w + ld, t1(a, b, c, e));
      if (m > 2) v128.store(w + ld * 2, t2(a, b, c, e));
      if (m > 3) v128.store(w + ld * 3, t3(a, b, c, e));
      t += 128;
      w += 16;
    }
    for (; d < n; ++d) {
      const a = f32x4.mul(v128.load(t), s);
      check = f32x4.add(check, f32x4.mul(a, zero));
      for (let i = 0; i < min(m, 4); ++i) {
        store<f32>(w + <usize>i * ld, load<f32>(t + (<usize>i << 2)) * load<f32>(factors + (<usize>(g + i) << 2)));
      }
      t += 32;
      w += 4;
    }
    check = f32x4.add(f32x4.add(check, check1), f32x4.add(check2, check3));
    bad |= i32x4.bitmask(f32x4.ne(check, check)) << g;
  }
  return rows < 8 ? bad & ((1 << rows) - 1) : bad;
}

/** Rows of `bytes` bytes, `stride` apart, one right behind the other. */
export function packRows(rows: usize, stride: usize, dst: usize, n: i32, bytes: usize): void {
  for (; n > 0; --n, rows += stride, dst += bytes) memory.copy(dst, rows, bytes);
}

/**
 * V^T[column][key] of keys [from, to) of a tile whose first row is v: columns up to the next multiple
 * of four and keys up to the next multiple of eight exist, those past the end hold zero.
 */
export function packTranspose(v: usize, ld: usize, dst: usize, from: i32, to: i32, n: i32, pitch: usize): void {
  const zero = f32x4.splat(0), end = (to + 7) & ~7, n4 = n & ~3;
  for (let j = from; j < end; j += 4) {
    const m = to - j;
    let r = v + <usize>j * ld, w = dst + (<usize>j << 2);
    for (let d = 0; d < n4; d += 4) {
      const a = m > 0 ? v128.load(r) : zero, b = m > 1 ? v128.load(r + ld) : zero;
      const c = m > 2 ? v128.load(r + ld * 2) : zero, e = m > 3 ? v128.load(r + ld * 3) : zero;
      v128.store(w, t0(a, b, c, e));
      v128.store(w + pitch, t1(a, b, c, e));
      v128.store(w + pitch * 2, t2(a, b, c, e));
      v128.store(w + pitch * 3, t3(a, b, c, e));
      r += 16;
      w += pitch << 2;
    }
    if (n4 == n) continue;
    for (let d = n4; d < n4 + 4; ++d) {
      for (let i = 0; i < 4; ++i) {
        store<f32>(w + (<usize>i << 2), d < n && i < m ? load<f32>(r + <usize>i * ld) : 0);
      }
      r += 4;
      w += pitch;
    }
  }
}

/**
 * Rows as [8 columns][row][8], each row times its entry of `scales`; a last half panel of up to four
 * columns is [row][4]. Columns past n and rows past `rows` are zero; `padded` rows exist in all.
 */
export function packColumns(x: usize, ld: usize, dst: usize, rows: i32, padded: i32, n: i32, scales: usize): void {
  for (let d = 0; d < n; d += 4) {
    const half = (d & 4) == 0 && d + 4 >= n; // the only four columns of a half panel
    const step: usize = half ? 16 : 32;
    let r = x + (<usize>d << 2), w = dst + <usize>(d & ~7) * (<usize>padded << 2) + (half ? 0 : <usize>(d & 4) << 2);
    for (let i = 0; i < padded; ++i) {
      if (i >= rows) v128.store(w, f32x4.splat(0));
      else if (d + 4 <= n) v128.store(w, f32x4.mul(v128.load(r), v128.load_splat<f32>(scales + (<usize>i << 2))));
      else {
        v128.store(w, f32x4.splat(0));
        for (let c = 0; c < n - d; ++c) store<f32>(w + (<usize>c << 2), load<f32>(r + (<usize>c << 2)) * load<f32>(scales + (<usize>i << 2)));
      }
      r += ld;
      w += step;
    }
  }
}
