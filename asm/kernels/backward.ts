// Backward: dQ, dK, dV of the query heads that share one kv head, against a range of keys
// (FlashAttention-2, algorithm 2; five products, nothing transposed in the loops).
//
//   for each query head of the group, each block of up to 256 query rows
//     Q^T, dO^T panels [D][8]; Q, dO as [8 columns][row]; -lse and -delta, delta = rowsum(dO * O) - dLse
//     for each tile of 48 keys
//       for each panel of 8 queries that sees a key of the tile
//         S^T[key][8] = K . Q^T,  dP^T = V . dO^T - delta
//         softcap, bias, masks on S;  P = 2^(S - lse),  dS = P * dP
//         dQ^T[column][8] += K^T . dS^T
//       dV[key] += P^T . dO,  dK[key] += dS^T . Q             rows of P^T and dS^T are the scalars
//
// A thread owns its keys, so dK and dV need no atomics and every sum has one fixed order.
//
// NaN and infinity: a query row whose q, dO, lse or delta is not finite never enters the products
// (its lanes hold zero and P = 0); it is added afterwards, score by score. Masked scores get dS = 0 by
// selection. What is left is a masked k or v that is not finite: it can spoil dQ only, which is tested.
import { Flag, Item, Operand, Task } from "../abi";
import {
  constants, deadPanels, dqT, gC, gT, layOutBlock, outcast, packBlock, panels, qC, qT, rowBegin, rowEnd, stats,
  writeConstants,
} from "./backward_block";
import { exactGradientRow } from "../stages/exact_gradient";
import { biasGradientTile } from "../features/bias";
import { allWhole, endShown, firstShown } from "../features/mask";
import { keyProduct, listRuns, PANELS, RUNS_BYTES } from "./key_gradient";
import { packRows, unpackPanel } from "../micro/pack";
import { PANEL_BYTES, setPanel } from "../micro/panel";
import { endKey, firstKey, rowsOf, rowStride, sequenceOf, taskOf } from "../micro/task";
import { maskScores, SCORE_FLAGS, transformScores } from "../stages/tile_scores";
import {
  BACKWARD_PITCH, blockScoreTile1, blockScoreTile6, probabilityTile, queryTile1, queryTile4, queryTile5,
} from "../micro/tiles.gen";
import { touch } from "../micro/vmath";

/** Keys of a tile: a multiple of six for the register tile and of sixteen for mask rows. */
const TILE: i32 = 48;
const GROUPS: i32 = TILE / 6;
/** The mask's blocks of a tile: 48 / 16 bytes of a word. */
const BLOCKS_OF_TILE: u32 = 0xffffff;

// The item at hand; see forward.ts on module state.
let task: usize = 0, flags: i32 = 0, sequence: usize = 0, batch: i32 = 0, head: i32 = 0;
let keyBegin: i32 = 0, keyEnd: i32 = 0, D: i32 = 0, Dv: i32 = 0, kStride: usize = 0, vStride: usize = 0;
// Bytes from row to row of the tiles of K and V.
let kPitch: usize = 0, vPitch: usize = 0;
// Scratch, in this order, behind that of the block of query rows.
let P: usize = 0, dS: usize = 0, factor: usize = 0, kRows: usize = 0, vRows: usize = 0, spans: usize = 0, runs: usize = 0, panel: usize = 0;
// The blocks of the mask, by panels; see features/mask.ts.
let blocks: usize = 0, blocksStride: usize = 0;
// The tile of keys.
let tileKey: i32 = 0, tileKeys: i32 = 0, kTile: usize = 0, vTile: usize = 0, dkTile: usize = 0, dvTile: usize = 0;
// Whether any panel of the block saw a key of the tile so far.
let entered: bool = false;

/** Bytes of scratch that a backward item with blocks of `rows` rows needs. */
export function backwardScratch(headDim: i32, valueDim: i32, rows: i32): usize {
  layOut(0, headDim, valueDim, rows);
  return panel + PANEL_BYTES;
}

