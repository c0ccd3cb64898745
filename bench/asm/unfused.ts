// Unfused attention done well: scores of a whole head, then softmax, then the product with V, each a
// pass of its own over a matrix of length × length. The same register tiles as a fused kernel, so
// the comparison is about fusing and not about how carefully the products were written.
//
// Queries lie in lanes: a panel is eight queries, scores are [panel][key][8], so that softmax needs
// no horizontal step and its result is the next product's operand as it stands.
// length is a multiple of 8 and at least 8, columns a multiple of 8.

import { power2 } from "./power2";
import { add4, add6, set4, set6 } from "./unfused_tiles";

const PANEL: usize = 32;
/** Keys of one stretch of the product with V: a panel and six rows of V^T then stay in L1. */
const STRETCH: i32 = 384;
/** Floats between rows of V^T beyond its length: keeps six rows out of the same cache sets. */
const PADDING: i32 = 16;

/** Bytes of scratch for one head. */
export function scratchBytes(length: i32, columns: i32): i32 {
  const queries = length * columns, transposed = columns * (length + PADDING);
  return 4 * (queries + transposed + length * length + columns * 8 + length);
}

/** All heads: q, k, v, o are [heads][length][columns]. `table` as in bench/limits/exp_table.ts. */
export function attend(
  q: usize, k: usize, v: usize, o: usize,
  heads: i32, length: i32, columns: i32, scale: f32, scratch: usize, table: usize,
): void {
  const bytes = <usize>(length * columns) << 2;
  const packedQ = scratch, packedV = packedQ + bytes;
  const scores = packedV + (<usize>(columns * (length + PADDING)) << 2);
  const panelOut = scores + (<usize>(length * length) << 2);
  const sums = panelOut + <usize>columns * PANEL;
  for (let h = 0; h < heads; ++h) {
    // log2 e goes into the scale: the exponentials are powers of two.
    packQueries(q, packedQ, length, columns, scale * <f32>1.4426950408889634);
    transpose(v, packedV, length, columns);
    product(k, packedQ, scores, length, columns);
    softmax(scores, sums, length, table);
    output(packedV, scores, sums, panelOut, o, length, columns);
    q += bytes; k += bytes; v += bytes; o += bytes;
  }
}

function product(k: usize, packedQ: usize, scores: usize, length: i32, columns: i32): void {
  const row = <usize>columns << 2;
  for (let i = 0; i < length; i += 8) {
    let j = 0;
    for (; j + 6 <= length; j += 6) set6(k + <usize>j * row, row, packedQ, scores + <usize>j * PANEL, columns);
    // The last few keys once more with a full tile: it writes the same numbers again.
    if (j < length) set6(k + <usize>(length - 6) * row, row, packedQ, scores + <usize>(length - 6) * PANEL, columns);
    packedQ += <usize>columns * PANEL; scores += <usize>length * PANEL;
  }
}

/** P = 2^(S - max) in place, and the sum of every query. */
function softmax(scores: usize, sums: usize, length: i32, table: usize): void {
  const low = v128.load(table), magic = v128.load(table, 16);
  const k5 = v128.load(table, 32), k4 = v128.load(table, 48), k3 = v128.load(table, 64);
  const k2 = v128.load(table, 80), k1 = v128.load(table, 96), k0 = v128.load(table, 112);
  for (let i = 0; i < length; i += 8) {
    const end = scores + <usize>length * PANEL;
    let m0 = v128.load(scores), m1 = v128.load(scores, 16);
    for (let p = scores + PANEL; p < end; p += PANEL) {
      m0 = f32x4.pmax(m0, v128.load(p)); m1 = f32x4.pmax(m1, v128.load(p, 16));
    }
    let l0 = f32x4.splat(0), l1 = l0;
    // length is even: two keys at a time hide the latency of the polynomial.
    for (let p = scores; p < end; p += 2 * PANEL) {
      const a = power2(f32x4.sub(v128.load(p), m0), low, magic, k5, k4, k3, k2, k1, k0);
      const b = power2(f32x4.sub(v128.load(p, 16), m1), low, magic, k5, k4, k3, k2, k1, k0);
      const c = power2(f32x4.sub(v128.load(p, 32), m0), low, magic, k5, k4, k3, k2, k1, k0);
      const d = power2(f32x4.sub(v128.load(p, 48), m1), low, magic, k5, k4, k3, k2, k1, k0);
      v128.store(p, a); v128.store(p, b, 16); v128.store(p, c, 32); v128.store(p, d, 48);
      l0 = f32x4.add(l0, f32x4.add(a, c)); l1 = f32x4.add(l1, f32x4.add(b, d));
    }
    v128.store(sums, l0); v128.store(sums, l1, 16);
    scores = end; sums += PANEL;
  }
}

