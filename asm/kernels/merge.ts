// Merging partial results over disjoint keys: the softmax state (out, lse) is associative
// (FlashInfer's merge_state, flash-decoding's combine).
//
//   M = max of the parts' lse,  w = exp(lse - M)
//   out = sum of w out / sum of w,  lse = M + ln sum of w
//
// Parts with lse = -infinity saw no key: they weigh nothing, whatever their out holds.
import { Item, Operand, Task } from "../abi";
import { exactRow } from "../stages/exact_row";
import { finite } from "../micro/rows";
import { rowsOf, rowStride, taskOf } from "../micro/task";
import { madd } from "../micro/vmath";

/** target[d] += w * source[d] */
function accumulate(target: usize, source: usize, w: f32, n: i32): void {
  const s = f32x4.splat(w);
  let d = 0;
  for (; d + 4 <= n; d += 4, target += 16, source += 16) {
    v128.store(target, madd(v128.load(source), s, v128.load(target)));
  }
  for (; d < n; ++d, target += 4, source += 4) store<f32>(target, load<f32>(target) + load<f32>(source) * w);
}

function mergeRow(task: usize, batch: i32, head: i32, i: i32): void {
  const parts = load<i32>(task, Task.Parts), Dv = load<i32>(task, Task.ValueDim);
  const outBytes = load<usize>(task, Task.PartOutBytes), lseBytes = load<usize>(task, Task.PartLseBytes);
  const out = rowsOf(task, Operand.Out, batch, head) + <usize>i * rowStride(task, Operand.Out);
  const partOut = rowsOf(task, Operand.PartOut, batch, head) + <usize>i * rowStride(task, Operand.PartOut);
  const partLse = rowsOf(task, Operand.PartLse, batch, head) + <usize>i * rowStride(task, Operand.PartLse);
  let m: f64 = -Infinity, sum: f64 = 0;
  for (let s: usize = 0; s < <usize>parts; ++s) m = max(m, <f64>load<f32>(partLse + s * lseBytes));
  for (let s: usize = 0; s < <usize>parts; ++s) {
    const lse = <f64>load<f32>(partLse + s * lseBytes);
    if (lse > -Infinity || lse != lse) sum += lse == m ? 1 : NativeMath.exp(lse - m);
  }
  memory.fill(out, 0, <usize>Dv << 2);
  for (let s: usize = 0; s < <usize>parts; ++s) {
    const lse = <f64>load<f32>(partLse + s * lseBytes);
    if (lse == -Infinity) continue;
    const w = (lse == m ? 1 : NativeMath.exp(lse - m)) / sum;
    if (w != 0) accumulate(out, partOut + s * outBytes, <f32>w, Dv);
  }
  const lse = sum == 0 ? -Infinity : m + NativeMath.log(sum);
  store<f32>(rowsOf(task, Operand.Lse, batch, head) + <usize>i * rowStride(task, Operand.Lse), <f32>lse);
}

/** Rows [RowBegin, RowEnd) of one head. A task with a head dimension can redo a row that is not finite. */
export function mergeItem(item: usize): void {
  const task = taskOf(item), batch = load<i32>(item, Item.Batch), head = load<i32>(item, Item.Head);
  const Dv = load<i32>(task, Task.ValueDim), stride = rowStride(task, Operand.Out), out = rowsOf(task, Operand.Out, batch, head);
  for (let i = load<i32>(item, Item.RowBegin); i < load<i32>(item, Item.RowEnd); ++i) {
    mergeRow(task, batch, head, i);
    if (load<i32>(task, Task.HeadDim) && !finite(out + <usize>i * stride, Dv)) exactRow(task, batch, head, i);
  }
}

/** dQ += the partial sums of later key ranges, in their order. */
export function sumQueryGradientItem(item: usize): void {
  const task = taskOf(item), batch = load<i32>(item, Item.Batch), head = load<i32>(item, Item.Head);
  const D = load<i32>(task, Task.HeadDim), parts = load<i32>(task, Task.Parts), bytes = load<usize>(task, Task.PartOutBytes);
  const stride = rowStride(task, Operand.Dq), partStride = rowStride(task, Operand.PartOut);
  const dq = rowsOf(task, Operand.Dq, batch, head), part = rowsOf(task, Operand.PartOut, batch, head);
  for (let i = load<i32>(item, Item.RowBegin); i < load<i32>(item, Item.RowEnd); ++i) {
    for (let s: usize = 0; s < <usize>parts; ++s) {
      accumulate(dq + <usize>i * stride, part + s * bytes + <usize>i * partStride, 1, D);
    }
  }
}
