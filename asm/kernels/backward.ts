// Backward: dQ, dK, dV of the query heads that share one kv head, against a range of keys
// (FlashAttention-2, algorithm 2; five products, nothing transposed in the loops).
//
//   for each query head of the group, each block of up to 256 query rows
//     Q^T, dO^T panels [D][8]; Q, dO as [8 columns][row]; -lse and -delta, delta = rowsum(dO * O) - dLse
//     (rows with an lse of a large size: see large_rows.ts)
//     for each tile of 48 keys
//       for each panel of 8 queries that sees a key of the tile
//         S^T[key][8] = K . Q^T,  dP^T = V . dO^T - delta
//         features of scores, and those that hide, on S
//         P = 2^(S - lse),  dS = P * dP;  features of P;  the gradient of the entropy;  sums over pairs, slopes
//         dQ^T[column][8] += K^T . dS^T
//       dV[key] += P^T . dO,  dK[key] += dS^T . Q             rows of P^T and dS^T are the scalars
//
// A thread owns its keys, so dK and dV need no atomics and every sum has one fixed order.
//
// NaN and infinity: a query row whose q, dO, lse or delta is not finite never enters the products
// (its lanes hold zero and P = 0): it is deferred and added afterwards, score by score. Masked scores get dS = 0 by
// selection. What is left is a masked k or v that is not finite: it can spoil dQ only, which is tested.
import { Item, Task } from "../abi";
import { Flag, Operand } from "../tables.gen";
import {
  anyLarge, constants, deadPanels, deferred, dqT, gC, gT, layOutBlock, packGradients, packQueries, panels, qC, qT,
  rowBegin, rowEnd, stats, writeConstants,
} from "./backward_block";
import { allFull, blocksOfPanel, endNonEmpty, firstNonEmpty, firstSeen, setBlocks } from "../features/blocks";
import { keyProduct, listRuns, PANELS, RUNS_BYTES } from "./key_gradient";
import { settleLargeRows } from "./large_rows";
import { queryPair, queryProduct } from "./query_gradient";
import { packRows, unpackPanel } from "../micro/pack";
import { Constants, Panel, RowStats, UPPER } from "../micro/records";
import { delta } from "../micro/rows";
import { endKey, firstKey, rowAt, rowsOf, rowStride, sequenceOf, taskOf } from "../micro/task";
import { flushTiny, silenceMasked } from "../micro/tile";
import { BACKWARD_PITCH, probabilityTile } from "../micro/tiles.gen";
import { prefetch } from "../micro/vmath";
import { addTile, entropyDelta, entropyGradient, entropyTile, weighTile } from "../stages/entropy";
import { hideDeadLanes, hideKeys, hideScores } from "../stages/hide";
import { productPair, shareKeys } from "../stages/pairs";
import { setPanel } from "../stages/panel";
import { ownSum, repairGradientRow } from "../stages/repair_gradient";
import { rowLse } from "../stages/repair";
import { scoreProduct } from "../stages/score_product";
import {
  BEGIN_FLAGS, beginGradients, beginItem, beginTile, fades, gradientTiles, HIDE_FLAGS, MASKING_FLAGS, PANEL_BYTES,
  PROBABILITY_FLAGS, probabilityTiles, ROW_SUM_FLAGS, SCORE_FLAGS, silenceSlopes, SLOPES, scoreTiles, stateGradients,
  writeGradients,
} from "../stages/scores.gen";

/** Keys of a tile: a multiple of six for the register tile and of sixteen for blocks. */
const TILE: i32 = 48;
const GROUPS: i32 = TILE / 6;
/** Bytes of a tile of P, of dS, of terms of the entropy, or of slopes. */
const TILE_BYTES: usize = TILE * BACKWARD_PITCH;
/** The blocks of a tile: 48 / 16 bytes of a word. */
const BLOCKS_OF_TILE: u32 = 0xffffff;