function output(packedV: usize, p: usize, sums: usize, panelOut: usize, o: usize, length: i32, columns: i32): void {
  const pitch = <usize>(length + PADDING) << 2;
  // Sixes and a few fours make up any multiple of eight from 16 on; 8 itself is two fours.
  const sixes = columns / 12 * 12;
  for (let i = 0; i < length; i += 8) {
    for (let j = 0; j < length; j += STRETCH) {
      const keys = min(STRETCH, length - j), from = packedV + (<usize>j << 2), pj = p + <usize>j * PANEL;
      let d = 0;
      if (j == 0) {
        for (; d < sixes; d += 6) set6(from + <usize>d * pitch, pitch, pj, panelOut + <usize>d * PANEL, keys);
        for (; d < columns; d += 4) set4(from + <usize>d * pitch, pitch, pj, panelOut + <usize>d * PANEL, keys);
      } else {
        for (; d < sixes; d += 6) add6(from + <usize>d * pitch, pitch, pj, panelOut + <usize>d * PANEL, keys);
        for (; d < columns; d += 4) add4(from + <usize>d * pitch, pitch, pj, panelOut + <usize>d * PANEL, keys);
      }
    }
    divide(panelOut, sums, o, columns);
    p += <usize>length * PANEL; sums += PANEL; o += <usize>(8 * columns) << 2;
  }
}

/** One panel back to rows, divided by its sums. */
function divide(panelOut: usize, sums: usize, o: usize, columns: i32): void {
  const row = <usize>columns << 2;
  for (let g: usize = 0; g < 32; g += 16) {
    const inverse = f32x4.div(f32x4.splat(1), v128.load(sums + g));
    let from = panelOut + g, to = o + (g >> 2) * row;
    for (let d = 0; d < columns; d += 4) {
      transpose4(
        f32x4.mul(v128.load(from), inverse), f32x4.mul(v128.load(from, 32), inverse),
        f32x4.mul(v128.load(from, 64), inverse), f32x4.mul(v128.load(from, 96), inverse),
        to, row,
      );
      from += 4 * PANEL; to += 16;
    }
  }
}

/** Rows of eight queries to panels [column][8], scaled. */
function packQueries(q: usize, packed: usize, length: i32, columns: i32, scale: f32): void {
  const row = <usize>columns << 2, factor = f32x4.splat(scale);
  for (let i = 0; i < length; i += 4) {
    let to = packed + <usize>(i >> 3) * <usize>columns * PANEL + (<usize>(i & 4) << 2);
    for (let d = 0; d < columns; d += 4) {
      const from = q + (<usize>d << 2);
      transpose4(
        f32x4.mul(v128.load(from), factor), f32x4.mul(v128.load(from + row), factor),
        f32x4.mul(v128.load(from + row * 2), factor), f32x4.mul(v128.load(from + row * 3), factor),
        to, PANEL,
      );
      to += 4 * PANEL;
    }
    q += 4 * row;
  }
}

/** V^T[column][key]. */
function transpose(v: usize, to: usize, length: i32, columns: i32): void {
  const row = <usize>columns << 2, pitch = <usize>(length + PADDING) << 2;
  for (let j = 0; j < length; j += 4) {
    for (let d = 0; d < columns; d += 4) {
      const from = v + (<usize>d << 2);
      transpose4(
        v128.load(from), v128.load(from + row), v128.load(from + row * 2), v128.load(from + row * 3),
        to + <usize>d * pitch + (<usize>j << 2), pitch,
      );
    }
    v += 4 * row;
  }
}

// @ts-ignore: decorator
@inline
function transpose4(a: v128, b: v128, c: v128, d: v128, to: usize, pitch: usize): void {
  const u = v128.shuffle<f32>(a, b, 0, 4, 1, 5), w = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
  const x = v128.shuffle<f32>(a, b, 2, 6, 3, 7), y = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<f32>(u, w, 0, 1, 4, 5));
  v128.store(to + pitch, v128.shuffle<f32>(u, w, 2, 3, 6, 7));
  v128.store(to + pitch * 2, v128.shuffle<f32>(x, y, 0, 1, 4, 5));
  v128.store(to + pitch * 3, v128.shuffle<f32>(x, y, 2, 3, 6, 7));
}