function layOut(ws: usize, headDim: i32, valueDim: i32, rows: i32): void {
  P = layOutBlock(ws, headDim, valueDim, rows);
  dS = P + TILE * BACKWARD_PITCH;
  factor = dS + TILE * BACKWARD_PITCH;
  kRows = factor + TILE * BACKWARD_PITCH;
  vRows = kRows + <usize>TILE * (headDim << 2);
  spans = vRows + <usize>TILE * (valueDim << 2);
  runs = spans + PANELS * 8;
  panel = (runs + <usize>GROUPS * RUNS_BYTES + 15) & ~15;
}

/** A product of keys [from, to) of the tile with one panel, into rows of P or dS. */
function scoreProduct(rows: usize, stride: usize, packed: usize, dst: usize, from: i32, to: i32, n: i32, start: usize): void {
  const keys = to - from, at = rows + <usize>from * stride, out = dst + <usize>from * BACKWARD_PITCH;
  blockScoreTile6(at, packed, out, n, stride, start, keys / 6);
  if (keys % 6 == 0) return;
  if (to >= 6) {
    const last = <usize>(to - 6);
    blockScoreTile6(rows + last * stride, packed, dst + last * BACKWARD_PITCH, n, stride, start, 1);
  } else blockScoreTile1(at, packed, out, n, stride, start, keys);
}

/** x = 0 where S is minus infinity: a masked k, v or dO must not reach dS through 0 * NaN. */
function silenceMasked(p: usize, x: usize, n: i32): void {
  const masked = f32x4.splat(-Infinity);
  for (; n > 0; --n) {
    v128.store(x, v128.andnot(v128.load(x), f32x4.eq(v128.load(p), masked)));
    v128.store(x, v128.andnot(v128.load(x, 16), f32x4.eq(v128.load(p, 16), masked)), 16);
    p += BACKWARD_PITCH;
    x += BACKWARD_PITCH;
  }
}

/** Hides every key from the lanes that take no part: their zeros times an infinite k would be NaN. */
function hideDeadLanes(start: usize): void {
  for (let lane: usize = 0; lane < 32; lane += 4) {
    if (load<f32>(start + lane) == -Infinity) store<i32>(panel + lane, i32.MAX_VALUE);
  }
}

function multiply(p: usize, by: usize, n: i32): void {
  for (; n > 0; --n) {
    v128.store(p, f32x4.mul(v128.load(p), v128.load(by)));
    v128.store(p, f32x4.mul(v128.load(p, 16), v128.load(by, 16)), 16);
    p += BACKWARD_PITCH;
    by += BACKWARD_PITCH;
  }
}

/** dQ^T += K^T . dS^T over n keys: columns in fives and fours, single ones only where D needs them. */
function queryProduct(k: usize, ds: usize, dq: usize, n: i32): void {
  let fours = (4 * D) % 5, fives = (D - 4 * fours) / 5;
  if (D < 4 * fours) {
    fours = D / 4;
    fives = 0;
  }
  const d4 = <usize>(5 * fives), d1 = d4 + <usize>(4 * fours);
  queryTile5(k, ds, dq, n, kPitch, fives);
  queryTile4(k + (d4 << 2), ds, dq + (d4 << 5), n, kPitch, fours);
  queryTile1(k + (d1 << 2), ds, dq + (d1 << 5), n, kPitch, D - <i32>d1);
}

/** Rows of a tile where the products read them: in place, or copied where they lie apart (see forward.ts). */
function tileRows(rows: usize, stride: usize, copy: usize, pitch: usize): usize {
  touch(rows, stride, pitch, tileKeys);
  if (stride == pitch) return rows;
  packRows(rows, stride, copy, tileKeys, pitch);
  return copy;
}