// The item at hand; see forward.ts on module state.
let task: usize = 0, flags: i32 = 0, sequence: usize = 0, batch: i32 = 0, head: i32 = 0;
let keyBegin: i32 = 0, keyEnd: i32 = 0, D: i32 = 0, Dv: i32 = 0, kStride: usize = 0, vStride: usize = 0;
// Bytes from row to row of the tiles of K and V.
let kPitch: usize = 0, vPitch: usize = 0;
// Scratch, in this order, behind that of the block of query rows.
let P: usize = 0, dS: usize = 0, terms: usize = 0, kRows: usize = 0, vRows: usize = 0, keyRanges: usize = 0, runs: usize = 0, panel: usize = 0, slopes: usize = 0, features: usize = 0;
// The tile of keys.
let tileKey: i32 = 0, tileKeys: i32 = 0, kTile: usize = 0, vTile: usize = 0, dkTile: usize = 0, dvTile: usize = 0;
// Whether any panel of the block saw a key of the tile so far.
let prefetched: bool = false;

/** Bytes of scratch that a backward item with blocks of `rows` rows needs. */
export function backwardScratch(headDim: i32, valueDim: i32, rows: i32): usize {
  layOut(0, headDim, valueDim, rows);
  return features;
}

function layOut(ws: usize, headDim: i32, valueDim: i32, rows: i32): void {
  P = layOutBlock(ws, headDim, valueDim, rows);
  dS = P + TILE_BYTES;
  terms = dS + TILE_BYTES;
  kRows = terms + TILE_BYTES;
  vRows = kRows + <usize>TILE * (headDim << 2);
  keyRanges = vRows + <usize>TILE * (valueDim << 2);
  runs = keyRanges + PANELS * 8;
  panel = (runs + <usize>GROUPS * RUNS_BYTES + 15) & ~15;
  slopes = (panel + PANEL_BYTES + 63) & ~63;
  features = slopes + SLOPES * TILE_BYTES;
}

/** Rows of a tile where the products read them: in place, or copied where they are strided (see forward.ts). */
function tileRows(rows: usize, stride: usize, copy: usize, pitch: usize): usize {
  prefetch(rows, stride, pitch, tileKeys);
  if (stride == pitch) return rows;
  packRows(rows, stride, copy, tileKeys, pitch);
  return copy;
}

/** Prefetches the tile, once a panel needs it. */
function prefetchTile(): void {
  prefetched = true;
  kTile = tileRows(kTile, kStride, kRows, kPitch);
  vTile = tileRows(vTile, vStride, vRows, vPitch);
  prefetch(dkTile, rowStride(task, Operand.Dk), kPitch, tileKeys);
  prefetch(dvTile, rowStride(task, Operand.Dv), vPitch, tileKeys);
}

// The keys [from, to) of the tile that a panel computes: whole groups of six around those that it sees, [seenFrom, seenTo).
let from: i32 = 0, to: i32 = 0, seenFrom: i32 = 0, seenTo: i32 = 0;

function setKeys(begin: i32, end: i32, seenBegin: i32, seenEnd: i32): void {
  from = begin;
  to = end;
  seenFrom = seenBegin;
  seenTo = seenEnd;
}

/** Sets the keys that panel p computes and notes them in keyRanges; false where it sees none. */
function findKeys(p: i32): bool {
  const range = keyRanges + (<usize>p << 3);
  store<u64>(range, 0);
  const first = rowBegin + (p << 3), row = blocksOfPanel(first, tileKey);
  if (flags & Flag.Blocks && (load<u32>(row) & BLOCKS_OF_TILE) == 0) return false;
  const last = min(first + 7, rowEnd - 1);
  seenFrom = max(0, firstKey(sequence, first) - tileKey);
  seenTo = min(tileKeys, endKey(sequence, last) - tileKey);
  if (flags & Flag.Blocks) {
    seenFrom = firstNonEmpty(row, seenFrom, seenTo);
    seenTo = endNonEmpty(row, seenFrom, seenTo);
  }
  if (seenFrom >= seenTo) return false;
  from = seenFrom / 6 * 6; // whole groups of six keys; what is too much is hidden
  to = min(tileKeys, (seenTo + 5) / 6 * 6);
  if (!prefetched) prefetchTile();
  store<i32>(range, from);
  store<i32>(range, to, 4);
  return true;
}

