// A block of query rows of the backward pass: Q and dO packed twice, as panels [D][8] for S and dP and as
// [8 columns][row] for dV and dK, with what each row brings to P and dS. Rows that are not finite are
// deferred: their lanes hold zero, and they are added afterwards, score by score.
import { Task } from "../abi";
import { Flag, Operand } from "../tables.gen";
import { packColumns, packPanel } from "../micro/pack";
import { Constants, RowStats, UPPER } from "../micro/records";
import { LARGE } from "../micro/range";
import { log2 } from "../micro/real";
import { delta, finite } from "../micro/rows";
import { rowsOf, rowStride } from "../micro/task";
import { LOG2E } from "../micro/vmath";
import { entropyDelta, entropyGradient } from "../stages/entropy";
import { ownSum } from "../stages/repair_gradient";
import { rowLse } from "../stages/repair";

// Each thread has its own instance of this module, so its state is per thread.
let D: i32 = 0, Dv: i32 = 0, anyDeferred: bool = false, scales: usize = 0, deferredRows: usize = 0;
/** Whether the block has rows whose lse is large; see large_rows.ts. */
export let anyLarge: bool = false;
/** What is noted of a row. */
const DEFERRED: u8 = 1;
const IS_LARGE: u8 = 2;
/** The rows at hand. */
export let rowBegin: i32 = 0, rowEnd: i32 = 0, panels: i32 = 0;
/** A bit for each panel with a lane that takes no part: past the last row, deferred, or without a key. */
export let deadPanels: u32 = 0;
/** Scratch: Q^T and dO^T by panels, Q and dO by columns, dQ^T, what rows bring, constants. */
export let qT: usize = 0, gT: usize = 0, qC: usize = 0, gC: usize = 0, dqT: usize = 0, stats: usize = 0, constants: usize = 0;

/** Lays out the scratch of a block of up to `rows` rows; returns its end. */
export function layOutBlock(ws: usize, headDim: i32, valueDim: i32, rows: i32): usize {
  const r = (<usize>rows + 7) & ~7, d4 = (<usize>headDim + 3) & ~3, dv4 = (<usize>valueDim + 3) & ~3;
  D = headDim;
  Dv = valueDim;
  qT = ws;
  gT = qT + 4 * r * headDim;
  qC = gT + 4 * r * valueDim;
  gC = qC + 4 * r * d4;
  dqT = gC + 4 * r * dv4;
  stats = dqT + 4 * r * headDim;
  scales = stats + (r >> 3) * RowStats.Bytes;
  deferredRows = scales + (r << 3);
  constants = (deferredRows + r + 15) & ~15;
  return constants + Constants.Bytes;
}

/** Writes the constants of a task; they serve all its blocks. */
export function writeConstants(scale: f32): void {
  const s = f32x4.splat(scale), s2 = f32x4.splat(scale * LOG2E);
  memory.fill(constants + Constants.Zero, 0, 32);
  v128.store(constants, s, Constants.Scale);
  v128.store(constants, s, Constants.Scale + UPPER);
  v128.store(constants, s2, Constants.Scale2);
  v128.store(constants, s2, Constants.Scale2 + UPPER);
}

/** delta of a row, with what the gradient of the entropy adds to it. */
function deltaOf(task: usize, flags: i32, batch: i32, head: i32, i: i32, lse: f32): f32 {
  const d = delta(task, batch, head, i);
  if (!(flags & Flag.DEntropy)) return d;
  const exact = ownSum(task, batch, head, i, lse) ? rowLse() : <f64>lse;
  return <f32>(<f64>d + entropyDelta(task, flags, batch, head, i, exact));
}

/**
 * -lse log2 e, -delta and the gain of each row, [panel][3][8]; rows that are not finite are deferred.
 *
 * The first is rounded to float32, which alone would cost P up to 5e-7. What is lost comes back as a
 * factor of dO and delta, which reaches dV and dS alike; `scales` holds it beside the scale of Q.
 */
function packStats(task: usize, batch: i32, head: i32, q: usize, qStride: usize, dOut: usize, dOutStride: usize): void {
  const lse = rowsOf(task, Operand.Lse, batch, head), lseStride = rowStride(task, Operand.Lse);
  const scale = load<f32>(task, Task.Scale), flags = load<i32>(task, Task.Flags), scalesOfDOut = scales + (<usize>panels << 5);
  anyDeferred = anyLarge = false;
  memory.fill(deferredRows, 0, <usize>panels << 3);
  deadPanels = 0;
  for (let i = 0; i < panels << 3; ++i) {
    let m: f32 = -Infinity, s: f32 = 0, factor: f32 = 1, gain: f32 = 0;
    if (rowBegin + i < rowEnd) {
      const l = load<f32>(lse + <usize>(rowBegin + i) * lseStride), d = deltaOf(task, flags, batch, head, rowBegin + i, l);
      if (!(l < Infinity && finite(q + <usize>i * qStride, D) && finite(dOut + <usize>i * dOutStride, Dv) && d - d == 0)) {
        anyDeferred = true;
        store<u8>(deferredRows + <usize>i, DEFERRED);
      } else if (abs(l) > LARGE && l > -Infinity) {
        anyLarge = true;
        store<u8>(deferredRows + <usize>i, IS_LARGE);
        m = 0;
        s = -d;
      } else if (l > -Infinity) {
        const exact = -<f64>l * 1.4426950408889634;
        m = <f32>exact;
        factor = <f32>(1 + (exact - <f64>m) * 0.6931471805599453);
        const dH = entropyGradient(task, flags, batch, head, rowBegin + i);
        s = -(dH == 0 ? d : d + <f32>(dH * (exact - <f64>m) * 0.6931471805599453)) * factor;
      }
      if (m > -Infinity) gain = <f32>(-0.6931471805599453 * entropyGradient(task, flags, batch, head, rowBegin + i)) * factor;
    }
    if (m == -Infinity) deadPanels |= 1 << (i >> 3);
    const at = stats + <usize>(i >> 3) * RowStats.Bytes + (<usize>(i & 7) << 2);
    store<f32>(at, m, RowStats.NegativeLse);
    store<f32>(at, s, RowStats.NegativeDelta);
    store<f32>(at, gain, RowStats.Gain);
    store<f32>(scales + (<usize>i << 2), scale);
    store<f32>(scalesOfDOut + (<usize>i << 2), factor);
  }
}

