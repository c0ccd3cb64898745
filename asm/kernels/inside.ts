// Looking inside attention: scores of a rectangle, the largest of each row, sums of weights over the rows. One product,
// that of forward, and what is made of its tile; no value is needed.
//
//   for each tile of keys                                     K tile [keys][D]
//     for each panel of 8 queries that sees a key of it       Q^T [D][8], times scale * log2 e
//       S^T[key][8] = K . Q^T, features of scores, then those that hide
//       scores:         out[i][j] = S ln 2
//       probabilities:  out[i][j] = P                         P = 2^(S - lse)
//       top keys:       the largest S of each row so far, in a heap
//       column sums:    sum[key][8] += P
//     column sums:      out[j] = the sum over the lanes
//   top keys:           the heaps in their order, P of what they hold
//
// Queries of an item are a block of rows; those of column sums are all of the region's, so that each sum has one owner.
import { Item, Kernel, Task } from "../abi";
import { Flag, Operand } from "../tables.gen";
import { allFull, blocksOfPanel, endNonEmpty, firstNonEmpty, setBlocks } from "../features/blocks";
import { LOWEST, maximum, sum } from "./large_rows";
import { packPanel, unpackPanel } from "../micro/pack";
import { bringRows, keyRow, sideBySide } from "../micro/pages";
import { State, UPPER } from "../micro/records";
import { naturalTile } from "../micro/range";
import { exp } from "../micro/real";
import { endKey, firstKey, kvHeadOf, rowAt, rowStride, sequenceOf, taskOf } from "../micro/task";
import { FORWARD_PITCH } from "../micro/tiles.gen";
import { LOG2E, madd, prefetch, sum4 } from "../micro/vmath";
import { hideScores } from "../stages/hide";
import { clearLargest, keyOf, offerTile, scoreOf, sortLargest, WORD } from "../stages/largest";
import { setPanel } from "../stages/panel";
import {
  BEGIN_FLAGS, beginItem, beginTile, BENT_FLAGS, HIDE_FLAGS, PANEL_BYTES, SCORE_FLAGS, scoreTiles,
} from "../stages/scores.gen";
import { scoreRun } from "../stages/score_run";
import { beyondTiles, exactWeight, isLarge, setWeights, settle, weightTiles } from "../stages/weights";

// The item at hand; see forward.ts on module state.
let kernel: i32 = 0, task: usize = 0, flags: i32 = 0, sequence: usize = 0, batch: i32 = 0, head: i32 = 0;
let rowBegin: i32 = 0, rowEnd: i32 = 0, D: i32 = 0, count: i32 = 0, kPitch: usize = 0;
// Whether scores are in natural units from the start: no feature asks for base 2.
let natural: bool = false;
// Scratch, in this order. origin: the scale of Q where a state has l, and where products start.
let q: usize = 0, scores: usize = 0, sums: usize = 0, kRows: usize = 0, otherRows: usize = 0, heaps: usize = 0, panel: usize = 0, state: usize = 0, origin: usize = 0, features: usize = 0;
// The tile of keys at hand.
let tileKey: i32 = 0, tileKeys: i32 = 0, kTile: usize = 0;

/** Bytes of scratch that an item of `rows` rows needs. */
export function insideScratch(headDim: i32, rows: i32, keyTile: i32, count: i32): usize {
  layOut(0, headDim, rows, keyTile, count);
  return features;
}

function layOut(ws: usize, headDim: i32, rows: i32, keyTile: i32, count: i32): void {
  kPitch = <usize>headDim << 2;
  q = ws;
  scores = q + (<usize>headDim << 5);
  sums = scores + <usize>(keyTile + 8) * FORWARD_PITCH;
  kRows = sums + <usize>keyTile * FORWARD_PITCH;
  otherRows = kRows + <usize>keyTile * kPitch;
  heaps = (otherRows + <usize>keyTile * kPitch + 15) & ~15;
  panel = (heaps + <usize>rows * <usize>count * WORD + 15) & ~15;
  state = panel + PANEL_BYTES;
  origin = state + State.Bytes;
  features = (origin + State.Bytes + 63) & ~63;
}

/** Row i of an operand with query heads. */
function rowOf(operand: i32, i: i32): usize {
  return rowAt(task, operand, batch, head, i);
}

/**
 * S^T of keys [from, to) of the tile for the panel of rows [first, last]; `rows`: where its keys lie; `partial`: a feature
 * hides some of them.
 */
function scorePanel(first: i32, last: i32, rows: usize, from: i32, to: i32, partial: bool): void {
  const fullBegin = firstKey(sequence, last) - tileKey, fullEnd = endKey(sequence, first) - tileKey;
  const masked = partial || from < fullBegin || to > fullEnd, active = partial ? flags : flags & ~HIDE_FLAGS;
  const stride = rowStride(task, Operand.Q), n = to - from, sp = scores + <usize>from * FORWARD_PITCH;
  if (masked || active & SCORE_FLAGS) setPanel(panel, task, active, sequence, batch, head, first, rowEnd);
  packPanel(rowOf(Operand.Q, first), stride, q, rowEnd - first, D, origin + State.L);
  scoreRun(rows + <usize>from * kPitch, kPitch, q, sp, n, D, origin);
  if (flags & SCORE_FLAGS) scoreTiles(task, flags, sp, FORWARD_PITCH, n, tileKey + from, panel, 2, 0, 0);
  if (masked) hideScores(task, active, sp, FORWARD_PITCH, n, tileKey + from, panel, 2, fullBegin - from, fullEnd - from);
}