/** Where dP of a panel starts, from its statistics: features of P change dP before delta is subtracted. */
function dPStart(start: usize): usize {
  return flags & PROBABILITY_FLAGS ? constants + Constants.Zero : start + RowStats.NegativeDelta;
}

/** S^T and dP^T of the keys at hand. */
function scorePanel(p: i32): void {
  const start = stats + <usize>p * RowStats.Bytes, lane = <usize>p << 5;
  // from zero, not from -lse: partial sums as large as lse would round away what the scores say
  scoreProduct(kTile, kPitch, qT + <usize>p * (<usize>D << 5), P + lane, from, to, D, constants + Constants.Zero);
  scoreProduct(vTile, vPitch, gT + <usize>p * (<usize>Dv << 5), dS + lane, from, to, Dv, dPStart(start));
}

/** From S and dP to P and dS of the keys at hand. */
function settlePanel(p: i32): void {
  const first = rowBegin + (p << 3), last = min(first + 7, rowEnd - 1), row = blocksOfPanel(first, tileKey);
  const start = stats + <usize>p * RowStats.Bytes, dead = (deadPanels >> p & 1) != 0;
  // dead lanes: the elementwise band hides every key from them
  const fullBegin = dead ? to : firstKey(sequence, last) - tileKey - from, fullEnd = endKey(sequence, first) - tileKey - from;
  const blocks = (flags & Flag.Blocks) != 0, partial = blocks ? !allFull(row, seenFrom, seenTo) : (flags & HIDE_FLAGS) != 0;
  const masked = partial || fullBegin > 0 || fullEnd < to - from;
  const active = partial ? flags : flags & ~HIDE_FLAGS;
  if (masked || active & (SCORE_FLAGS | PROBABILITY_FLAGS)) setPanel(panel, task, active, sequence, batch, head, first, rowEnd);
  if (dead) hideDeadLanes(panel, start);

  const n = to - from, at = <usize>from * BACKWARD_PITCH + (<usize>p << 5), s = P + at, w = dS + at, e = terms + at, f = slopes + at;
  if (flags & SCORE_FLAGS) {
    scoreTiles(task, flags, s, BACKWARD_PITCH, n, tileKey + from, panel, 2, f, TILE_BYTES);
  }
  let hidden = masked && hideScores(task, active, s, BACKWARD_PITCH, n, tileKey + from, panel, 2, fullBegin, fullEnd);
  if (blocks && n > seenTo - seenFrom) { // empty blocks at both ends: nobody need be asked about their pairs
    hideKeys(s, seenFrom - from);
    hideKeys(s + <usize>(seenTo - from) * BACKWARD_PITCH, to - seenTo);
    hidden = true;
  }
  if (hidden || flags & MASKING_FLAGS) {
    silenceMasked(s, w, BACKWARD_PITCH, n);
    silenceSlopes(flags, s, f, TILE_BYTES, BACKWARD_PITCH, n);
  }
  const fading = fades(flags);
  for (let v: usize = 0; fading && v < 32; v += 16) {
    flushTiny(s + v, BACKWARD_PITCH, n, v128.load(start + v, RowStats.NegativeLse));
  }
  if (flags & Flag.DEntropy) entropyTile(s, e, n, start);
  probabilityTile(s, w, n, start);
  if (flags & Flag.DEntropy) weighTile(e, s, n);
  if (flags & PROBABILITY_FLAGS) {
    probabilityTiles(task, flags, s, BACKWARD_PITCH, n, tileKey + from, panel, 2, w, start + RowStats.NegativeDelta);
  }
  if (flags & Flag.DEntropy) addTile(w, e, n);
  if (flags & SCORE_FLAGS) {
    gradientTiles(flags, w, BACKWARD_PITCH, n, tileKey + from, panel, min(8, rowEnd - first), f, TILE_BYTES);
  }
}

