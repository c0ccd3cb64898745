// The product's own register tiles, run over operands that stay in the first-level cache. Every
// export takes the address of its operands (256 KiB of ones), the head dimension and how often to
// run, and returns the work of one run: floating-point operations, or vectors of four for softmax.

import {
  BACKWARD_PITCH, gemm_dkv_6x16, gemm_dkv_6x8, gemm_dq_4x16, gemm_dq_5x8, gemm_o_6x16, gemm_o_6x8, gemm_s_6x16, gemm_s_6x8, gemm_s_dp_6x16,
  gemm_o_fours_6x8, gemm_o_pairs_4x8, gemm_o_wide_1x8, gemm_s_fours_6x8, gemm_s_pairs_4x8, gemm_s_wide_1x8,
} from "../../asm/micro/tiles.gen";
import { GROUP } from "../../asm/micro/integers";
import { softmaxTile } from "../../asm/stages/softmax";

const KIB: usize = 1024;
/** Keys of a forward tile, queries and keys of a backward one: what the kernels use at D 64. */
const FORWARD_KEYS: i32 = 384, BACKWARD_QUERIES: i32 = 128, BACKWARD_KEYS: i32 = 48;

/** S^T[48 keys][8 queries] = K · Q^T over the head dimension, six keys at a time. */
export function benchScoreTile(base: usize, headDim: i32, repeats: i32): i32 {
  const panel = base + 32 * KIB, scores = base + 64 * KIB, state = base + 80 * KIB;
  for (; repeats > 0; --repeats) gemm_s_6x8(base, panel, scores, headDim, <usize>headDim << 2, state, 8);
  return 2 * 48 * 8 * headDim;
}

/** The same over rows from memory, behind the first 256 KiB: 48 of them, then the next, with four panels of queries each. */
export function benchScoreRows(base: usize, headDim: i32, blocks: i32): i32 {
  const panels = base + 32 * KIB, scores = base + 64 * KIB, state = base + 80 * KIB, pitch = <usize>headDim << 2;
  let rows = base + 256 * KIB;
  for (; blocks > 0; --blocks, rows += 48 * pitch) {
    for (let p: usize = 0; p < 4; ++p) gemm_s_6x8(rows, panels + p * (pitch << 3), scores, headDim, pitch, state, 8);
  }
  return 4 * 2 * 48 * 8 * headDim;
}

/** S^T[48 keys][8 queries] of bytes, by dot products of four, of two, and in plain SIMD. */
export function benchFoursTile(base: usize, headDim: i32, repeats: i32): i32 {
  const panel = base + 32 * KIB, scores = base + 64 * KIB, state = base + 80 * KIB, lanes = base + 96 * KIB, d = <usize>headDim;
  for (; repeats > 0; --repeats) gemm_s_fours_6x8(base, panel, scores, d, d, lanes, lanes, lanes, state, 8);
  return 2 * 48 * 8 * headDim;
}

export function benchPairsTile(base: usize, headDim: i32, repeats: i32): i32 {
  const panel = base + 32 * KIB, scores = base + 64 * KIB, state = base + 80 * KIB, lanes = base + 96 * KIB, d = <usize>headDim;
  for (; repeats > 0; --repeats) gemm_s_pairs_4x8(base, panel, scores, d, d, lanes, lanes, lanes, state, 12);
  return 2 * 48 * 8 * headDim;
}

export function benchWideTile(base: usize, headDim: i32, repeats: i32): i32 {
  const panel = base + 32 * KIB, scores = base + 64 * KIB, state = base + 80 * KIB, lanes = base + 96 * KIB, d = <usize>headDim;
  for (; repeats > 0; --repeats) gemm_s_wide_1x8(base, panel, scores, d, d, lanes, lanes, lanes, state, 48);
  return 2 * 48 * 8 * headDim;
}

/** O^T[columns][8 queries] += V^T · P^T over a tile of keys, six columns at a time. */
export function benchOutputTile(base: usize, headDim: i32, repeats: i32): i32 {
  const panel = base + 224 * KIB, out = base + 240 * KIB, groups = headDim / 6;
  for (; repeats > 0; --repeats) gemm_o_6x8(base, panel, out, FORWARD_KEYS, <usize>(FORWARD_KEYS + 16) << 2, groups);
  return 2 * 6 * groups * 8 * FORWARD_KEYS;
}

/** O^T[columns][8 queries] += V^T · P^T over a group of keys in bytes, by dot products of four, of two, and in plain SIMD. */
export function benchFoursOutput(base: usize, headDim: i32, repeats: i32): i32 {
  const panel = base + 32 * KIB, out = base + 48 * KIB, lanes = base + 64 * KIB, tiles = headDim / 6;
  for (; repeats > 0; --repeats) gemm_o_fours_6x8(base, panel, out, GROUP, GROUP, lanes, lanes, lanes, tiles);
  return 2 * 6 * tiles * 8 * GROUP;
}

