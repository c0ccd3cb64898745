// Decode: few query rows against many keys. All query rows that share a kv head are one item, so each
// byte of K and V is read once, in address order; long key ranges are cut into KV splits that are combined
// (flash-decoding). Calls whose rows fill panels of eight, unless of bytes: see group.ts.
//
//   rows r = (query head of the group, query), four to a quad, in the lanes of S[key][4]
//   for each block of keys
//     for each quad
//       S[key][4] = K rows . q rows                     columns in lanes, one 4x4 transpose per key
//       features of scores, those that hide;  online softmax, lazily rescaled;  features of P
//       O[row][columns] += P[key][row] V[key][columns]  O stays in the first-level cache
//   out = O / l, lse; or the same of one split
import { DTypeCode, Item, PanelBlock, Task } from "../abi";
import { Operand } from "../tables.gen";
import { bringRows, keyRow, rowsAhead } from "../micro/pages";
import { QuadState, QuadSums } from "../micro/records";
import { finite, lseOf } from "../micro/rows";
import { endKey, firstKey, rowAt, rowStride, sequenceOf, taskOf } from "../micro/task";
import { LOG2E, prefetch } from "../micro/vmath";
import { addSums, packQuery, packWeights, scoreIntegers, sumBytes, weighValues } from "../stages/bytes";
import { outputRows, scoreRows } from "../stages/floats";
import { factorOf, fitsFactor, gatherRow, outputHalves, scoreHalves, spreadRows, widenable } from "../stages/halves";
import { hideScores } from "../stages/hide";
import { setLane } from "../stages/panel";
import { lostRow, repairRow } from "../stages/repair";
import {
  BEGIN_FLAGS, beginItem, beginTile, BENT_FLAGS, fades, HIDE_FLAGS, hideAll, PANEL_BYTES, PROBABILITY_FLAGS,
  probabilityTiles, SCORE_FLAGS, scoreTiles,
} from "../stages/scores.gen";
import { softmaxQuad } from "../stages/softmax_quad";
import { addLogit, addsLogits } from "../stages/state";
import { finishRow, STATISTIC_FLAGS, writeRow, writeSplit } from "../stages/statistics";
import { groupItem, groupScratch } from "./group";

/** Keys whose pairs are looked at together, where features hide some. */
const CHUNK: i32 = 64;
/** The same where features are told of tiles: what they keep of a tile stays in the caches. */
const TOLD: i32 = 384;
/** Rows of K or V that are brought together at a time, as float32: they stay in the first-level cache. */
const WIDE_ROWS: i32 = 32;
/** Keys of a block whose 16-bit rows are widened once for several quads. */
const SHARED_ROWS: i32 = 64;
/**
 * Rows of bytes in one piece that are a stream. measured on an AMD EPYC (family 25 model 1), D 128, 32 heads over 8, one thread, by
 * turns: V touched between the products of K instead of all at once 1.09 to 1.12, in pieces of 16 rows 0.93; those are faster
 * when K, too, is touched at once: 1.09 to 1.14.
 */
const STREAM: i32 = 32;
/** How far ahead of the tile memory is prefetched, in bytes of K and of V. */
const K_AHEAD: usize = 1024;
const V_AHEAD: usize = 2048;

let task: usize = 0, flags: i32 = 0, owner: bool = false, batch: i32 = 0, kv: i32 = 0, D: i32 = 0, Dv: i32 = 0, dtype: i32 = 0, end: i32 = 0;
let rows: i32 = 0, lengthQ: i32 = 0, qPitch: usize = 0, oPitch: usize = 0;
let queries: usize = 0, outputs: usize = 0, scores: usize = 0, states: usize = 0, panels: usize = 0, sums: usize = 0, wide: usize = 0, features: usize = 0;
// Rows of K and V as float32 of the block at hand, where quads share them, and its first key.
let shared: bool = false, sharedK: usize = 0, sharedV: usize = 0, sharedKey: i32 = 0;
// Rows of bytes: queries and weights as integers, what units of the queries are worth, sums of a quad's outputs.
let integers: usize = 0, units: usize = 0, weights: usize = 0, totals: usize = 0, iPitch: usize = 0, tPitch: usize = 0;
// The rows of K or V that are read next: see nextRows. `halves`: the item's tiles widen 16-bit floats; `asStored`: these rows.
let rowsAt: usize = 0, rowsStride: usize = 0, rowsAheadAt: usize = 0, halves: bool = false, asStored: bool = false;