/** Brings the tile near, once a panel needs it. */
function enterTile(): void {
  entered = true;
  kTile = tileRows(kTile, kStride, kRows, kPitch);
  vTile = tileRows(vTile, vStride, vRows, vPitch);
  touch(dkTile, rowStride(task, Operand.Dk), kPitch, tileKeys);
  touch(dvTile, rowStride(task, Operand.Dv), vPitch, tileKeys);
}

/** One panel against the tile: P, dS and dQ. Notes the span of keys it computed. */
function visitPanel(p: i32): void {
  const span = spans + (<usize>p << 3);
  store<u64>(span, 0);
  const first = rowBegin + (p << 3), row = blocks + <usize>(first >> 3) * blocksStride + <usize>(tileKey >> 4);
  if (flags & Flag.Mask && (load<u32>(row) & BLOCKS_OF_TILE) == 0) return;
  const last = min(first + 7, rowEnd - 1);
  let from = max(0, firstKey(sequence, first) - tileKey), to = min(tileKeys, endKey(sequence, last) - tileKey);
  const start = stats + (<usize>p << 6), dead = (deadPanels >> p & 1) != 0;
  if (flags & Flag.Mask) {
    from = firstShown(row, from, to);
    to = endShown(row, from, to);
  }
  if (from >= to) return;
  from = from / 6 * 6; // whole groups of six keys; the mask takes out what is too much
  to = min(tileKeys, (to + 5) / 6 * 6);
  // dead lanes: the elementwise band hides every key from them
  const openFrom = dead ? to : firstKey(sequence, last) - tileKey - from, openTo = endKey(sequence, first) - tileKey - from;
  const mixed = (flags & Flag.Mask) != 0 && !allWhole(row, from, to), masked = mixed || openFrom > 0 || openTo < to - from;
  const active = mixed ? flags : flags & ~Flag.Mask;
  if (masked || active) setPanel(panel, task, active, sequence, batch, head, first, rowEnd);
  if (dead) hideDeadLanes(start);
  if (!entered) enterTile();
  store<i32>(span, from);
  store<i32>(span, to, 4);

  const n = to - from, at = <usize>from * BACKWARD_PITCH + (<usize>p << 5), s = P + at, w = dS + at, f = factor + at;
  // from zero, not from -lse: partial sums as large as lse would round away what the scores say
  scoreProduct(kTile, kPitch, qT + <usize>p * (<usize>D << 5), P + (<usize>p << 5), from, to, D, constants);
  scoreProduct(vTile, vPitch, gT + <usize>p * (<usize>Dv << 5), dS + (<usize>p << 5), from, to, Dv, start + 32);
  if (flags & SCORE_FLAGS) {
    transformScores(task, flags, s, BACKWARD_PITCH, n, tileKey + from, panel, 2, flags & Flag.Softcap ? f : 0);
  }
  const hidden = masked && maskScores(active, s, BACKWARD_PITCH, n, tileKey + from, panel, 2, openFrom, openTo);
  if (hidden || flags & Flag.Bias) {
    silenceMasked(s, w, n);
    if (flags & Flag.Softcap) silenceMasked(s, f, n);
  }
  probabilityTile(s, w, n, start);
  if (flags & Flag.BiasGradient) biasGradient(w, n, tileKey + from, first);
  if (flags & Flag.Softcap) multiply(w, f, n);
  queryProduct(kTile + <usize>from * kPitch, w, dqT + <usize>p * (<usize>D << 5), n);
}

function biasGradient(ds: usize, n: i32, key: i32, first: i32): void {
  const rows = rowsOf(task, Operand.DBias, batch, head), stride = rowStride(task, Operand.DBias);
  const addresses = constants + 64;
  for (let g = 0; g < 8 && first + g < rowEnd; g += 4) {
    for (let i: usize = 0; i < 4; ++i) store<usize>(addresses + (i << 2), rows + (<usize>(first + g) + i) * stride);
    biasGradientTile(ds + (<usize>g << 2), BACKWARD_PITCH, n, key, addresses, min(4, rowEnd - first - g));
  }
}

