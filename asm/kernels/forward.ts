// Forward, a block of query rows of one head against a range of keys (FlashAttention-2, algorithm 1;
// queries in lanes).
//
//   for each tile of keys                                     K tile [keys][D], V tile [keys][Dv]
//     for each panel of 8 queries                             Q^T [D][8], times scale * log2 e
//       for each run of visible keys in the tile
//         S^T[key][8] = K . Q^T - m                           m: running maximum, base 2
//         features of scores, then those that hide
//         where S outgrows m by 2^8: move m, rescale l, O     lazily: exact after the final division
//         P^T = 2^S,  l += sum of P^T;  sums of statistics
//         features of P^T
//         O^T[column][8] += V^T . P^T                         V^T packed once for all panels of the block
//   out = O / l,  lse = (m + log2 l) ln 2
//
// Nothing is horizontal: max, exp and sum run down the lanes, and P^T is already the right operand.
import { DTypeCode, Item, Task } from "../abi";
import { Flag, Operand } from "../tables.gen";
import { allFull, blocksOfPanel, firstEmpty, firstNonEmpty, firstSeen, setBlocks } from "../features/blocks";
import { GROUP } from "../micro/integers";
import { packPanel, packTranspose, unpackPanel } from "../micro/pack";
import { bringRows, keyRow, rowsAhead, sideBySide } from "../micro/pages";
import { PanelSums, State, UPPER } from "../micro/records";
import { lsesOf } from "../micro/rows";
import { endKey, firstKey, kvHeadOf, rowsOf, rowStride, sequenceOf, taskOf } from "../micro/task";
import { FORWARD_PITCH } from "../micro/tiles.gen";
import { LOG2E, prefetch } from "../micro/vmath";
import { hideScores } from "../stages/hide";
import { beginIntegers, layOutIntegers, packIntegers, scoreIntegers } from "../stages/integers";
import { beginOutputs, layOutOutputs, outputIntegers } from "../stages/integer_outputs";
import { outputRun } from "../stages/output_run";
import { outputPair, scorePair, shareKeys } from "../stages/pairs";
import { setPanel } from "../stages/panel";
import { lostRow, repairRow } from "../stages/repair";
import { scoreRun } from "../stages/score_run";
import {
  BEGIN_FLAGS, beginItem, beginTile, BENT_FLAGS, fades, HIDE_FLAGS, PANEL_BYTES, PROBABILITY_FLAGS,
  probabilityTiles, SCORE_FLAGS, scoreTiles,
} from "../stages/scores.gen";
import { finish, rebase, rescan, softmaxTile } from "../stages/softmax";
import { addLogit, addsLogits } from "../stages/state";
import { finishRow, STATISTIC_FLAGS, writeRow } from "../stages/statistics";

/** Keys whose rows of V are packed together. */
const CHUNK: i32 = 32;

// The item at hand. Each thread has its own instance of this module, so this is per thread.
let task: usize = 0, flags: i32 = 0, owner: bool = false, sequence: usize = 0, batch: i32 = 0, head: i32 = 0;
let rowBegin: i32 = 0, rowEnd: i32 = 0, headDim: i32 = 0, valueDim: i32 = 0, columns: i32 = 0;
// Its scratch, in this order. columns: valueDim up to a multiple of four.
let qPanels: usize = 0, oPanels: usize = 0, scores: usize = 0, scoresNext: usize = 0, states: usize = 0, kRows: usize = 0, vT: usize = 0, vRows: usize = 0;
let panel: usize = 0, origin: usize = 0, sums: usize = 0, features: usize = 0, kPitch: usize = 0, vPitch: usize = 0;
// The tile of keys at hand; a bit of `packed` for each chunk of V^T (and of a copied K) that is there.
let tileKey: i32 = 0, tileKeys: i32 = 0, kTile: usize = 0, kv: i32 = 0, vStride: usize = 0, dtype: i32 = 0;
let packed: u32 = 0;
// Whether any panel of the block saw a key of the tile so far.
let prefetched: bool = false;