/** Bytes of scratch for `rows` query rows (query heads of a group times queries). */
export function decodeScratch(headDim: i32, valueDim: i32, rows: i32, block: i32): usize {
  layOut(0, headDim, valueDim, rows, block);
  return block == PanelBlock.Keys ? groupScratch(headDim, valueDim, rows, block) : features;
}

function layOut(ws: usize, headDim: i32, valueDim: i32, rows: i32, block: i32): void {
  const quads = <usize>(rows + 3) >> 2;
  qPitch = <usize>((headDim + 3) & ~3) << 2;
  oPitch = <usize>((valueDim + 3) & ~3) << 2;
  queries = ws;
  outputs = queries + (quads * qPitch << 2);
  scores = outputs + (quads * oPitch << 2);
  states = scores + (<usize>block << 4);
  panels = states + quads * QuadState.Bytes;
  sums = panels + quads * PANEL_BYTES;
  wide = sums + quads * QuadSums.Bytes;
  sharedK = wide + <usize>WIDE_ROWS * (<usize>max(headDim, valueDim) + 8 << 2);
  sharedV = sharedK + (rows > 4 ? <usize>SHARED_ROWS * (<usize>headDim << 2) : 0);
  integers = sharedV + (rows > 4 ? <usize>SHARED_ROWS * (<usize>valueDim << 2) : 0);
  iPitch = <usize>((headDim + 7) & ~7) << 1;
  tPitch = <usize>((valueDim + 7) & ~7) << 2;
  units = integers + (quads * iPitch << 2);
  weights = units + (quads << 4);
  totals = weights + (<usize>(block + 1) << 3);
  features = (totals + (tPitch << 2) + 63) & ~63;
}

// @ts-ignore: decorator
@inline
function headOf(r: i32): i32 {
  return kv * load<i32>(task, Task.GroupSize) + r / lengthQ;
}

/** Query rows times scale * log2 e, and what each lane may see. Lanes past the end repeat the last row's panel. */
function packRows(sequence: usize): void {
  const s = load<f32>(task, Task.Scale) * LOG2E, lanes = (rows + 3) & ~3;
  memory.fill(queries, 0, <usize>lanes * qPitch);
  if (dtype == DTypeCode.I8) memory.fill(integers, 0, weights - integers);
  for (let r = 0; r < lanes; ++r) {
    const row = min(r, rows - 1), i = row % lengthQ, state = states + <usize>(r >> 2) * QuadState.Bytes;
    setLane(panels + <usize>(r >> 2) * PANEL_BYTES, r & 3, task, flags, sequence, batch, headOf(row), i);
    if ((r & 3) == 0) {
      store<i32>(state, 0, QuadState.FullBegin);
      store<i32>(state, i32.MAX_VALUE, QuadState.FullEnd);
    }
    store<i32>(state, max(load<i32>(state, QuadState.FullBegin), firstKey(sequence, i)), QuadState.FullBegin);
    store<i32>(state, min(load<i32>(state, QuadState.FullEnd), endKey(sequence, i)), QuadState.FullEnd);
    if (r >= rows) continue;
    const q = rowAt(task, Operand.Q, batch, headOf(r), i), dst = queries + <usize>r * qPitch;
    for (let d: usize = 0; d < <usize>D << 2; d += 4) store<f32>(dst + d, load<f32>(q + d) * s);
    if (dtype == DTypeCode.I8) store<f32>(units + (<usize>r << 2), packQuery(dst, integers + <usize>r * iPitch, D));
  }
  if (halves) spreadRows(queries, lanes, D, factorOf(dtype));
}

