// Combining partial results over disjoint keys: the softmax state (out, lse) is associative
// (FlashInfer's merge_state, flash-decoding's combine).
//
//   M = max of the splits' lse,  w = exp(lse - M)
//   out = sum of w out / sum of w,  lse = M + ln sum of w
//
// Splits with lse = -infinity saw no key: they weigh nothing, whatever their out holds. One split with
// lse = +infinity takes all, two of them are NaN, as attention itself has it.
import { Item, Task } from "../abi";
import { Operand } from "../tables.gen";
import { lostRow, repairRow } from "../stages/repair";
import { BEGIN_FLAGS, beginItem } from "../stages/scores.gen";
import { finite } from "../micro/rows";
import { rowAt, rowsOf, rowStride, taskOf } from "../micro/task";
import { madd } from "../micro/vmath";
import { exp, log } from "../micro/real";
import { addSplit, beginRow, splitAt, STATISTIC_FLAGS, writeRow } from "../stages/statistics";

/** target[d] += w * source[d] */
function accumulate(target: usize, source: usize, w: f32, n: i32): void {
  const s = f32x4.splat(w);
  let d = 0;
  for (; d + 4 <= n; d += 4, target += 16, source += 16) {
    v128.store(target, madd(v128.load(source), s, v128.load(target)));
  }
  for (; d < n; ++d, target += 4, source += 4) store<f32>(target, load<f32>(target) + load<f32>(source) * w);
}

/** Statistics of a row; m and sum as in combineRow. */
function combineStatistics(task: usize, batch: i32, head: i32, i: i32, m: f64, sum: f64): void {
  const splitLse = rowAt(task, Operand.SplitLse, batch, head, i), bytes = load<usize>(task, Task.SplitLseBytes);
  beginRow();
  for (let s: usize = 0; s < <usize>load<i32>(task, Task.Splits); ++s) {
    const lse = <f64>load<f32>(splitLse + s * bytes);
    if (lse == -Infinity) continue;
    const w = (lse == m ? 1 : exp(lse - m)) / sum;
    if (w != 0) addSplit(splitAt(task, s, batch, head, i), w);
  }
  writeRow(task, load<i32>(task, Task.Flags), batch, head, i);
}

function combineRow(task: usize, batch: i32, head: i32, i: i32): void {
  const splits = load<i32>(task, Task.Splits), Dv = load<i32>(task, Task.ValueDim);
  const outBytes = load<usize>(task, Task.SplitOutBytes), lseBytes = load<usize>(task, Task.SplitLseBytes);
  const out = rowAt(task, Operand.Out, batch, head, i);
  const splitOut = rowAt(task, Operand.SplitOut, batch, head, i);
  const splitLse = rowAt(task, Operand.SplitLse, batch, head, i);
  let m: f64 = -Infinity, sum: f64 = 0;
  for (let s: usize = 0; s < <usize>splits; ++s) m = max(m, <f64>load<f32>(splitLse + s * lseBytes));
  for (let s: usize = 0; s < <usize>splits; ++s) {
    const lse = <f64>load<f32>(splitLse + s * lseBytes);
    if (lse > -Infinity || lse != lse) sum += lse == m ? 1 : exp(lse - m);
  }
  if (m == Infinity && sum > 1) sum = NaN;
  memory.fill(out, 0, <usize>Dv << 2);
  for (let s: usize = 0; s < <usize>splits; ++s) {
    const lse = <f64>load<f32>(splitLse + s * lseBytes);
    if (lse == -Infinity) continue;
    const w = (lse == m ? 1 : exp(lse - m)) / sum;
    if (w != 0) accumulate(out, splitOut + s * outBytes, <f32>w, Dv);
  }
  if (load<i32>(task, Task.Flags) & STATISTIC_FLAGS) combineStatistics(task, batch, head, i, m, sum);
  const lse = sum == 0 ? -Infinity : m + log(sum);
  store<f32>(rowAt(task, Operand.Lse, batch, head, i), <f32>lse);
}

/** Rows [RowBegin, RowEnd) of one head. A task with a head dimension can redo a row that is not finite. */
export function combineItem(item: usize, ws: usize): void {
  const task = taskOf(item), flags = load<i32>(task, Task.Flags), batch = load<i32>(item, Item.Batch), head = load<i32>(item, Item.Head);
  const Dv = load<i32>(task, Task.ValueDim), stride = rowStride(task, Operand.Out), out = rowsOf(task, Operand.Out, batch, head);
  if (flags & BEGIN_FLAGS) beginItem(task, flags, (ws + 63) & ~63);
  for (let i = load<i32>(item, Item.RowBegin); i < load<i32>(item, Item.RowEnd); ++i) {
    combineRow(task, batch, head, i);
    if (!load<i32>(task, Task.HeadDim)) continue;
    const lse = load<f32>(rowAt(task, Operand.Lse, batch, head, i));
    if (!finite(out + <usize>i * stride, Dv) || lostRow(task, batch, head, i, lse)) repairRow(task, batch, head, i);
  }
}

/** dQ += the partial sums of later key ranges, in their order. */
export function reduceDqItem(item: usize): void {
  const task = taskOf(item), batch = load<i32>(item, Item.Batch), head = load<i32>(item, Item.Head);
  const D = load<i32>(task, Task.HeadDim), splits = load<i32>(task, Task.Splits), bytes = load<usize>(task, Task.SplitOutBytes);
  const stride = rowStride(task, Operand.Dq), splitStride = rowStride(task, Operand.SplitOut);
  const dq = rowsOf(task, Operand.Dq, batch, head), split = rowsOf(task, Operand.SplitOut, batch, head);
  for (let i = load<i32>(item, Item.RowBegin); i < load<i32>(item, Item.RowEnd); ++i) {
    for (let s: usize = 0; s < <usize>splits; ++s) {
      accumulate(dq + <usize>i * stride, split + s * bytes + <usize>i * splitStride, 1, D);
    }
  }
}