export function benchPairsOutput(base: usize, headDim: i32, repeats: i32): i32 {
  const panel = base + 32 * KIB, out = base + 48 * KIB, lanes = base + 64 * KIB;
  for (; repeats > 0; --repeats) gemm_o_pairs_4x8(base, panel, out, GROUP, GROUP, lanes, lanes, lanes, headDim / 4);
  return 2 * headDim * 8 * GROUP;
}

export function benchWideOutput(base: usize, headDim: i32, repeats: i32): i32 {
  const panel = base + 32 * KIB, out = base + 48 * KIB, lanes = base + 64 * KIB;
  for (; repeats > 0; --repeats) gemm_o_wide_1x8(base, panel, out, GROUP, GROUP, lanes, lanes, lanes, headDim);
  return 2 * headDim * 8 * GROUP;
}

/**
 * 2^S and its sums over a tile of keys. The scores are those of the run before, exponentials of
 * exponentials: no branch depends on them, and the state keeps the maximum from moving.
 */
export function benchSoftmax(base: usize, headDim: i32, repeats: i32): i32 {
  const state = base + 64 * KIB, out = base + 65 * KIB;
  for (; repeats > 0; --repeats) softmaxTile(base, FORWARD_KEYS, state, out, headDim);
  return FORWARD_KEYS * 2;
}

/** dV or dK [6 keys][8 columns] += P or dS · dO or Q over the queries of a block. */
export function benchGradTile(base: usize, headDim: i32, repeats: i32): i32 {
  const panel = base + 32 * KIB, out = base + 64 * KIB;
  for (; repeats > 0; --repeats) gemm_dkv_6x8(base, panel, out, BACKWARD_QUERIES, <usize>headDim << 2);
  return 2 * 6 * 8 * BACKWARD_QUERIES;
}

/** dQ^T[columns][8 queries] += K^T · dS^T over the keys of a tile, five columns at a time. */
export function benchQueryTile(base: usize, headDim: i32, repeats: i32): i32 {
  const panel = base + 64 * KIB, out = base + 128 * KIB, groups = headDim / 5;
  for (; repeats > 0; --repeats) gemm_dq_5x8(base, panel, out, BACKWARD_KEYS, <usize>headDim << 2, BACKWARD_PITCH, groups);
  return 2 * 5 * groups * 8 * BACKWARD_KEYS;
}

/** S^T of two panels at once. */
export function benchScorePair(base: usize, headDim: i32, repeats: i32): i32 {
  const panel = base + 32 * KIB, next = panel + (<usize>headDim << 5), scores = base + 64 * KIB, state = base + 80 * KIB;
  for (; repeats > 0; --repeats) {
    gemm_s_6x16(base, panel, next, scores, scores + 2 * KIB, headDim, <usize>headDim << 2, state, state + 96, 8);
  }
  return 2 * 48 * 16 * headDim;
}

/** O^T of two panels at once. */
export function benchOutputPair(base: usize, headDim: i32, repeats: i32): i32 {
  const panel = base + 200 * KIB, next = base + 216 * KIB, out = base + 232 * KIB, groups = headDim / 6;
  for (; repeats > 0; --repeats) {
    gemm_o_6x16(base, panel, next, out, out + (<usize>headDim << 5), FORWARD_KEYS, <usize>(FORWARD_KEYS + 16) << 2, groups);
  }
  return 2 * 6 * groups * 16 * FORWARD_KEYS;
}

/** S^T or dP^T of backward, of two panels at once. */
export function benchBackwardPair(base: usize, headDim: i32, repeats: i32): i32 {
  const panel = base + 32 * KIB, next = panel + (<usize>headDim << 5), scores = base + 64 * KIB, state = base + 160 * KIB;
  for (; repeats > 0; --repeats) {
    gemm_s_dp_6x16(base, panel, next, scores, scores + 32, headDim, <usize>headDim << 2, state, state + 96, 8);
  }
  return 2 * 48 * 16 * headDim;
}

/** dV or dK [6 keys][16 columns]. */
export function benchGradPair(base: usize, headDim: i32, repeats: i32): i32 {
  const panel = base + 32 * KIB, out = base + 64 * KIB;
  for (; repeats > 0; --repeats) {
    gemm_dkv_6x16(base, panel, panel + 8 * KIB, out, BACKWARD_QUERIES, <usize>headDim << 2);
  }
  return 2 * 6 * 16 * BACKWARD_QUERIES;
}

/** dQ^T of two panels at once, four columns at a time. */
export function benchQueryPair(base: usize, headDim: i32, repeats: i32): i32 {
  const panel = base + 64 * KIB, out = base + 128 * KIB, groups = headDim / 4;
  for (; repeats > 0; --repeats) {
    gemm_dq_4x16(base, panel, out, out + (<usize>headDim << 5), BACKWARD_KEYS, <usize>headDim << 2, groups);
  }
  return 2 * 4 * groups * 16 * BACKWARD_KEYS;
}