/** Bytes of scratch that a forward item of `rows` rows needs; `flags`: those of products of integers. */
export function forwardScratch(headDim: i32, valueDim: i32, rows: i32, keyTile: i32, flags: i32): usize {
  layOut(0, headDim, valueDim, rows, keyTile, flags);
  return features;
}

function layOut(ws: usize, headDim: i32, valueDim: i32, rows: i32, keyTile: i32, flags: i32): void {
  const panels = <usize>(rows + 7) >> 3, dv = (<usize>valueDim + 3) & ~3;
  kPitch = <usize>headDim << 2;
  vPitch = <usize>(keyTile + 16) << 2;
  qPanels = ws;
  oPanels = qPanels + (panels * <usize>headDim << 5);
  scores = oPanels + (panels * dv << 5);
  scoresNext = scores + <usize>(keyTile + 8) * FORWARD_PITCH;
  states = scoresNext + <usize>(keyTile + 8) * FORWARD_PITCH;
  kRows = states + panels * State.Bytes;
  vT = flags & Flag.Integers ? layOutIntegers(kRows, headDim, panels, keyTile) : kRows + <usize>keyTile * kPitch;
  vRows = vT + dv * vPitch;
  panel = flags & Flag.IntegerOutputs ? layOutOutputs(vT, valueDim, keyTile) : vRows + <usize>CHUNK * (<usize>valueDim << 2);
  origin = panel + PANEL_BYTES;
  sums = origin + State.Bytes;
  features = (sums + panels * PanelSums.Bytes + 63) & ~63;
}

/** Prefetches the rows of the tile once a panel needs them. Not where blocks are hidden: few may be needed. */
function prefetchTile(): void {
  prefetched = true;
  if (kTile && kTile != kRows) prefetch(kTile, kPitch, kPitch, tileKeys);
  if (dtype == DTypeCode.F32 && rowsAhead(task, tileKey, tileKeys) == tileKeys) {
    prefetch(keyRow(task, Operand.V, batch, kv, tileKey), vStride, <usize>valueDim << 2, tileKeys);
  }
}

/** V^T of keys [begin, end) of the tile. */
function packValues(begin: i32, end: i32): void {
  const j = tileKey + begin, n = end - begin;
  if (dtype == DTypeCode.F32 && rowsAhead(task, j, n) == n) {
    return packTranspose(keyRow(task, Operand.V, batch, kv, j) - <usize>begin * vStride, vStride, vT, begin, end, valueDim, vPitch);
  }
  const pitch = <usize>valueDim << 2;
  bringRows(task, Operand.V, batch, kv, j, n, vRows, valueDim);
  packTranspose(vRows - <usize>begin * pitch, pitch, vT, begin, end, valueDim, vPitch);
}

/**
 * Packs the chunks that keys [from, to) need and that no panel of this block needed before: V^T unless it is of integers, and
 * the rows of K where they are not side by side: at a stride of 4 KiB (heads side by side) twelve of them share
 * the eight ways of a set of the second-level cache.
 */
function packChunks(from: i32, to: i32): void {
  if (flags & Flag.IntegerOutputs) return;
  for (let c = from / CHUNK; c * CHUNK < to; ++c) {
    if (packed >> c & 1) continue;
    packed |= 1 << c;
    const begin = c * CHUNK, end = min(tileKeys, begin + CHUNK);
    packValues(begin, end);
    if (kTile == kRows) bringRows(task, Operand.K, batch, kv, tileKey + begin, end - begin, kRows + <usize>begin * kPitch, headDim);
  }
}

/**
 * From scores, at `sp`, to probabilities of keys [from, to) of panel p. The band lets every query see the keys
 * [fullBegin, fullEnd) of the tile; `partial`: a feature hides some scores of the run.
 */
