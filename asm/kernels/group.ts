// Decode of query rows that fill panels: eight rows of a kv group in the lanes of S^T[key][8], as in forward,
// and K and V as they lie. Rows are few, so V^T is not packed: O^T[column][8] += V^T . P^T reads V in place.
//
//   rows r = (query head of the group, query), eight to a panel
//   for each block of keys
//     for each panel
//       S^T[key][8] = K . Q^T - m
//       features of scores, those that hide;  online softmax, lazily rescaled;  features of P
//       O^T[column][8] += V^T . P^T
//   out = O / l, lse; or the same of one split
import { DTypeCode, Item, Task } from "../abi";
import { packPanel, unpackPanel } from "../micro/pack";
import { bringRows, keyRow, rowsAhead } from "../micro/pages";
import { Panel, PanelSums, State, UPPER } from "../micro/records";
import { lseOf } from "../micro/rows";
import { endKey, firstKey, rowAt, rowStride, sequenceOf, taskOf } from "../micro/task";
import { FORWARD_PITCH } from "../micro/tiles.gen";
import { LOG2E, prefetch } from "../micro/vmath";
import { hideScores } from "../stages/hide";
import { setLane } from "../stages/panel";
import { lostRow, repairRow } from "../stages/repair";
import { beginMaximum, scoreMore } from "../stages/score_run";
import {
  BEGIN_FLAGS, beginItem, beginTile, BENT_FLAGS, fades, HIDE_FLAGS, hideAll, PANEL_BYTES, PROBABILITY_FLAGS,
  probabilityTiles, SCORE_FLAGS, scoreTiles,
} from "../stages/scores.gen";
import { finish, rebase, rescan, softmaxTile } from "../stages/softmax";
import { addLogit, addsLogits } from "../stages/state";
import { finishRow, STATISTIC_FLAGS, writeRow, writeSplit } from "../stages/statistics";
import { Operand } from "../tables.gen";
import { rowsProduct } from "./query_gradient";

let task: usize = 0, flags: i32 = 0, owner: bool = false, batch: i32 = 0, kv: i32 = 0, D: i32 = 0, Dv: i32 = 0, plain: bool = false;
let rows: i32 = 0, lengthQ: i32 = 0, panels: i32 = 0, slot: i32 = 0;
let queries: usize = 0, outputs: usize = 0, scores: usize = 0, states: usize = 0, sums: usize = 0, lanes: usize = 0, origin: usize = 0;
let kRows: usize = 0, vRows: usize = 0, added: usize = 0, features: usize = 0;
// Rows of K and V of the block at hand; 0 where they are read piece by piece.
let kAt: usize = 0, kPitch: usize = 0, vAt: usize = 0, vPitch: usize = 0, pitch: usize = 0;

/** Bytes of scratch for `count` query rows (query heads of a group times queries). */
export function groupScratch(headDim: i32, valueDim: i32, count: i32, block: i32): usize {
  layOut(0, headDim, valueDim, count, block);
  return features;
}

function layOut(ws: usize, headDim: i32, valueDim: i32, count: i32, block: i32): void {
  const n = <usize>(count + 7) >> 3;
  queries = ws;
  outputs = queries + (n * <usize>headDim << 5);
  scores = outputs + (n * <usize>valueDim << 5);
  states = scores + <usize>(block + 8) * FORWARD_PITCH;
  sums = states + n * State.Bytes;
  lanes = sums + n * PanelSums.Bytes;
  origin = lanes + n * PANEL_BYTES;
  kRows = origin + State.Bytes;
  vRows = kRows + (<usize>(max(block, 8) * headDim) << 2);
  added = vRows + (<usize>(max(block, 8) * valueDim) << 2);
  features = (added + (<usize>valueDim << 5) + 63) & ~63;
}

// @ts-ignore: decorator
@inline
function headOf(r: i32): i32 {
  return kv * load<i32>(task, Task.GroupSize) + r / lengthQ;
}

/** Panels of queries times scale * log2 e, and what each lane may see; lanes past the end repeat the last row. */
function packRows(sequence: usize): void {
  const scale = f32x4.splat(load<f32>(task, Task.Scale) * LOG2E), row = <usize>D << 2;
  memory.fill(origin, 0, State.Bytes);
  v128.store(origin, scale, State.L);
  v128.store(origin, scale, State.L + UPPER);
  for (let p = 0; p < panels; ++p) {
    const first = p << 3, n = min(8, rows - first);
    for (let lane = 0; lane < 8; ++lane) {
      const r = min(first + lane, rows - 1), i = r % lengthQ;
      setLane(lanes + <usize>p * PANEL_BYTES, <usize>lane, task, flags, sequence, batch, headOf(r), i);
      if (lane < n) memory.copy(kRows + <usize>lane * row, rowAt(task, Operand.Q, batch, headOf(r), i), row);
    }
    packPanel(kRows, row, queries + (<usize>(p * D) << 5), n, D, origin + State.L);
  }
}

