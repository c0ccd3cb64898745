// Scores of forward by products of bytes (SageAttention, Zhang et al. 2024): queries in 8 bits, keys less a mean in 7.
//
//   q = uq * integers                  |integer| <= 127, a unit for each row, times scale * log2 e
//   k = mean + uk * (integer - 64)     1 to 127, a unit for each key; `mean`: of 96 keys, the group, or zero
//   S = q . mean + uq uk (integers of q . integers of k - 64 * the sum of those of q)
//
// What is taken from keys comes back as q . mean, so that scores are those of the formula, which features and lse need. Sums
// are exact, and groups begin at multiples of 96 keys of the sequence: scores do not depend on how a call is cut, nor on the
// instructions that make them. A mean is taken where it makes the largest elements of the group's keys smaller. A row of q
// or k that holds what is not finite has a unit that makes its scores NaN, so that rows of queries which see it are
// repaired: computed from the operands, in float64.
import { DTypeCode, Sequence, Task } from "../abi";
import { Flag, Operand } from "../tables.gen";
import { widen } from "../micro/convert";
import { factorOf, GROUP, integers, lastBytes, MOST } from "../micro/integers";
import { keyRow } from "../micro/pages";
import { FORWARD_PITCH, gemm_s_6x8, gemm_s_fours_6x8, gemm_s_pairs_4x8, gemm_s_wide_1x8 } from "../micro/tiles.gen";
import { beginMaximum } from "./score_run";

/** Groups that a tile of up to 384 keys touches at most; six rows make a tile of their products with queries. */
const GROUPS: usize = 6;
/** The largest integers of a query and of a key; what is added to those of keys. */
const QUERY: f32 = 127;
const KEY: f32 = 63;
const MIDDLE: i32 = 64;
/** Bytes beside the integers of a panel: 64 times their sums, to subtract, and the units. */
const LANES: usize = 64;

// As laid out by layOutIntegers. bytes: those of a row of integers, whole vectors.
// shifts: q . mean of a panel; zeros: a row; tail: the end of one; wide: one as float32.
let panels: usize = 0, lanes: usize = 0, keys: usize = 0, units: usize = 0, means: usize = 0, shifts: usize = 0, zeros: usize = 0, tail: usize = 0, wide: usize = 0;
let columns: i32 = 0, bytes: usize = 0, pitch: usize = 0;
// The tile of keys at hand, and whether its integers are made.
let task: usize = 0, sequence: usize = 0, batch: i32 = 0, head: i32 = 0, tileKey: i32 = 0, tileKeys: i32 = 0, ready: bool = false;

/** Where integers of `rows` panels and of a tile of keys go; returns the end of their scratch. */
export function layOutIntegers(ws: usize, headDim: i32, rows: usize, keyTile: i32): usize {
  columns = headDim;
  bytes = <usize>(headDim + 15) & ~15;
  pitch = bytes << 2;
  panels = (ws + 15) & ~15;
  lanes = panels + rows * (bytes << 3);
  keys = lanes + rows * LANES;
  units = keys + <usize>keyTile * bytes;
  means = units + (<usize>keyTile << 2);
  shifts = means + GROUPS * pitch;
  zeros = shifts + (GROUPS << 5);
  tail = zeros + pitch;
  wide = tail + 64;
  return wide + pitch;
}

/** Makes integers of panel p, whose queries are at q: [column][8]. */
export function packIntegers(p: usize, q: usize): void {
  const one = f32x4.splat(1), zero = f32x4.splat(0);
  for (let v: usize = 0; v < 32; v += 16) {
    const end = q + (<usize>columns << 5) + v;
    let largest = zero;
    for (let x = q + v; x < end; x += 32) largest = f32x4.max(largest, f32x4.abs(v128.load(x))); // NaN stays
    const factor = factorOf(largest, QUERY);
    let sum = i32x4.splat(0), x = q + v, to = panels + p * (bytes << 3) + v;
    for (const stop = to + (bytes << 3); to < stop; to += 32, x += 128) {
      const a = x < end ? integers(v128.load(x), factor) : zero, b = x + 32 < end ? integers(v128.load(x, 32), factor) : zero;
      const c = x + 64 < end ? integers(v128.load(x, 64), factor) : zero, d = x + 96 < end ? integers(v128.load(x, 96), factor) : zero;
      sum = i32x4.add(i32x4.add(sum, i32x4.add(a, b)), i32x4.add(c, d));
      v128.store(to, lastBytes(a, b, c, d));
    }
    v128.store(lanes + p * LANES + v, i32x4.mul(sum, i32x4.splat(-MIDDLE)));
    v128.store(lanes + p * LANES + v, f32x4.div(one, factor), 32);
  }
}

/** A tile of keys begins; its integers are made when the first panel needs them. */
export function beginIntegers(ofTask: usize, ofSequence: usize, ofBatch: i32, kv: i32, key: i32, n: i32): void {
  task = ofTask;
  sequence = ofSequence;
  batch = ofBatch;
  head = kv;
  tileKey = key;
  tileKeys = n;
  ready = false;
}

/** Row j of K as float32, where it lies or in scratch. */
function row(j: i32): usize {
  const at = keyRow(task, Operand.K, batch, head, j), dtype = load<i32>(task, Task.KvDtype);
  if (dtype == DTypeCode.F32) return at;
  widen(at, wide, columns, dtype);
  return wide;
}