function settleRun(p: usize, sp: usize, from: i32, to: i32, fullBegin: i32, fullEnd: i32, partial: bool): void {
  const o = oPanels + p * (<usize>columns << 5), state = states + p * State.Bytes, n = to - from;
  const masked = partial || from < fullBegin || to > fullEnd;
  const active = partial ? flags : flags & ~HIDE_FLAGS, sum = flags & STATISTIC_FLAGS ? sums + p * PanelSums.Bytes : 0;
  if (masked || active & (SCORE_FLAGS | PROBABILITY_FLAGS)) setPanel(panel, task, active, sequence, batch, head, rowBegin + <i32>(p << 3), rowEnd);
  if (flags & SCORE_FLAGS) scoreTiles(task, flags, sp, FORWARD_PITCH, n, tileKey + from, panel, 2, 0, 0);
  const hidden = masked && hideScores(task, active, sp, FORWARD_PITCH, n, tileKey + from, panel, 2, fullBegin - from, fullEnd - from);
  if (flags & SCORE_FLAGS) rebase(sp, n, state, o, columns, fades(flags), sum);
  else if (hidden) rescan(sp, n, state);
  softmaxTile(sp, n, state, o, columns, sum, tileKey + from);
  if (flags & PROBABILITY_FLAGS) probabilityTiles(task, flags, sp, FORWARD_PITCH, n, tileKey + from, panel, 2, 0, 0);
}

/** A run of keys [from, to) that holds something for panel p; see settleRun. */
function visitRun(p: usize, from: i32, to: i32, fullBegin: i32, fullEnd: i32, partial: bool): void {
  const q = qPanels + p * (<usize>headDim << 5), sp = scores + <usize>from * FORWARD_PITCH;
  packChunks(from, to);
  const start = flags & SCORE_FLAGS ? origin : states + p * State.Bytes;
  if (flags & Flag.Integers) scoreIntegers(p, q, scores, from, to, origin, start, flags);
  else scoreRun(kTile + <usize>from * kPitch, kPitch, q, sp, to - from, headDim, start);
  settleRun(p, sp, from, to, fullBegin, fullEnd, partial);
  const o = oPanels + p * (<usize>columns << 5);
  if (flags & Flag.IntegerOutputs) outputIntegers(scores, o, from, to, flags);
  else outputRun(vT, vPitch, scores, o, columns, from, to);
}

/** Panels p and p + 1 against the tile, where they share keys enough; whether they did. */
function visitPair(p: usize): bool {
  const first = rowBegin + <i32>(p << 3), next = first + 8, last = min(next + 7, rowEnd - 1);
  const from = max(0, firstKey(sequence, first) - tileKey) & ~7, fromNext = max(0, firstKey(sequence, next) - tileKey) & ~7;
  const to = min(tileKeys, endKey(sequence, first + 7) - tileKey), toNext = min(tileKeys, endKey(sequence, last) - tileKey);
  if (!shareKeys(from, to, fromNext, toNext)) return false;
  if (!prefetched) prefetchTile();
  packChunks(min(from, fromNext), max(to, toNext));
  const q = qPanels + p * (<usize>headDim << 5), o = oPanels + p * (<usize>columns << 5), state = states + p * State.Bytes;
  const bent = (flags & SCORE_FLAGS) != 0, hides = (flags & HIDE_FLAGS) != 0, apart = scoresNext - scores;
  const start = bent ? origin : state, startNext = bent ? origin : state + State.Bytes;
  if (flags & Flag.Integers) {
    scoreIntegers(p, q, scores, from, to, origin, start, flags);
    scoreIntegers(p + 1, q + (<usize>headDim << 5), scoresNext, fromNext, toNext, origin, startNext, flags);
  } else scorePair(kTile, kPitch, q, scores, apart, headDim, start, startNext, from, to, fromNext, toNext);
  const fullFrom = firstKey(sequence, first + 7) - tileKey, fullTo = endKey(sequence, first) - tileKey;
  settleRun(p, scores + <usize>from * FORWARD_PITCH, from, to, fullFrom, fullTo, hides);
  const fullFromNext = firstKey(sequence, last) - tileKey, fullToNext = endKey(sequence, next) - tileKey;
  settleRun(p + 1, scoresNext + <usize>fromNext * FORWARD_PITCH, fromNext, toNext, fullFromNext, fullToNext, hides);
  if (flags & Flag.IntegerOutputs) {
    outputIntegers(scores, o, from, to, flags);
    outputIntegers(scoresNext, o + (<usize>columns << 5), fromNext, toNext, flags);
  } else outputPair(vT, vPitch, scores, apart, o, columns, from, to, fromNext, toNext);
  return true;
}

