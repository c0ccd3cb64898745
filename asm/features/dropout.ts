// Dropout: P of a pair on its way to v is 0 or P / (1 - p), by a draw of Philox4x32-10 (Salmon et al. 2011) that only
// seed, batch, head, query and key decide; docs/features.md has the definition. One counter serves eight keys of a
// query: lanes are queries, so four counters run side by side and nothing is transposed. A word makes two draws,
// itself and its halves exchanged.
import { Scalar } from "../tables.gen";
import { madd } from "../micro/vmath";

/** Words of a lane: its query, head and batch. */
// @ts-ignore: decorator
@inline
export const LANE_WORDS: i32 = 3;

/** Writes them, 32 bytes apart. */
export function setLane(task: usize, batch: i32, head: i32, i: i32, words: usize): void {
  store<i32>(words, i);
  store<i32>(words, head, 32);
  store<i32>(words, batch, 64);
}

const ROUNDS: i32 = 10;
/** Four times each: the two multipliers, and what is added to the two words of the key from round to round. */
const PHILOX_TABLE = memory.data<u32>([
  0xd2511f53, 0xd2511f53, 0xd2511f53, 0xd2511f53,
  0xcd9e8d57, 0xcd9e8d57, 0xcd9e8d57, 0xcd9e8d57,
  0x9e3779b9, 0x9e3779b9, 0x9e3779b9, 0x9e3779b9,
  0xbb67ae85, 0xbb67ae85, 0xbb67ae85, 0xbb67ae85,
], 16);

// The words that `draw` made last; each thread has its own instance of this module.
let w0: v128 = i32x4.splat(0), w1: v128 = i32x4.splat(0), w2: v128 = i32x4.splat(0), w3: v128 = i32x4.splat(0);

/** Four counters (group of keys, query, head, batch) become four words each. */
function draw(task: usize, group: v128, query: v128, head: v128, batch: v128): void {
  const a = v128.load(PHILOX_TABLE), b = v128.load(PHILOX_TABLE, 16);
  const nextLow = v128.load(PHILOX_TABLE, 32), nextHigh = v128.load(PHILOX_TABLE, 48);
  let low = v128.load_splat<u32>(task, Scalar.DropoutSeedLow), high = v128.load_splat<u32>(task, Scalar.DropoutSeedHigh);
  let x0 = group, x1 = query, x2 = head, x3 = batch;
  for (let round = 0; round < ROUNDS; ++round) {
    const p = i64x2.extmul_low_i32x4_u(x0, a), q = i64x2.extmul_high_i32x4_u(x0, a);
    const r = i64x2.extmul_low_i32x4_u(x2, b), s = i64x2.extmul_high_i32x4_u(x2, b);
    x0 = v128.xor(v128.xor(v128.shuffle<i32>(r, s, 1, 3, 5, 7), x1), low);
    x1 = v128.shuffle<i32>(r, s, 0, 2, 4, 6);
    x2 = v128.xor(v128.xor(v128.shuffle<i32>(p, q, 1, 3, 5, 7), x3), high);
    x3 = v128.shuffle<i32>(p, q, 0, 2, 4, 6);
    low = i32x4.add(low, nextLow);
    high = i32x4.add(high, nextHigh);
  }
  w0 = x0;
  w1 = x1;
  w2 = x2;
  w3 = x3;
}

// @ts-ignore: decorator
@inline
function exchanged(word: v128): v128 {
  return v128.or(i32x4.shl(word, 16), i32x4.shr_u(word, 16));
}

/** Draw t of 8 from the words that were made last. */
function drawn(t: i32): v128 {
  const w = t & 2 ? (t & 1 ? w3 : w2) : (t & 1 ? w1 : w0);
  return t & 4 ? exchanged(w) : w;
}

/** One key of four lanes: P, and with `gradient` P dP there, which becomes P (Z dP / (1 - p) - delta). */
// @ts-ignore: decorator
@inline
function apply(sp: usize, draw: v128, threshold: v128, scale: v128, gradient: usize, minusDelta: v128): void {
  const p = v128.load(sp), kept = i32x4.ge_u(draw, threshold);
  v128.store(sp, v128.and(kept, f32x4.mul(p, scale)));
  if (gradient) v128.store(gradient, madd(p, minusDelta, v128.and(kept, f32x4.mul(v128.load(gradient), scale))));
}

/** P of n keys of four lanes, the first for key `key`; `words`: those of the lanes. */
export function probabilityTile(task: usize, sp: usize, pitch: usize, n: i32, key: i32, words: usize, gradient: usize, minusDelta: usize): void {
  const query = v128.load(words), head = v128.load(words, 32), batch = v128.load(words, 64);
  const threshold = v128.load_splat<u32>(task, Scalar.DropoutThreshold), scale = v128.load_splat<f32>(task, Scalar.DropoutScale);
  const delta = gradient ? v128.load(minusDelta) : f32x4.splat(0), wp = gradient ? pitch : 0;
  for (let j = key, end = key + n; j < end;) {
    const next = min(end, (j | 7) + 1);
    draw(task, i32x4.splat(j >> 3), query, head, batch);
    if (next - j < 8) {
      for (; j < next; ++j, sp += pitch, gradient += wp) apply(sp, drawn(j & 7), threshold, scale, gradient, delta);
      continue;
    }
    apply(sp, w0, threshold, scale, gradient, delta);
    apply(sp + pitch, w1, threshold, scale, gradient + wp, delta);
    apply(sp + 2 * pitch, w2, threshold, scale, gradient + 2 * wp, delta);
    apply(sp + 3 * pitch, w3, threshold, scale, gradient + 3 * wp, delta);
    sp += pitch << 2;
    gradient += wp << 2;
    apply(sp, exchanged(w0), threshold, scale, gradient, delta);
    apply(sp + pitch, exchanged(w1), threshold, scale, gradient + wp, delta);
    apply(sp + 2 * pitch, exchanged(w2), threshold, scale, gradient + 2 * wp, delta);
    apply(sp + 3 * pitch, exchanged(w3), threshold, scale, gradient + 3 * wp, delta);
    sp += pitch << 2;
    gradient += wp << 2;
    j = next;
  }
}

/** What P of one pair is multiplied with; 0 where it is dropped. */
export function probabilityOne(task: usize, batch: i32, head: i32, i: i32, j: i32): f64 {
  draw(task, i32x4.splat(j >> 3), i32x4.splat(i), i32x4.splat(head), i32x4.splat(batch));
  const word = <u32>i32x4.extract_lane(drawn(j & 7), 0);
  return word >= load<u32>(task, Scalar.DropoutThreshold) ? <f64>load<f32>(task, Scalar.DropoutScale) : 0;
}