/** Whether row i of the block is kept out of the products. */
// @ts-ignore: decorator
@inline
export function deferred(i: i32): bool {
  return load<u8>(deferredRows + <usize>i) == DEFERRED;
}

/** Whether lse of row i of the block is large. */
export function isLarge(i: i32): bool {
  return load<u8>(deferredRows + <usize>i) == IS_LARGE;
}

/** Keeps row i of the block out of the products. */
export function deferRow(i: i32): void {
  const at = stats + <usize>(i >> 3) * RowStats.Bytes + (<usize>(i & 7) << 2);
  anyDeferred = true;
  store<u8>(deferredRows + <usize>i, DEFERRED);
  deadPanels |= 1 << (i >> 3);
  store<f32>(at, -Infinity, RowStats.NegativeLse);
  store<f32>(at, 0, RowStats.NegativeDelta);
  store<f32>(at, 0, RowStats.Gain);
}

/** Sets the factor of dO and delta of row i of the block; it is one of P, whose logarithm counts as well. */
export function setFactor(i: i32, factor: f32): void {
  const at = stats + <usize>(i >> 3) * RowStats.Bytes + (<usize>(i & 7) << 2);
  store<f32>(scales + (<usize>panels << 5) + (<usize>i << 2), factor);
  const gain = load<f32>(at, RowStats.Gain), added: f32 = gain == 0 ? 0 : gain * log2(factor);
  store<f32>(at, (load<f32>(at, RowStats.NegativeDelta) + added) * factor, RowStats.NegativeDelta);
  store<f32>(at, gain * factor, RowStats.Gain);
}

/** Q^T of panel p of the block. */
export function packedQueries(p: i32): usize {
  return qT + <usize>p * (<usize>D << 5);
}

/** Zeroes the lanes and columns of rows that were deferred. */
function clearDeferred(): void {
  const padded = panels << 3;
  for (let i = 0; i < rowEnd - rowBegin; ++i) {
    if (!deferred(i)) continue;
    clearLane(qT, D, i);
    clearLane(gT, Dv, i);
    clearColumns(qC, D, i, padded);
    clearColumns(gC, Dv, i, padded);
  }
}

function clearLane(packed: usize, n: i32, i: i32): void {
  const lane = packed + <usize>(i >> 3) * (<usize>n << 5) + (<usize>(i & 7) << 2);
  for (let d = 0; d < n; ++d) store<f32>(lane + (<usize>d << 5), 0);
}

function clearColumns(packed: usize, n: i32, i: i32, padded: i32): void {
  for (let d = 0; d < n; d += 8) {
    const half = d + 4 >= n, at = packed + <usize>d * (<usize>padded << 2) + (<usize>i << (half ? 4 : 5));
    memory.fill(at, 0, half ? 16 : 32);
  }
}

/** Begins a block: rows [begin, end) of a head. Packs what scores need. */
export function packQueries(task: usize, batch: i32, head: i32, begin: i32, end: i32): void {
  rowBegin = begin;
  rowEnd = end;
  panels = (end - begin + 7) >> 3;
  const qStride = rowStride(task, Operand.Q), dOutStride = rowStride(task, Operand.DOut), rows = rowEnd - rowBegin;
  const q = rowsOf(task, Operand.Q, batch, head) + <usize>rowBegin * qStride;
  const dOut = rowsOf(task, Operand.DOut, batch, head) + <usize>rowBegin * dOutStride;
  packStats(task, batch, head, q, qStride, dOut, dOutStride);
  for (let p = 0; p < panels; ++p) {
    packPanel(q + (<usize>p << 3) * qStride, qStride, packedQueries(p), rows - (p << 3), D, constants + Constants.Scale2);
  }
}

/** Packs the rest of the block, once the factors of its rows are known; its dQ^T starts at zero. */
export function packGradients(task: usize, batch: i32, head: i32): void {
  const qStride = rowStride(task, Operand.Q), dOutStride = rowStride(task, Operand.DOut), rows = rowEnd - rowBegin;
  const q = rowsOf(task, Operand.Q, batch, head) + <usize>rowBegin * qStride;
  const dOut = rowsOf(task, Operand.DOut, batch, head) + <usize>rowBegin * dOutStride;
  const scalesOfDOut = scales + (<usize>panels << 5);
  for (let p = 0; p < panels; ++p) {
    const r = <usize>p << 3;
    packPanel(dOut + r * dOutStride, dOutStride, gT + <usize>p * (<usize>Dv << 5), rows - (p << 3), Dv, scalesOfDOut + (r << 2));
  }
  packColumns(q, qStride, qC, rows, panels << 3, D, scales);
  packColumns(dOut, dOutStride, gC, rows, panels << 3, Dv, scalesOfDOut);
  if (anyDeferred) clearDeferred();
  memory.fill(dqT, 0, <usize>panels * (<usize>D << 5));
}