/** One panel against the tile: its visible keys, cut into runs where whole blocks are hidden. */
function visitPanel(p: usize): void {
  const first = rowBegin + <i32>(p << 3), last = min(first + 7, rowEnd - 1);
  const to = min(tileKeys, endKey(sequence, last) - tileKey);
  let from = max(0, firstKey(sequence, first) - tileKey) & ~7;
  if (from >= to) return;
  const fullBegin = firstKey(sequence, last) - tileKey, fullEnd = endKey(sequence, first) - tileKey;
  if (!(flags & Flag.Blocks)) {
    if (!prefetched) prefetchTile();
    return visitRun(p, from, to, fullBegin, fullEnd, (flags & HIDE_FLAGS) != 0);
  }
  // relative to the tile, whose first key is a multiple of 16
  const row = blocksOfPanel(first, tileKey);
  for (from = firstNonEmpty(row, from, to); from < to;) {
    const end = firstEmpty(row, from, to);
    visitRun(p, from, end, fullBegin, fullEnd, !allFull(row, from, end));
    from = firstNonEmpty(row, end, to);
  }
}

/** Statistics of row i, lane `lane` of panel p; the factor of its outputs is at `factor`. */
function writeStatistics(p: usize, lane: i32, i: i32, l: f32, factor: usize): void {
  const at = sums + p * PanelSums.Bytes + (<usize>lane << 2), f = owner || l == 0 ? <f64>load<f32>(factor) : 1 / <f64>l;
  finishRow(l, f, at + PanelSums.PS, at + PanelSums.Top, at + PanelSums.PJ);
  writeRow(task, flags, batch, head, i);
}

/** Whether no block of the panel of query rows [begin, end) holds a key for them. */
function seesNone(begin: i32, end: i32): bool {
  const first = firstKey(sequence, begin) & ~15, last = endKey(sequence, end - 1);
  return firstSeen(begin, end, first, last) >= last;
}

/** out = O / l and lse of every row; rows that came out non-finite are repaired. */
function writeRows(panels: usize): void {
  const outStride = rowStride(task, Operand.Out), lseStride = rowStride(task, Operand.Lse);
  const out = rowsOf(task, Operand.Out, batch, head), lse = rowsOf(task, Operand.Lse, batch, head);
  for (let p: usize = 0; p < panels; ++p) {
    const first = rowBegin + <i32>(p << 3), rows = min(8, rowEnd - first), state = states + p * State.Bytes;
    finish(state);
    for (let v: usize = 0; v < 32 && !owner; v += UPPER) {
      lsesOf(v128.load(state + v, State.L), v128.load(state + v, State.NegativeM), (flags & BENT_FLAGS) != 0, state + v + State.NegativeM);
    }
    for (let i = 0; i < rows; ++i) {
      const lane = state + (<usize>i << 2), l = load<f32>(lane, State.L), m = load<f32>(lane, State.NegativeM);
      const value = owner ? addLogit(task, flags, batch, head, first + i, l, m, lane + State.T) : m; // lse by now
      store<f32>(lse + <usize>(first + i) * lseStride, value);
      if (flags & STATISTIC_FLAGS) writeStatistics(p, i, first + i, l, lane + State.T);
    }
    const bad = unpackPanel(oPanels + p * (<usize>columns << 5), state + State.T, out + <usize>first * outStride, outStride, rows, valueDim);
    const empty = (flags & Flag.Blocks) != 0 && seesNone(first, first + rows);
    for (let i = 0; i < rows; ++i) {
      const row = load<f32>(lse + <usize>(first + i) * lseStride);
      if (bad >> i & 1 || !empty && lostRow(task, batch, head, first + i, row)) repairRow(task, batch, head, first + i);
    }
  }
}