/** Rows [j, j + n) of K or V in one piece, as they lie or brought together; 0 where the only panel reads them piece by piece. */
function pieceOf(operand: i32, j: i32, n: i32, columns: i32, to: usize): usize {
  const stride = rowStride(task, operand), row = <usize>columns << 2;
  pitch = stride;
  if (plain) {
    if (rowsAhead(task, j, n) == n) {
      const at = keyRow(task, operand, batch, kv, j);
      prefetch(at, stride, row, n);
      return at;
    }
    if (panels == 1) return 0;
  }
  bringRows(task, operand, batch, kv, j, n, to, columns);
  pitch = row;
  return to;
}

/** From scores to probabilities of n keys of panel p. */
function settle(p: usize, j0: i32, n: i32): void {
  const o = outputs + p * (<usize>Dv << 5), state = states + p * State.Bytes, panel = lanes + p * PANEL_BYTES;
  const sum = flags & STATISTIC_FLAGS ? sums + p * PanelSums.Bytes : 0;
  let fullBegin = 0, fullEnd = n;
  for (let lane: usize = 0; lane < 32; lane += 4) {
    fullBegin = max(fullBegin, load<i32>(panel + lane, Panel.Low) - j0);
    fullEnd = min(fullEnd, load<i32>(panel + lane, Panel.High) + 1 - j0);
  }
  if (flags & SCORE_FLAGS) scoreTiles(task, flags, scores, FORWARD_PITCH, n, j0, panel, 2, 0, 0);
  const hidden = hideScores(task, flags, scores, FORWARD_PITCH, n, j0, panel, 2, fullBegin, fullEnd);
  if (flags & SCORE_FLAGS) rebase(scores, n, state, o, Dv, fades(flags), sum);
  else if (hidden) rescan(scores, n, state);
  softmaxTile(scores, n, state, o, Dv, sum, j0);
  if (flags & PROBABILITY_FLAGS) probabilityTiles(task, flags, scores, FORWARD_PITCH, n, j0, panel, 2, 0, 0);
}

/** S^T - m of n keys from key j0 on with panel p. */
function scoreKeys(p: usize, j0: i32, n: i32): void {
  const q = queries + p * (<usize>D << 5), start = flags & SCORE_FLAGS ? origin : states + p * State.Bytes;
  beginMaximum(start);
  if (kAt) return scoreMore(kAt, kPitch, q, scores, n, D, start);
  for (let j = 0, m = 0; j < n; j += m) {
    m = rowsAhead(task, j0 + j, n - j);
    const at = keyRow(task, Operand.K, batch, kv, j0 + j);
    prefetch(at, kPitch, <usize>D << 2, m);
    scoreMore(at, kPitch, q, scores + <usize>(j * FORWARD_PITCH), m, D, start);
  }
}

/** O^T of panel p += V^T . P^T of the same keys, summed by themselves first: shorter sums are rounded less. */
function addValues(p: usize, j0: i32, n: i32): void {
  const bytes = <usize>Dv << 5;
  memory.fill(added, 0, bytes);
  weighValues(j0, n, added);
  for (let x = added, o = outputs + p * bytes, end = added + bytes; x < end; x += 32, o += 32) {
    v128.store(o, f32x4.add(v128.load(o), v128.load(x)));
    v128.store(o, f32x4.add(v128.load(o, UPPER), v128.load(x, UPPER)), UPPER);
  }
}

/** V^T . P^T of n keys from key j0 on, added to what is at o. */
function weighValues(j0: i32, n: i32, o: usize): void {
  if (vAt) return rowsProduct(vAt, vPitch, scores, FORWARD_PITCH, o, Dv, n);
  for (let j = 0, m = 0; j < n; j += m) {
    m = rowsAhead(task, j0 + j, n - j);
    const at = keyRow(task, Operand.V, batch, kv, j0 + j);
    prefetch(at, vPitch, <usize>Dv << 2, m);
    rowsProduct(at, vPitch, scores + <usize>(j * FORWARD_PITCH), FORWARD_PITCH, o, Dv, m);
  }
}