/** Whether tiles can widen rows of K and V: not where several quads share what is widened, or where a factor may not fit. */
function takesHalves(): bool {
  if (dtype != DTypeCode.F16 && dtype != DTypeCode.BF16 || rows > 4 || (D | Dv) & 7 || flags & PROBABILITY_FLAGS) return false;
  const s = load<f32>(task, Task.Scale) * LOG2E;
  for (let r = 0; r < rows; ++r) if (!fitsFactor(rowAt(task, Operand.Q, batch, headOf(r), r % lengthQ), D, s)) return false;
  return true;
}

/** Where to prefetch while the n rows from row j on are read: a little ahead, in the next page at its end, never past `to`. */
function aheadOf(operand: i32, rows: usize, stride: usize, j: i32, n: i32, to: i32): usize {
  const left = rowsAhead(task, j, to - j) - n, next = j + n;
  if (left > 0) return rows + min(operand == Operand.K ? K_AHEAD : V_AHEAD, <usize>left * stride);
  return next < to && rowsAhead(task, next, n) == n ? keyRow(task, operand, batch, kv, next) : rows;
}

/**
 * Finds rows from row j on that can be read together, up to n of them; how many. Rows are read where they lie, or, where
 * tiles cannot widen them or few lie together, brought together a few at a time.
 */
function nextRows(operand: i32, j: i32, n: i32): i32 {
  const columns = operand == Operand.K ? D : Dv, bytes = dtype == DTypeCode.I8;
  if (shared) {
    rowsStride = <usize>columns << 2;
    rowsAt = rowsAheadAt = (operand == Operand.K ? sharedK : sharedV) + <usize>(j - sharedKey) * rowsStride;
    return n;
  }
  rowsStride = rowStride(task, operand);
  let m = bytes || dtype == DTypeCode.F32 ? rowsAhead(task, j, n) : 0;
  if (m < n) m &= bytes ? ~1 : ~3; // tiles take two or four keys at once: the same ones, wherever pages end
  if (m > 0) {
    rowsAt = keyRow(task, operand, batch, kv, j);
    rowsAheadAt = aheadOf(operand, rowsAt, rowsStride, j, m, end);
    return m;
  }
  m = min(WIDE_ROWS, n);
  if (halves) {
    let run = rowsAhead(task, j, m);
    if (run < n) run &= ~3; // see above
    rowsAt = keyRow(task, operand, batch, kv, j);
    asStored = run > 0 && widenable(rowsAt, rowsStride, run, columns, dtype);
    if (asStored) return run;
  }
  rowsAt = rowsAheadAt = wide;
  if (bytes) {
    for (let i = 0; i < m; ++i) memory.copy(wide + <usize>i * rowsStride, keyRow(task, operand, batch, kv, j + i), rowsStride);
  } else {
    bringRows(task, operand, batch, kv, j, m, wide, columns);
    rowsStride = <usize>columns << 2;
    if (halves) spreadRows(wide, m, columns, operand == Operand.K ? 1 / factorOf(dtype) : 1);
  }
  return m;
}

/** S of n keys from key j on with a quad of queries. */
function scoreKeys(quad: i32, j: i32, n: i32, lanes: i32): void {
  const q = queries + (<usize>quad * qPitch << 2), x = integers + (<usize>quad * iPitch << 2);
  for (let sp = scores; n > 0;) {
    const m = nextRows(Operand.K, j, n);
    if (dtype == DTypeCode.I8) scoreBytes(x, sp, j, m, lanes, units + (<usize>quad << 4), quad == 0);
    else if (asStored) scoreHalves(rowsAt, rowsStride, q, qPitch, sp, m, D, lanes, dtype);
    else scoreRows(rowsAt, rowsStride, q, qPitch, sp, m, D, lanes, rowsAheadAt);
    j += m;
    n -= m;
    sp += <usize>m << 4;
  }
}

/** Whether n rows of bytes lie in one piece that is a stream: their rows of V are touched while those of K are multiplied. */
// @ts-ignore: decorator
@inline
function isStream(n: i32): bool {
  return n >= STREAM && D >= 32 && rowsAt != wide;
}