/** All keys of the item that the block sees. */
function visitTiles(kv: i32): void {
  const k = rowsOf(task, Operand.K, batch, kv), v = rowsOf(task, Operand.V, batch, kv);
  const dkStride = rowStride(task, Operand.Dk), dvStride = rowStride(task, Operand.Dv);
  const dk = rowsOf(task, Operand.Dk, batch, kv), dv = rowsOf(task, Operand.Dv, batch, kv);
  const end = min(keyEnd, endKey(sequence, rowEnd - 1)), begin = max(keyBegin, firstKey(sequence, rowBegin));
  for (tileKey = keyBegin + (begin - keyBegin) / TILE * TILE; tileKey < end; tileKey += TILE) {
    tileKeys = min(TILE, end - tileKey);
    kTile = k + <usize>tileKey * kStride;
    vTile = v + <usize>tileKey * vStride;
    dkTile = dk + <usize>tileKey * dkStride;
    dvTile = dv + <usize>tileKey * dvStride;
    entered = false;
    for (let p = 0; p < panels; ++p) visitPanel(p);
    if (!entered) continue;
    listRuns(spans, panels, tileKeys, runs);
    keyProduct(runs, panels, tileKeys, P, gC, dvTile, dvStride, Dv);
    keyProduct(runs, panels, tileKeys, dS, qC, dkTile, dkStride, D);
  }
}

/** dQ rows of the block, and the rows that were cast out. `slot` -1 is dQ itself, others hold a partial sum. */
function writeRows(slot: i32): void {
  const target = slot >= 0 ? Operand.PartOut : Operand.Dq, stride = rowStride(task, target);
  const dq = rowsOf(task, target, batch, head) + (slot > 0 ? <usize>slot * load<usize>(task, Task.PartOutBytes) : 0);
  for (let p = 0; p < panels; ++p) {
    const first = rowBegin + (p << 3), rows = min(8, rowEnd - first);
    const bad = unpackPanel(dqT + <usize>p * (<usize>D << 5), constants + 32, dq + <usize>first * stride, stride, rows, D);
    for (let i = 0; i < rows; ++i) {
      const out = outcast((p << 3) + i);
      if (out || bad >> i & 1) exactGradientRow(task, batch, head, first + i, keyBegin, keyEnd, dq + <usize>(first + i) * stride, out);
    }
  }
}

/** Clears the rows of dK or dV that the item owns, padding up to four columns included. */
function clearKeys(operand: i32, kv: i32, n: i32): void {
  const stride = rowStride(task, operand);
  let row = rowsOf(task, operand, batch, kv) + <usize>keyBegin * stride;
  for (let j = keyBegin; j < keyEnd; ++j, row += stride) memory.fill(row, 0, <usize>((n + 3) & ~3) << 2);
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
  blocksStride = rowStride(task, Operand.MaskBlocks);
  kPitch = <usize>D << 2;
  vPitch = <usize>Dv << 2;
  const kv = load<i32>(item, Item.Head), group = load<i32>(task, Task.GroupSize), block = load<i32>(task, Task.Tile);
  const from = load<i32>(item, Item.RowBegin), to = load<i32>(item, Item.RowEnd), slot = load<i32>(item, Item.Slot);
  layOut(ws, D, Dv, block);
  if (!(load<i32>(task, Task.Flags) & Flag.Accumulate)) {
    clearKeys(Operand.Dk, kv, D);
    clearKeys(Operand.Dv, kv, Dv);
  }
  writeConstants(load<f32>(task, Task.Scale));
  for (head = kv * group; head < (kv + 1) * group; ++head) {
    blocks = rowsOf(task, Operand.MaskBlocks, batch, head);
    for (let begin = from; begin < to; begin += block) {
      packBlock(task, batch, head, begin, min(begin + block, to));
      visitTiles(kv);
      writeRows(slot);
    }
  }
}