/** Keys [j0, j0 + n) for every panel. */
function visitBlock(j0: i32, n: i32): void {
  if (flags & BEGIN_FLAGS) beginTile(flags, batch, j0, n, 1);
  kAt = pieceOf(Operand.K, j0, n, D, kRows);
  kPitch = pitch;
  vAt = pieceOf(Operand.V, j0, n, Dv, vRows);
  vPitch = pitch;
  for (let p = 0; p < panels; ++p) {
    if (flags & HIDE_FLAGS && hideAll(flags, lanes + <usize>p * PANEL_BYTES, min(8, rows - (p << 3)), j0, j0 + n)) continue;
    scoreKeys(p, j0, n);
    settle(p, j0, n);
    addValues(p, j0, n);
  }
}

/** Statistics of row r, or those of one split; see decode.ts. */
function writeStatistics(r: i32, i: i32, head: i32, l: f32, f: f32): void {
  const at = sums + <usize>(r >> 3) * PanelSums.Bytes + (<usize>(r & 7) << 2), exact = owner || l == 0 ? <f64>f : 1 / <f64>l;
  finishRow(l, exact, at + PanelSums.PS, at + PanelSums.Top, at + PanelSums.PJ);
  if (slot >= 0) writeSplit(task, slot, batch, head, i, <f64>l * exact);
  else writeRow(task, flags, batch, head, i);
}

/** out and lse of every row, or those of one split. */
function writeRows(): void {
  const split = slot >= 0, target = split ? Operand.SplitOut : Operand.Out, targetLse = split ? Operand.SplitLse : Operand.Lse;
  const shift = split ? <usize>slot * load<usize>(task, Task.SplitOutBytes) : 0, row = <usize>Dv << 2;
  const lseShift = split ? <usize>slot * load<usize>(task, Task.SplitLseBytes) : 0;
  for (let p = 0; p < panels; ++p) {
    const first = p << 3, n = min(8, rows - first), state = states + <usize>p * State.Bytes;
    finish(state);
    for (let lane = 0; lane < n; ++lane) {
      const r = first + lane, i = r % lengthQ, head = headOf(r), at = state + (<usize>lane << 2);
      const l = load<f32>(at, State.L), m = load<f32>(at, State.NegativeM);
      const lse = owner ? addLogit(task, flags, batch, head, i, l, m, at + State.T) : lseOf(l, m, (flags & BENT_FLAGS) != 0);
      store<f32>(rowAt(task, targetLse, batch, head, i) + lseShift, lse);
      if (flags & STATISTIC_FLAGS) writeStatistics(r, i, head, l, load<f32>(at, State.T));
    }
    const lost = unpackPanel(outputs + <usize>(p * Dv << 5), state + State.T, vRows, row, n, Dv);
    for (let lane = 0; lane < n; ++lane) {
      const i = (first + lane) % lengthQ, head = headOf(first + lane);
      memory.copy(rowAt(task, target, batch, head, i) + shift, vRows + <usize>lane * row, row);
      if (split) continue;
      const lse = load<f32>(rowAt(task, targetLse, batch, head, i));
      if (lost >> lane & 1 || lostRow(task, batch, head, i, lse)) repairRow(task, batch, head, i);
    }
  }
}

export function groupItem(item: usize, ws: usize): void {
  task = taskOf(item);
  flags = load<i32>(task, Task.Flags);
  slot = load<i32>(item, Item.Slot);
  owner = addsLogits(flags, slot);
  batch = load<i32>(item, Item.Batch);
  kv = load<i32>(item, Item.Head);
  D = load<i32>(task, Task.HeadDim);
  Dv = load<i32>(task, Task.ValueDim);
  plain = load<i32>(task, Task.KvDtype) == DTypeCode.F32;
  lengthQ = load<i32>(task, Task.LengthQ);
  rows = lengthQ * load<i32>(task, Task.GroupSize);
  panels = (rows + 7) >> 3;
  const sequence = sequenceOf(task, batch), block = load<i32>(task, Task.Tile);
  layOut(ws, D, Dv, rows, block);
  if (flags & BEGIN_FLAGS) beginItem(task, flags, features);
  memory.fill(outputs, 0, <usize>(panels * Dv) << 5);
  memory.fill(states, 0, <usize>panels * State.Bytes);
  if (flags & STATISTIC_FLAGS) memory.fill(sums, 0, <usize>panels * PanelSums.Bytes);
  packRows(sequence);
  const end = min(load<i32>(item, Item.KeyEnd), endKey(sequence, lengthQ - 1));
  for (let j0 = max(load<i32>(item, Item.KeyBegin), firstKey(sequence, 0) & ~15); j0 < end; j0 += block) {
    visitBlock(j0, min(block, end - j0));
  }
  writeRows();
}
