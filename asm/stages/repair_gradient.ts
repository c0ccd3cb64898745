// Non-finite repair of backward: one query row, score by score in float64. For rows that hold NaN or
// infinity, which must not enter a matrix product (see backward.ts), and for a dQ row that a masked
// key spoiled.
import { Task } from "../abi";
import { Operand } from "../tables.gen";
import { LARGE, sameLse } from "../micro/range";
import { delta, dot, weight } from "../micro/rows";
import { endKey, firstKey, kvHeadOf, rowAt, sequenceOf } from "../micro/task";
import { log } from "../micro/real";
import { entropyDelta, entropyGradient } from "./entropy";
import { exactScore, rawScore, rowL, rowLse, rowM, rowState } from "./repair";
import { gradientOne, PAIR_SUM_FLAGS, probabilityOne } from "./scores.gen";

/** row[d] += x * y[d] */
function addScaled(row: usize, x: f64, y: usize, n: i32): void {
  for (const end = row + (<usize>n << 2); row < end; row += 4, y += 4) {
    store<f32>(row, <f32>(<f64>load<f32>(row) + x * <f64>load<f32>(y)));
  }
}

/**
 * Whether a row has its weights from its own state, which is then in `rowM` and `rowL`: its lse is so large that its
 * rounding would change them, and is the lse of these keys.
 */
export function ownSum(task: usize, batch: i32, head: i32, i: i32, lse: f64): bool {
  if (!(abs(lse) > <f64>LARGE && abs(lse) < Infinity)) return false;
  rowState(task, batch, head, i);
  return rowL > 0 && sameLse(rowLse(), lse);
}

/**
 * Writes the dQ row of query i for keys [keyBegin, keyEnd) at `dq`; with `keys` it also adds what the
 * row gives to dK, dV and the sums over pairs.
 */
export function repairGradientRow(task: usize, batch: i32, head: i32, i: i32, keyBegin: i32, keyEnd: i32, dq: usize, keys: bool): void {
  const sequence = sequenceOf(task, batch), kv = kvHeadOf(task, head), scale = <f64>load<f32>(task, Task.Scale);
  const D = load<i32>(task, Task.HeadDim), Dv = load<i32>(task, Task.ValueDim);
  const flags = keys ? load<i32>(task, Task.Flags) : load<i32>(task, Task.Flags) & ~PAIR_SUM_FLAGS;
  const lse = <f64>load<f32>(rowAt(task, Operand.Lse, batch, head, i)), own = ownSum(task, batch, head, i, lse);
  const q = rowAt(task, Operand.Q, batch, head, i), dOut = rowAt(task, Operand.DOut, batch, head, i);
  const exactLse = own ? rowLse() : lse, dH = entropyGradient(task, flags, batch, head, i);
  const deltaI = <f64>delta(task, batch, head, i) + entropyDelta(task, flags, batch, head, i, exactLse), end = min(keyEnd, endKey(sequence, i));
  memory.fill(dq, 0, <usize>D << 2);
  if (lse == -Infinity) return;
  for (let j = max(keyBegin, firstKey(sequence, i)); j < end; ++j) {
    const s = exactScore(task, batch, head, i, j);
    if (s == -Infinity) continue;
    const p = own ? weight(s, rowM) / rowL : weight(s, lse), z = probabilityOne(task, flags, batch, head, i, j);
    const dp = z == 0 ? 0 : z * dot(dOut, rowAt(task, Operand.V, batch, kv, j), Dv, 0);
    const ds = p * (dp - deltaI) - (dH == 0 || p == 0 ? 0 : dH * p * log(p));
    const x = gradientOne(task, flags, ds, rawScore(task, batch, head, i, j), batch, head, i, j) * scale;
    addScaled(dq, x, rowAt(task, Operand.K, batch, kv, j), D);
    if (!keys) continue;
    if (z != 0) addScaled(rowAt(task, Operand.Dv, batch, kv, j), p * z, dOut, Dv);
    addScaled(rowAt(task, Operand.Dk, batch, kv, j), x, q, D);
  }
}