/** The same of rows of bytes that are read together. `first`: by the first quad, for which memory is touched. */
function scoreBytes(x: usize, sp: usize, j: i32, n: i32, lanes: i32, unit: usize, first: bool): void {
  const columns = <usize>((D + 7) & ~7), ahead = first && isStream(n);
  if (first && !ahead) prefetch(rowsAt, rowsStride, rowsStride, n);
  const t = ahead ? keyRow(task, Operand.V, batch, kv, j) : x, step = ahead ? 2 * rowStride(task, Operand.V) / (columns >> 5) : 0;
  scoreIntegers(rowsAt, rowsStride, x, iPitch, sp, n, columns, lanes, unit, t, step);
}

/** O of a quad += P . V of n keys from key j on. */
function addValues(o: usize, j: i32, n: i32, lanes: i32): void {
  if (dtype == DTypeCode.I8) return addBytes(o, j, n, lanes);
  for (let p = scores; n > 0;) {
    const m = nextRows(Operand.V, j, n);
    if (asStored) outputHalves(rowsAt, rowsStride, p, o, oPitch, m, Dv, lanes, dtype);
    else outputRows(rowsAt, rowsStride, p, o, oPitch, m, Dv, lanes, rowsAheadAt);
    j += m;
    n -= m;
    p += <usize>m << 4;
  }
}

/** The same of rows of bytes. */
function addBytes(o: usize, j: i32, n: i32, lanes: i32): void {
  let most = f32x4.splat(0);
  for (let i = 0; i < n;) {
    const m = nextRows(Operand.V, j + i, n - i);
    if (!isStream(m)) prefetch(rowsAt, rowsStride, rowsStride, m); // in address order: the product walks all rows for each few columns
    most = weighValues(scores + (<usize>i << 4), rowsAt, rowsStride, m, most);
    i += m;
  }
  packWeights(scores, n, most, weights);
  memory.fill(totals, 0, tPitch << 2);
  for (let i = 0; i < n;) {
    const m = nextRows(Operand.V, j + i, n - i);
    sumBytes(rowsAt, rowsStride, weights + (<usize>i << 3), totals, tPitch, m, lanes);
    i += m;
  }
  v128.store(scores, most);
  for (let r = 0; r < lanes; ++r) addSums(totals + <usize>r * tPitch, o + <usize>r * oPitch, Dv, load<f32>(scores + (<usize>r << 2)));
}

/** Keys [j0, j0 + n) for every quad. */
function visitBlock(j0: i32, n: i32): void {
  if (flags & BEGIN_FLAGS) beginTile(flags, batch, j0, n, 2);
  if (shared) {
    bringRows(task, Operand.K, batch, kv, j0, n, sharedK, D);
    bringRows(task, Operand.V, batch, kv, j0, n, sharedV, Dv);
    sharedKey = j0;
  }
  for (let quad = 0; quad << 2 < rows; ++quad) {
    const lanes = min(4, rows - (quad << 2)), panel = panels + <usize>quad * PANEL_BYTES, state = states + <usize>quad * QuadState.Bytes;
    const o = outputs + (<usize>quad * oPitch << 2);
    if (flags & HIDE_FLAGS && hideAll(flags, panel, lanes, j0, j0 + n)) continue;
    scoreKeys(quad, j0, n, lanes);
    if (flags & SCORE_FLAGS) scoreTiles(task, flags, scores, 16, n, j0, panel, 1, 0, 0);
    const fullBegin = load<i32>(state, QuadState.FullBegin) - j0, fullEnd = load<i32>(state, QuadState.FullEnd) - j0;
    hideScores(task, flags, scores, 16, n, j0, panel, 1, fullBegin, fullEnd);
    softmaxQuad(scores, n, state, o, oPitch, fades(flags), flags & STATISTIC_FLAGS ? sums + <usize>quad * QuadSums.Bytes : 0, j0);
    if (flags & PROBABILITY_FLAGS) probabilityTiles(task, flags, scores, 16, n, j0, panel, 1, 0, 0);
    addValues(o, j0, n, lanes);
  }
}