/** One panel against the tile, its keys at hand: P, dS and dQ. */
function visitPanel(p: i32): void {
  scorePanel(p);
  settlePanel(p);
  queryProduct(kTile, kPitch, dS + (<usize>p << 5), dqT + <usize>p * (<usize>D << 5), D, from, to);
}

/** Panels p and p + 1 against the tile: what both compute is multiplied at once. Sums over panels keep their order. */
function visitPair(p: i32): void {
  const one = findKeys(p), a = from, b = to, seenA = seenFrom, seenB = seenTo;
  const two = findKeys(p + 1), c = from, d = to, seenC = seenFrom, seenD = seenTo;
  if (!one || !two || !shareKeys(a, b, c, d)) {
    if (one) {
      setKeys(a, b, seenA, seenB);
      visitPanel(p);
    }
    if (two) {
      setKeys(c, d, seenC, seenD);
      visitPanel(p + 1);
    }
    return;
  }
  const start = stats + <usize>p * RowStats.Bytes, zero = constants + Constants.Zero, lane = <usize>p << 5;
  productPair(kTile, kPitch, qT + <usize>p * (<usize>D << 5), P + lane, D, zero, zero, a, b, c, d);
  productPair(vTile, vPitch, gT + <usize>p * (<usize>Dv << 5), dS + lane, Dv, dPStart(start), dPStart(start + RowStats.Bytes), a, b, c, d);
  setKeys(a, b, seenA, seenB);
  settlePanel(p);
  setKeys(c, d, seenC, seenD);
  settlePanel(p + 1);
  queryPair(kTile, kPitch, dS + lane, dqT + <usize>p * (<usize>D << 5), D, a, b, c, d);
}

/** All keys of the item that the block sees. */
function visitTiles(kv: i32): void {
  const k = rowsOf(task, Operand.K, batch, kv), v = rowsOf(task, Operand.V, batch, kv);
  const dkStride = rowStride(task, Operand.Dk), dvStride = rowStride(task, Operand.Dv);
  const dk = rowsOf(task, Operand.Dk, batch, kv), dv = rowsOf(task, Operand.Dv, batch, kv);
  const pairs = (flags & Flag.Pairs) != 0;
  const end = min(keyEnd, endKey(sequence, rowEnd - 1)), begin = max(keyBegin, firstKey(sequence, rowBegin));
  for (tileKey = keyBegin + (begin - keyBegin) / TILE * TILE; tileKey < end; tileKey += TILE) {
    if (flags & Flag.Blocks) tileKey = firstSeen(rowBegin, rowEnd, tileKey, end);
    tileKeys = min(TILE, end - tileKey);
    if (tileKeys <= 0) break;
    kTile = k + <usize>tileKey * kStride;
    vTile = v + <usize>tileKey * vStride;
    dkTile = dk + <usize>tileKey * dkStride;
    dvTile = dv + <usize>tileKey * dvStride;
    prefetched = false;
    if (flags & BEGIN_FLAGS) beginTile(flags, batch, tileKey, tileKeys, 1);
    for (let p = 0; p < panels; ++p) {
      if (pairs && p + 1 < panels) visitPair(p++);
      else if (findKeys(p)) visitPanel(p);
    }
    if (!prefetched) continue;
    listRuns(keyRanges, panels, tileKeys, runs);
    keyProduct(runs, panels, tileKeys, P, gC, dvTile, dvStride, Dv, pairs);
    keyProduct(runs, panels, tileKeys, dS, qC, dkTile, dkStride, D, pairs);
  }
}

