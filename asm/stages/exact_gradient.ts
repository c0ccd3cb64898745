// The slow path of backward: one query row, score by score in float64. For rows that hold NaN or
// infinity, which must not enter a matrix product (see backward.ts), and for a dQ row that a masked
// key spoiled.
import { Flag, Operand, Task } from "../abi";
import { dot, exactScore, rawScore, weight } from "./exact_row";
import { delta } from "../micro/rows";
import { endKey, firstKey, kvHeadOf, rowsOf, rowStride, sequenceOf } from "../micro/task";

/** row[d] += x * y[d] */
function addScaled(row: usize, x: f64, y: usize, n: i32): void {
  for (const end = row + (<usize>n << 2); row < end; row += 4, y += 4) {
    store<f32>(row, <f32>(<f64>load<f32>(row) + x * <f64>load<f32>(y)));
  }
}

/** The derivative of softcap at query i and key j; 1 without it. */
function softcapDerivative(task: usize, batch: i32, head: i32, i: i32, j: i32): f64 {
  if (!(load<i32>(task, Task.Flags) & Flag.Softcap)) return 1;
  const t = NativeMath.tanh(rawScore(task, batch, head, i, j) / <f64>load<f32>(task, Task.Softcap));
  return 1 - t * t;
}

/**
 * Writes the dQ row of query i for keys [keyBegin, keyEnd) at `dq`; with `keys` it also adds what the
 * row gives to dK, dV and dBias.
 */
export function exactGradientRow(task: usize, batch: i32, head: i32, i: i32, keyBegin: i32, keyEnd: i32, dq: usize, keys: bool): void {
  const sequence = sequenceOf(task, batch), kv = kvHeadOf(task, head), scale = <f64>load<f32>(task, Task.Scale);
  const D = load<i32>(task, Task.HeadDim), Dv = load<i32>(task, Task.ValueDim), flags = load<i32>(task, Task.Flags);
  const lse = <f64>load<f32>(rowsOf(task, Operand.Lse, batch, head) + <usize>i * rowStride(task, Operand.Lse));
  const q = rowsOf(task, Operand.Q, batch, head) + <usize>i * rowStride(task, Operand.Q);
  const dOut = rowsOf(task, Operand.DOut, batch, head) + <usize>i * rowStride(task, Operand.DOut);
  const deltaI = <f64>delta(task, batch, head, i), end = min(keyEnd, endKey(sequence, i));
  memory.fill(dq, 0, <usize>D << 2);
  if (lse == -Infinity) return;
  for (let j = max(keyBegin, firstKey(sequence, i)); j < end; ++j) {
    const s = exactScore(task, batch, head, i, j);
    if (s == -Infinity) continue;
    const v = rowsOf(task, Operand.V, batch, kv) + <usize>j * rowStride(task, Operand.V);
    const k = rowsOf(task, Operand.K, batch, kv) + <usize>j * rowStride(task, Operand.K);
    const p = weight(s, lse), dBias = p * (dot(dOut, v, Dv, 0) - deltaI);
    const ds = dBias * softcapDerivative(task, batch, head, i, j) * scale;
    addScaled(dq, ds, k, D);
    if (!keys) continue;
    addScaled(rowsOf(task, Operand.Dv, batch, kv) + <usize>j * rowStride(task, Operand.Dv), p, dOut, Dv);
    addScaled(rowsOf(task, Operand.Dk, batch, kv) + <usize>j * rowStride(task, Operand.Dk), ds, q, D);
    if (flags & Flag.BiasGradient) {
      const at = rowsOf(task, Operand.DBias, batch, head) + <usize>i * rowStride(task, Operand.DBias) + (<usize>j << 2);
      store<f32>(at, load<f32>(at) + <f32>dBias);
    }
  }
}