export function forwardItem(item: usize, ws: usize): void {
  task = taskOf(item);
  flags = load<i32>(task, Task.Flags);
  owner = addsLogits(flags, load<i32>(item, Item.Slot));
  batch = load<i32>(item, Item.Batch);
  head = load<i32>(item, Item.Head);
  sequence = sequenceOf(task, batch);
  rowBegin = load<i32>(item, Item.RowBegin);
  rowEnd = load<i32>(item, Item.RowEnd);
  headDim = load<i32>(task, Task.HeadDim);
  valueDim = load<i32>(task, Task.ValueDim);
  columns = (valueDim + 3) & ~3;
  dtype = load<i32>(task, Task.KvDtype);
  vStride = rowStride(task, Operand.V);
  setBlocks(task, batch, head);
  const rows = rowEnd - rowBegin, panels = <usize>(rows + 7) >> 3, tile = load<i32>(task, Task.Tile);
  const integers = (flags & Flag.Integers) != 0;
  layOut(ws, headDim, valueDim, rows, tile, flags);
  if (flags & BEGIN_FLAGS) beginItem(task, flags, features);
  const qStride = rowStride(task, Operand.Q), scale = f32x4.splat(load<f32>(task, Task.Scale) * LOG2E);
  v128.store(origin, scale, State.L);
  v128.store(origin, scale, State.L + UPPER);
  const q = rowsOf(task, Operand.Q, batch, head) + <usize>rowBegin * qStride;
  prefetch(q, qStride, kPitch, rows);
  for (let p: usize = 0; p < panels; ++p) {
    const to = qPanels + p * (<usize>headDim << 5);
    packPanel(q + (p << 3) * qStride, qStride, to, rows - <i32>(p << 3), headDim, origin + State.L);
    if (integers) packIntegers(p, to);
  }
  memory.fill(oPanels, 0, panels * (<usize>columns << 5));
  memory.fill(states, 0, panels * State.Bytes);
  memory.fill(origin + State.NegativeM, 0, 32);
  if (flags & STATISTIC_FLAGS) memory.fill(sums, 0, panels * PanelSums.Bytes);

  kv = kvHeadOf(task, head);
  const end = min(load<i32>(item, Item.KeyEnd), endKey(sequence, rowEnd - 1));
  const multiple = flags & Flag.IntegerOutputs ? GROUP : 16;
  tileKey = max(load<i32>(item, Item.KeyBegin), firstKey(sequence, rowBegin) / multiple * multiple);
  for (; tileKey < end; tileKey += tile) {
    if (flags & Flag.Blocks) tileKey = firstSeen(rowBegin, rowEnd, tileKey, end) / multiple * multiple;
    tileKeys = min(tile, end - tileKey);
    if (tileKeys <= 0) break;
    kTile = integers ? 0 : sideBySide(task, Operand.K, tileKey, tileKeys, headDim) ? keyRow(task, Operand.K, batch, kv, tileKey) : kRows;
    if (integers) beginIntegers(task, sequence, batch, kv, tileKey, tileKeys);
    if (flags & Flag.IntegerOutputs) beginOutputs(task, sequence, batch, kv, tileKey);
    packed = 0;
    prefetched = false;
    if (flags & BEGIN_FLAGS) beginTile(flags, batch, tileKey, tileKeys, 1);
    const pairs = (flags & (Flag.Pairs | Flag.Blocks)) == Flag.Pairs;
    for (let p: usize = 0; p < panels; ++p) {
      if (pairs && p + 1 < panels && visitPair(p)) ++p;
      else visitPanel(p);
    }
  }
  writeRows(panels);
}