/** Where n rows of the tile lie side by side as float32: in place, or at `copy`. */
function tileRows(n: i32, copy: usize): usize {
  const kv = kvHeadOf(task, head);
  if (sideBySide(task, Operand.K, tileKey, n, D)) return keyRow(task, Operand.K, batch, kv, tileKey);
  bringRows(task, Operand.K, batch, kv, tileKey, n, copy, D);
  return copy;
}

/** What the rows [first, last] bring to their weights; those with a large lse get their sums over all keys anew. */
function weighRows(first: i32, last: i32): void {
  setWeights(rowOf(Operand.Lse, first), rowStride(task, Operand.Lse), last - first + 1, state);
  let any = false;
  for (let lane: usize = 0; lane < 32; lane += 4) any = any || isLarge(load<f32>(state + lane, State.T));
  if (!any) return;
  const tile = load<i32>(task, Task.Tile), end = endKey(sequence, last), at = tileKey;
  let m0 = f32x4.splat(LOWEST), m1 = m0, l0 = f32x4.splat(0), l1 = l0;
  for (tileKey = firstKey(sequence, first) / tile * tile; tileKey < end; tileKey += tile) {
    const n = min(tile, end - tileKey);
    if (flags & BEGIN_FLAGS) beginTile(flags, batch, tileKey, n, 1);
    scorePanel(first, last, tileRows(n, otherRows), 0, n, (flags & HIDE_FLAGS) != 0);
    const a = maximum(scores, FORWARD_PITCH, n, m0), b = maximum(scores + UPPER, FORWARD_PITCH, n, m1);
    l0 = sum(scores, FORWARD_PITCH, n, m0, a, l0);
    l1 = sum(scores + UPPER, FORWARD_PITCH, n, m1, b, l1);
    m0 = a;
    m1 = b;
  }
  tileKey = at;
  if (flags & BEGIN_FLAGS) beginTile(flags, batch, tileKey, tileKeys, 1);
  v128.store(scores, m0);
  v128.store(scores, m1, UPPER);
  v128.store(scores, l0, 32);
  v128.store(scores, l1, 32 + UPPER);
  for (let i = first; i <= last; ++i) {
    const lane = <usize>(i - first) << 2;
    if (isLarge(load<f32>(state + lane, State.T))) settle(task, flags, batch, head, i, load<f32>(scores + lane), load<f32>(scores + lane, 32), state + lane);
  }
}

/** Writes keys [from, to) of the tile, and what is hidden before and behind them. */
function writeScores(first: i32, from: i32, to: i32): void {
  const hidden = f32x4.splat(kernel == Kernel.Scores ? -Infinity : 0), sp = scores + <usize>from * FORWARD_PITCH;
  if (kernel == Kernel.Scores && !natural) {
    for (let v: usize = 0; v < 32; v += UPPER) naturalTile(sp + v, FORWARD_PITCH, to - from, (flags & BENT_FLAGS) != 0);
  }
  for (let p = scores, end = scores + <usize>tileKeys * FORWARD_PITCH; p < end; p += 16) {
    if (p == sp) p = scores + <usize>to * FORWARD_PITCH;
    if (p < end) v128.store(p, hidden);
  }
  const stride = rowStride(task, Operand.Scores), out = rowOf(Operand.Scores, first);
  unpackPanel(scores, state + State.L, out + (<usize>tileKey << 2), stride, rowEnd - first, tileKeys);
}

/** sum[key][8] += P of keys [from, to). */
function addWeights(from: i32, to: i32): void {
  const f0 = v128.load(state, State.L), f1 = v128.load(state, State.L + UPPER);
  let p = scores + <usize>from * FORWARD_PITCH, s = sums + <usize>from * FORWARD_PITCH;
  for (let n = to - from; n > 0; --n, p += FORWARD_PITCH, s += FORWARD_PITCH) {
    v128.store(s, madd(f0, v128.load(p), v128.load(s)));
    v128.store(s, madd(f1, v128.load(p, UPPER), v128.load(s, UPPER)), UPPER);
  }
}