/** dQ rows of the block, and the rows that were deferred. `slot` -1 is dQ itself, others hold a partial sum. */
function writeRows(slot: i32): void {
  const target = slot >= 0 ? Operand.SplitOut : Operand.Dq, stride = rowStride(task, target);
  const dq = rowsOf(task, target, batch, head) + (slot > 0 ? <usize>slot * load<usize>(task, Task.SplitOutBytes) : 0);
  for (let p = 0; p < panels; ++p) {
    const first = rowBegin + (p << 3), rows = min(8, rowEnd - first);
    const bad = unpackPanel(dqT + <usize>p * (<usize>D << 5), constants + Constants.Scale, dq + <usize>first * stride, stride, rows, D);
    for (let i = 0; i < rows; ++i) {
      const late = deferred((p << 3) + i);
      if (late || bad >> i & 1) repairGradientRow(task, batch, head, first + i, keyBegin, keyEnd, dq + <usize>(first + i) * stride, late);
    }
  }
}

/** Clears the rows of dK or dV that the item owns, padding up to four columns included. */
function clearKeys(operand: i32, kv: i32, n: i32): void {
  const stride = rowStride(task, operand);
  let row = rowsOf(task, operand, batch, kv) + <usize>keyBegin * stride;
  for (let j = keyBegin; j < keyEnd; ++j, row += stride) memory.fill(row, 0, <usize>((n + 3) & ~3) << 2);
}

/** What a row brings to the gradients of logits; the entropy changes by them as by scores, but for its own 1. */
function addStateGradients(i: i32, lse: f64): void {
  const d = <f64>delta(task, batch, head, i) - entropyGradient(task, flags, batch, head, i);
  stateGradients(task, flags, batch, head, i, lse, d + entropyDelta(task, flags, batch, head, i, lse));
}

export function backwardItem(item: usize, ws: usize): void {
  task = taskOf(item);
  flags = load<i32>(task, Task.Flags) & ~Flag.Accumulate;
  batch = load<i32>(item, Item.Batch);
  sequence = sequenceOf(task, batch);
  keyBegin = load<i32>(item, Item.KeyBegin);
  keyEnd = load<i32>(item, Item.KeyEnd);
  D = load<i32>(task, Task.HeadDim);
  Dv = load<i32>(task, Task.ValueDim);
  kStride = rowStride(task, Operand.K);
  vStride = rowStride(task, Operand.V);
  kPitch = <usize>D << 2;
  vPitch = <usize>Dv << 2;
  const kv = load<i32>(item, Item.Head), group = load<i32>(task, Task.GroupSize), block = load<i32>(task, Task.Tile);
  const from = load<i32>(item, Item.RowBegin), to = load<i32>(item, Item.RowEnd), slot = load<i32>(item, Item.Slot);
  layOut(ws, D, Dv, block);
  if (flags & BEGIN_FLAGS) beginItem(task, flags, features);
  if (!(load<i32>(task, Task.Flags) & Flag.Accumulate)) {
    clearKeys(Operand.Dk, kv, D);
    clearKeys(Operand.Dv, kv, Dv);
  }
  writeConstants(load<f32>(task, Task.Scale));
  for (head = kv * group; head < (kv + 1) * group; ++head) {
    setBlocks(task, batch, head);
    beginGradients(task, flags, batch, head, slot + 1);
    if (flags & ROW_SUM_FLAGS && slot < 0) {
      for (let i = from; i < to; ++i) {
        const lse = <f64>load<f32>(rowAt(task, Operand.Lse, batch, head, i)), own = ownSum(task, batch, head, i, lse);
        addStateGradients(i, own ? rowLse() : lse);
      }
    }
    for (let begin = from; begin < to; begin += block) {
      packQueries(task, batch, head, begin, min(begin + block, to));
      if (anyLarge) settleLargeRows(task, flags, sequence, batch, head, rowsOf(task, Operand.K, batch, kv), kStride, D, P, TILE, panel);
      packGradients(task, batch, head);
      visitTiles(kv);
      writeRows(slot);
    }
    writeGradients(task, flags, batch, head, slot + 1);
  }
}