/** Statistics of row r, or those of one split; f: the factor of its outputs. */
function writeStatistics(r: i32, i: i32, head: i32, slot: i32, l: f32, f: f32): void {
  const at = sums + <usize>(r >> 2) * QuadSums.Bytes + (<usize>(r & 3) << 2), exact = owner || l == 0 ? <f64>f : 1 / <f64>l;
  finishRow(l, exact, at + QuadSums.PS, at + QuadSums.Top, at + QuadSums.PJ);
  if (slot >= 0) writeSplit(task, slot, batch, head, i, <f64>l * exact);
  else writeRow(task, flags, batch, head, i);
}

/** out and lse of every row, or those of one split. */
function writeRows(slot: i32): void {
  const split = slot >= 0, target = split ? Operand.SplitOut : Operand.Out, targetLse = split ? Operand.SplitLse : Operand.Lse;
  const shift = split ? <usize>slot * load<usize>(task, Task.SplitOutBytes) : 0;
  const lseShift = split ? <usize>slot * load<usize>(task, Task.SplitLseBytes) : 0;
  for (let r = 0; r < rows; ++r) {
    const i = r % lengthQ, head = headOf(r), lane = states + <usize>(r >> 2) * QuadState.Bytes + (<usize>(r & 3) << 2);
    const l = load<f32>(lane, QuadState.L), m = load<f32>(lane, QuadState.NegativeM), o = outputs + <usize>r * oPitch;
    store<f32>(lane, l == 0 ? 0 : 1 / l, QuadState.L); // the factor of the outputs
    const lse = owner ? addLogit(task, flags, batch, head, i, l, m, lane + QuadState.L) : lseOf(l, m, (flags & BENT_FLAGS) != 0);
    const f = load<f32>(lane, QuadState.L);
    const out = rowAt(task, target, batch, head, i) + shift;
    if (halves) gatherRow(o, Dv);
    for (let d: usize = 0; d < <usize>Dv << 2; d += 4) store<f32>(out + d, load<f32>(o + d) * f);
    store<f32>(rowAt(task, targetLse, batch, head, i) + lseShift, lse);
    if (flags & STATISTIC_FLAGS) writeStatistics(r, i, head, slot, l, f);
    if (!split && (!finite(out, Dv) || lostRow(task, batch, head, i, lse))) repairRow(task, batch, head, i);
  }
}

export function decodeItem(item: usize, ws: usize): void {
  task = taskOf(item);
  dtype = load<i32>(task, Task.KvDtype);
  lengthQ = load<i32>(task, Task.LengthQ);
  rows = lengthQ * load<i32>(task, Task.GroupSize);
  if (load<i32>(task, Task.Tile) == PanelBlock.Keys) return groupItem(item, ws);
  flags = load<i32>(task, Task.Flags);
  const slot = load<i32>(item, Item.Slot);
  owner = addsLogits(flags, slot);
  batch = load<i32>(item, Item.Batch);
  kv = load<i32>(item, Item.Head);
  D = load<i32>(task, Task.HeadDim);
  Dv = load<i32>(task, Task.ValueDim);
  const sequence = sequenceOf(task, batch), block = load<i32>(task, Task.Tile);
  layOut(ws, D, Dv, rows, block);
  if (flags & BEGIN_FLAGS) beginItem(task, flags, features);
  memory.fill(outputs, 0, (<usize>(rows + 3) >> 2) * oPitch << 2);
  memory.fill(states, 0, (<usize>(rows + 3) >> 2) * QuadState.Bytes);
  if (flags & STATISTIC_FLAGS) memory.fill(sums, 0, (<usize>(rows + 3) >> 2) * QuadSums.Bytes);
  halves = takesHalves();
  asStored = false;
  packRows(sequence);
  end = min(load<i32>(item, Item.KeyEnd), endKey(sequence, lengthQ - 1));
  shared = rows > 4 && (dtype == DTypeCode.F16 || dtype == DTypeCode.BF16);
  let step = min(block, flags & HIDE_FLAGS ? CHUNK : flags & BEGIN_FLAGS ? TOLD : block);
  if (shared) step = min(step, SHARED_ROWS);
  for (let j0 = max(load<i32>(item, Item.KeyBegin), firstKey(sequence, 0) & ~15); j0 < end; j0 += step) {
    visitBlock(j0, min(step, end - j0));
  }
  writeRows(slot);
}