/** The panel of rows from `first` on against the tile. */
function visitPanel(first: i32): void {
  const last = min(first + 7, rowEnd - 1), rows = rowEnd - first;
  let from = max(0, firstKey(sequence, first) - tileKey) & ~7, to = min(tileKeys, endKey(sequence, last) - tileKey), partial = (flags & HIDE_FLAGS) != 0;
  if (flags & Flag.Blocks && from < to) {
    const row = blocksOfPanel(first, tileKey);
    from = firstNonEmpty(row, from, to);
    to = endNonEmpty(row, from, to);
    partial = from < to && !allFull(row, from, to);
  }
  const weigh = kernel == Kernel.Probabilities || kernel == Kernel.ColumnSums;
  if (weigh && from < to) weighRows(first, last);
  if (from >= to) from = to = 0;
  else scorePanel(first, last, kTile, from, to, partial);
  const sp = scores + <usize>from * FORWARD_PITCH, n = to - from;
  if (kernel == Kernel.TopKeys) return offerTile(sp, n, tileKey + from, heaps + <usize>(first - rowBegin) * <usize>count * WORD, count, min(8, rows), state);
  if (weigh) {
    const pairwise = weightTiles(task, batch, head, first, sp, n, tileKey + from, state);
    // what is told of tiles was told of single pairs meanwhile
    if (pairwise && flags & BEGIN_FLAGS) beginTile(flags, batch, tileKey, tileKeys, 1);
  }
  if (kernel == Kernel.ColumnSums) addWeights(from, to);
  else writeScores(first, from, to);
}

/** Writes the sums of the tile. */
function writeSums(): void {
  const stride = rowStride(task, Operand.ColumnSums);
  let out = rowOf(Operand.ColumnSums, tileKey), s = sums;
  for (let j = 0; j < tileKeys; ++j, out += stride, s += FORWARD_PITCH) {
    store<f32>(out, sum4(f32x4.add(v128.load(s), v128.load(s, UPPER))));
  }
}

/** Writes what the heaps hold. */
function writeLargest(): void {
  for (let i = rowBegin; i < rowEnd; ++i) {
    if ((i & 7) == 0) weighRows(i, min(i + 7, rowEnd - 1)); // items begin at multiples of eight
    const at = state + (<usize>(i & 7) << 2), m = load<f32>(at, State.NegativeM), factor = load<f32>(at, State.L);
    const lse = load<f32>(at, State.T), exact = beyondTiles(lse);
    let heap = heaps + <usize>(i - rowBegin) * <usize>count * WORD;
    let keys = rowOf(Operand.TopKeys, i), weights = rowOf(Operand.TopProbabilities, i);
    sortLargest(heap, count);
    for (let n = 0; n < count; ++n, heap += WORD, keys += 4, weights += 4) {
      const word = load<i64>(heap), key = keyOf(word);
      store<i32>(keys, key);
      if (key < 0) store<f32>(weights, 0);
      else if (exact) store<f32>(weights, exactWeight(task, batch, head, i, key, lse));
      else store<f32>(weights, <f32>(exp((<f64>scoreOf(word) + <f64>m) * 0.6931471805599453) * <f64>factor));
    }
  }
}

export function insideItem(item: usize, ws: usize): void {
  kernel = load<i32>(item, Item.Kernel);
  task = taskOf(item);
  flags = load<i32>(task, Task.Flags);
  batch = load<i32>(item, Item.Batch);
  head = load<i32>(item, Item.Head);
  setBlocks(task, batch, head);
  sequence = sequenceOf(task, batch);
  rowBegin = load<i32>(item, Item.RowBegin);
  rowEnd = load<i32>(item, Item.RowEnd);
  D = load<i32>(task, Task.HeadDim);
  count = load<i32>(task, Task.Count);
  const tile = load<i32>(task, Task.Tile);
  layOut(ws, D, kernel == Kernel.TopKeys ? rowEnd - rowBegin : 0, tile, count);
  if (flags & BEGIN_FLAGS) beginItem(task, flags, features);
  natural = kernel == Kernel.Scores && !(flags & SCORE_FLAGS);
  const scale = f32x4.splat(load<f32>(task, Task.Scale) * (natural ? 1 : LOG2E)), one = f32x4.splat(1);
  memory.fill(origin + State.NegativeM, 0, 32);
  for (let v: usize = 0; v < 32; v += UPPER) {
    v128.store(origin + v, scale, State.L);
    v128.store(state + v, one, State.L);
  }
  tileKey = load<i32>(item, Item.KeyBegin);
  let keyEnd = load<i32>(item, Item.KeyEnd);
  if (kernel == Kernel.TopKeys) { // what no row sees is not wanted
    clearLargest(heaps, (rowEnd - rowBegin) * count);
    tileKey = max(tileKey, firstKey(sequence, rowBegin) & ~15);
    keyEnd = min(keyEnd, endKey(sequence, rowEnd - 1));
  }
  for (; tileKey < keyEnd; tileKey += tile) {
    tileKeys = min(tile, keyEnd - tileKey);
    kTile = tileRows(tileKeys, kRows);
    if (kTile != kRows) prefetch(kTile, kPitch, kPitch, tileKeys);
    if (flags & BEGIN_FLAGS) beginTile(flags, batch, tileKey, tileKeys, 1);
    if (kernel == Kernel.ColumnSums) memory.fill(sums, 0, <usize>tileKeys * FORWARD_PITCH);
    for (let first = rowBegin; first < rowEnd; first += 8) visitPanel(first);
    if (kernel == Kernel.ColumnSums) writeSums();
  }
  if (kernel == Kernel.TopKeys) writeLargest();
}
