// Unfused attention done well: scores of a whole head, then softmax, then the product with V, each a
// pass of its own over a matrix of length × length in memory. All of it by the product's own tiles, so
// the comparison is about fusing and not about how carefully the products were written.
//
// Scores are [panel][key][8 queries]: softmax needs no horizontal step, and its result is the next
// product's operand as it stands. length and columns are multiples of 8.

import { packPanel, packTranspose, unpackPanel } from "../../asm/micro/pack";
import { State } from "../../asm/micro/records";
import { gemm_o_4x8, gemm_o_6x8, gemm_s_6x8 } from "../../asm/micro/tiles.gen";
import { LOG2E } from "../../asm/micro/vmath";
import { finish, softmaxTile } from "../../asm/stages/softmax";

export const PANEL: usize = 32;
/** Keys of one stretch of the product with V: a panel and six rows of V^T then stay in L1. */
const STRETCH: i32 = 384;
/** Floats between rows of V^T beyond its length: keeps six rows out of the same cache sets. */
export const PADDING: i32 = 16;

/** Bytes of scratch for one head. */
export function scratchBytes(length: i32, columns: i32): i32 {
  const transposed = columns * (length + PADDING), panels = 2 * 8 * columns + 8;
  return 4 * (length * length + transposed + panels) + length / 8 * State.Bytes;
}

/** All heads: q, k, v, o are [heads][length][columns]. */
export function attend(
  q: usize, k: usize, v: usize, o: usize,
  heads: i32, length: i32, columns: i32, scale: f32, scratch: usize,
): void {
  const row = <usize>columns << 2, bytes = <usize>length * row, block = <usize>length * PANEL;
  const panels = length / 8, pitch = <usize>(length + PADDING) << 2;
  const transposed = scratch + <usize>panels * block, packed = transposed + <usize>columns * pitch;
  const panelOut = packed + <usize>columns * PANEL, scales = panelOut + <usize>columns * PANEL;
  const states = scales + PANEL;
  // log2 e goes into the scale: the exponentials are powers of two.
  for (let i: usize = 0; i < PANEL; i += 4) store<f32>(scales + i, scale * LOG2E);
  for (let h = 0; h < heads; ++h) {
    memory.fill(states, 0, panels * State.Bytes);
    for (let p = 0; p < panels; ++p) {
      packPanel(q + <usize>(8 * p) * row, row, packed, 8, columns, scales);
      scoreRows(k, packed, scratch + <usize>p * block, states + <usize>p * State.Bytes, length, columns);
    }
    for (let p = 0; p < panels; ++p) softmaxTile(scratch + <usize>p * block, length, states + <usize>p * State.Bytes, 0, 0);
    packTranspose(v, row, transposed, 0, length, columns, pitch);
    for (let p = 0; p < panels; ++p) {
      memory.fill(panelOut, 0, <usize>columns * PANEL);
      outputRows(transposed, pitch, scratch + <usize>p * block, panelOut, length, columns);
      const state = states + <usize>p * State.Bytes;
      finish(state);
      unpackPanel(panelOut, state + State.T, o + <usize>(8 * p) * row, row, 8, columns);
    }
    q += bytes; k += bytes; v += bytes; o += bytes;
  }
}

/** Scores of eight queries and all keys; the tiles leave the largest in the state. */
function scoreRows(k: usize, packed: usize, scores: usize, state: usize, length: i32, columns: i32): void {
  const row = <usize>columns << 2, last = <usize>(length - 6);
  v128.store(state, f32x4.splat(-Infinity), State.T);
  v128.store(state, f32x4.splat(-Infinity), State.T + 16);
  gemm_s_6x8(k, packed, scores, columns, row, state, length / 6);
  // The last few keys once more with a full tile: it writes the same numbers again.
  if (length % 6) gemm_s_6x8(k + last * row, packed, scores + last * PANEL, columns, row, state, 1);
}

/** Output columns of eight queries: sixes, and fours for the rest. */
export function outputRows(transposed: usize, pitch: usize, p: usize, panelOut: usize, length: i32, columns: i32): void {
  const sixes = columns / 12 * 2, done = <usize>(6 * sixes);
  for (let j = 0; j < length; j += STRETCH) {
    const keys = min(STRETCH, length - j), from = transposed + (<usize>j << 2), pj = p + <usize>j * PANEL;
    gemm_o_6x8(from, pj, panelOut, keys, pitch, sixes);
    gemm_o_4x8(from + done * pitch, pj, panelOut + done * PANEL, keys, pitch, (columns - 6 * sixes) / 4);
  }
}