/** The largest magnitude of x less m, NaN where one is. */
function largest(x: usize, m: usize): f32 {
  let most = f32x4.splat(0), d = 0;
  for (; d + 4 <= columns; d += 4, x += 16, m += 16) most = f32x4.max(most, f32x4.abs(f32x4.sub(v128.load(x), v128.load(m))));
  for (; d < columns; ++d, x += 4, m += 4) most = f32x4.max(most, f32x4.splat(abs(load<f32>(x) - load<f32>(m))));
  const two = f32x4.max(most, v128.shuffle<f32>(most, most, 2, 3, 0, 1));
  return max(f32x4.extract_lane(two, 0), f32x4.extract_lane(two, 1));
}

/** m += x */
function add(x: usize, m: usize): void {
  let d = 0;
  for (; d + 4 <= columns; d += 4, x += 16, m += 16) v128.store(m, f32x4.add(v128.load(m), v128.load(x)));
  for (; d < columns; ++d, x += 4, m += 4) store<f32>(m, load<f32>(m) + load<f32>(x));
}

/** The mean of the keys [from, to) goes to m; zeros where that does not make them smaller, or one is not finite. */
function findMean(from: i32, to: i32, m: usize): void {
  let before: f32 = 0, after: f32 = 0;
  for (let j = from; j < to; ++j) {
    const x = row(j);
    before += largest(x, zeros);
    add(x, m);
  }
  const n = f32x4.splat(<f32>(to - from));
  for (let at = m; at < m + pitch; at += 16) v128.store(at, f32x4.div(v128.load(at), n));
  for (let j = from; j < to; ++j) after += largest(row(j), m);
  if (!(after < before)) memory.fill(m, 0, pitch);
}

/** Sixteen integers of keys from a row less a mean. */
// @ts-ignore: decorator
@inline
function sixteen(x: usize, m: usize, factor: v128): v128 {
  const a = integers(f32x4.sub(v128.load(x), v128.load(m)), factor), b = integers(f32x4.sub(v128.load(x, 16), v128.load(m, 16)), factor);
  const c = integers(f32x4.sub(v128.load(x, 32), v128.load(m, 32)), factor), d = integers(f32x4.sub(v128.load(x, 48), v128.load(m, 48)), factor);
  const middle = i16x8.splat(<i16>MIDDLE);
  return i8x16.narrow_i16x8_u(i16x8.add(i16x8.narrow_i32x4_s(a, b), middle), i16x8.add(i16x8.narrow_i32x4_s(c, d), middle));
}

/** Makes integers of row x, less the mean m, at `to`; returns what one is worth. */
function packKey(x: usize, m: usize, to: usize): f32 {
  const most = largest(x, m), factor: f32 = most == 0 ? 1 : min(KEY / most, MOST), f = f32x4.splat(factor);
  const whole = <usize>columns & ~15, left = (<usize>columns - whole) << 2;
  for (let d: usize = 0; d < whole; d += 16) v128.store(to + d, sixteen(x + (d << 2), m + (d << 2), f));
  if (left) { // behind the row lies what is not ours; the mean has zeros there
    memory.copy(tail, x + (whole << 2), left);
    v128.store(to + whole, sixteen(tail, m + (whole << 2), f));
  }
  return 1 / factor;
}

/** Makes integers of the tile's keys, each less the mean of its group. */
function packKeys(): void {
  const low = load<i32>(sequence, Sequence.KeyBegin), high = load<i32>(sequence, Sequence.KeyEnd), end = tileKey + tileKeys;
  memory.fill(means, 0, wide - means);
  for (let g = tileKey / GROUP, m = means; g * GROUP < end; ++g, m += pitch) {
    findMean(max(g * GROUP, low), min((g + 1) * GROUP, high), m);
    for (let j = max(g * GROUP, tileKey), stop = min((g + 1) * GROUP, end); j < stop; ++j) {
      const n = <usize>(j - tileKey);
      store<f32>(units + (n << 2), packKey(row(j), m, keys + n * bytes));
    }
  }
  ready = true;
}

/** S^T of `tiles` tiles of `rows` keys from the tile's key `from` on, of one group. */
function scoreTiles(from: i32, tiles: i32, rows: i32, p: usize, scores: usize, mean: usize, start: usize): void {
  const q = panels + p * (bytes << 3), lane = lanes + p * LANES, at = <usize>from;
  const k = keys + at * bytes, u = units + (at << 2), sp = scores + at * FORWARD_PITCH;
  if (rows == 6) gemm_s_fours_6x8(k, q, sp, bytes, bytes, lane, u, mean, start, tiles);
  else if (rows == 4) gemm_s_pairs_4x8(k, q, sp, bytes, bytes, lane, u, mean, start, tiles);
  else gemm_s_wide_1x8(k, q, sp, bytes, bytes, lane, u, mean, start, tiles);
}

/**
 * S^T of keys [from, to) of the tile with panel p, whose queries are at q. `scores`: of the tile's first key; `origin`: a
 * state whose products start from 0; `start`: the state that they start from, whose T becomes their maximum.
 */
export function scoreIntegers(p: usize, q: usize, scores: usize, from: i32, to: i32, origin: usize, start: usize, flags: i32): void {
  if (!ready) packKeys();
  const first = tileKey / GROUP;
  gemm_s_6x8(means, q, shifts, columns, pitch, origin, 1); // of no use where there are fewer groups, but no slower
  const most = flags & Flag.Fours ? 6 : flags & Flag.TwoByTwo ? 4 : 1; // keys of a tile
  beginMaximum(start);
  while (from < to) {
    const g = (tileKey + from) / GROUP - first, end = min(to, (first + g + 1) * GROUP - tileKey), n = end - from;
    const mean = shifts + (<usize>g << 5);
    const rows = n < most ? 1 : most;
    scoreTiles(from, n / rows, rows, p, scores, mean, start);
    if (n % rows != 0) scoreTiles(end - rows, 1, rows, p, scores, mean, start); // the last ones, some once more
    from = end;
  }
}
