// The slow path: one row of the result, score by score in float64.
//
// Inside a matrix product 0 * NaN is NaN, so a masked key that holds NaN or infinity can spoil a row
// that must not see it, and a single infinite score gives infinity - infinity. The fast path tests
// every row it writes; a row that is not finite comes here and is computed by the definition:
// masked positions do not exist, one visible score of +infinity takes all the weight, NaN stays NaN.
import { Flag, Operand, Task } from "../abi";
import { element } from "../micro/convert";
import { endKey, firstKey, kvHeadOf, rowsOf, rowStride, sequenceOf } from "../micro/task";

/** Score of query i and key j after all score features, natural units; minus infinity where masked. */
export function exactScore(task: usize, batch: i32, head: i32, i: i32, j: i32): f64 {
  const flags = load<i32>(task, Task.Flags);
  if (flags & Flag.Mask) {
    const row = rowsOf(task, Operand.Mask, batch, head) + <usize>i * rowStride(task, Operand.Mask);
    if (!load<u8>(row + j)) return -Infinity;
  }
  let s = rawScore(task, batch, head, i, j);
  if (flags & Flag.Softcap) {
    const cap = <f64>load<f32>(task, Task.Softcap);
    s = cap * NativeMath.tanh(s / cap);
  }
  if (flags & Flag.Bias) {
    const row = rowsOf(task, Operand.Bias, batch, head) + <usize>i * rowStride(task, Operand.Bias);
    const bias = <f64>load<f32>(row + (<usize>j << 2));
    if (bias == -Infinity) return -Infinity; // masks, whatever the product holds
    s += bias;
  }
  return s;
}

/** scale * q . k */
export function rawScore(task: usize, batch: i32, head: i32, i: i32, j: i32): f64 {
  const q = rowsOf(task, Operand.Q, batch, head) + <usize>i * rowStride(task, Operand.Q);
  const k = rowsOf(task, Operand.K, batch, kvHeadOf(task, head)) + <usize>j * rowStride(task, Operand.K);
  return dot(q, k, load<i32>(task, Task.HeadDim), load<i32>(task, Task.KvDtype)) * <f64>load<f32>(task, Task.Scale);
}

/** a . b over n columns; b holds values of type `dtype`. */
export function dot(a: usize, b: usize, n: i32, dtype: i32): f64 {
  let s: f64 = 0;
  for (let d = 0; d < n; ++d) s += <f64>load<f32>(a + (<usize>d << 2)) * <f64>element(b, d, dtype);
  return s;
}

/** Weight of a score against the logarithm of the sum; the only infinite score has weight 1. */
export function weight(s: f64, lse: f64): f64 {
  if (lse == Infinity) return s == Infinity ? 1 : s != s ? s : 0;
  return NativeMath.exp(s - lse);
}

/** Writes out and lse of one query row. */
export function exactRow(task: usize, batch: i32, head: i32, i: i32): void {
  const sequence = sequenceOf(task, batch), from = firstKey(sequence, i), to = endKey(sequence, i);
  let m: f64 = -Infinity, infinite = 0, nan = false;
  for (let j = from; j < to; ++j) {
    const s = exactScore(task, batch, head, i, j);
    if (s != s) nan = true;
    else if (s == Infinity) infinite++;
    m = max(m, s);
  }
  let l: f64 = 0;
  if (nan || infinite > 1) l = NaN;
  else if (infinite == 1) l = 1;
  else for (let j = from; j < to && m > -Infinity; ++j) l += NativeMath.exp(exactScore(task, batch, head, i, j) - m);
  const lse = l == 0 ? -Infinity : m == Infinity || l != l ? m + l : m + NativeMath.log(l);
  store<f32>(rowsOf(task, Operand.Lse, batch, head) + <usize>i * rowStride(task, Operand.Lse), <f32>lse);

  const out = rowsOf(task, Operand.Out, batch, head) + <usize>i * rowStride(task, Operand.Out);
  const vStride = rowStride(task, Operand.V), v = rowsOf(task, Operand.V, batch, kvHeadOf(task, head));
  const Dv = load<i32>(task, Task.ValueDim), dtype = load<i32>(task, Task.KvDtype);
  memory.fill(out, 0, <usize>Dv << 2);
  if (l == 0) return;
  for (let j = from; j < to; ++j) {
    const s = exactScore(task, batch, head, i, j), p = l != l ? l : weight(s, lse);
    // a key at minus infinity is masked: what its v holds must not matter
    if (s == -Infinity || (m == Infinity && p == 0)) continue;
    for (let d = 0; d < Dv; ++d) {
      const at = out + (<usize>d << 2), x = <f64>element(v + <usize>j * vStride, d, dtype);
      store<f32>(at, <f32>(<f64>load<f32>(at) + p * x));
    }
  }
}
