// Non-finite repair: one row of the result, score by score in float64.
//
// Inside a matrix product 0 * NaN is NaN, so a masked key that holds NaN or infinity can spoil a row
// that must not see it, and a single infinite score gives infinity - infinity. The fast path tests
// every row it writes; a row that is not finite comes here and is computed by the definition:
// masked positions do not exist, one visible score of +infinity takes all the weight, NaN stays NaN.
import { Task } from "../abi";
import { Flag, Operand } from "../tables.gen";
import { blocksOfPanel, firstEmpty, firstNonEmpty } from "../features/blocks";
import { element } from "../micro/convert";
import { isLow, sameLse } from "../micro/range";
import { dot, weight } from "../micro/rows";
import { keyRow } from "../micro/pages";
import { endKey, firstKey, kvHeadOf, rowAt, sequenceOf } from "../micro/task";
import { BENT_FLAGS, hideOne, hideRow, mostAdded, probabilityOne, scoreOne, stateLogit } from "./scores.gen";
import { exp, log } from "../micro/real";
import { addPair, beginRow, STATISTIC_FLAGS, writeRow } from "./statistics";

/** Score of query i and key j after all score features, natural units; minus infinity where masked. */
export function exactScore(task: usize, batch: i32, head: i32, i: i32, j: i32): f64 {
  const flags = load<i32>(task, Task.Flags);
  if (hideOne(task, flags, batch, head, i, j)) return -Infinity;
  return scoreOne(task, flags, rawScore(task, batch, head, i, j), batch, head, i, j);
}

/** scale * q . k */
export function rawScore(task: usize, batch: i32, head: i32, i: i32, j: i32): f64 {
  const q = rowAt(task, Operand.Q, batch, head, i), k = keyRow(task, Operand.K, batch, kvHeadOf(task, head), j);
  return dot(q, k, load<i32>(task, Task.HeadDim), load<i32>(task, Task.KvDtype)) * <f64>load<f32>(task, Task.Scale);
}

/** The softmax state of a row in float64: its largest score, and the sum of exp(score - m); see `rowState`. */
export let rowM: f64 = 0, rowL: f64 = 0;

/** Finds the state of a row; NaN as the sum where a score is NaN or two are infinite. */
export function rowState(task: usize, batch: i32, head: i32, i: i32): void {
  const sequence = sequenceOf(task, batch), from = firstKey(sequence, i), to = endKey(sequence, i);
  const logit = <f64>stateLogit(task, load<i32>(task, Task.Flags), batch, head, i); // like a key whose v is 0
  let m = logit, infinite = logit == Infinity ? 1 : 0, nan = logit != logit;
  for (let j = from; j < to; ++j) {
    const s = exactScore(task, batch, head, i, j);
    if (s != s) nan = true;
    else if (s == Infinity) infinite++;
    m = max(m, s);
  }
  let l = m > -Infinity ? exp(logit - m) : 0;
  if (nan || infinite > 1) l = NaN;
  else if (infinite == 1) l = 1;
  else for (let j = from; j < to && m > -Infinity; ++j) l += exp(exactScore(task, batch, head, i, j) - m);
  rowM = m;
  rowL = l;
}

/** lse of the state that was found last. */
export function rowLse(): f64 {
  return rowL == 0 ? -Infinity : rowM == Infinity || rowL != rowL ? rowM + rowL : rowM + log(rowL);
}

/** Whether query i sees a key in [from, to). Where blocks are known, empty ones are not looked at pair by pair. */
function seesKey(task: usize, flags: i32, batch: i32, head: i32, i: i32, from: i32, to: i32): bool {
  if (!(flags & Flag.Blocks)) return from < to && !hideRow(task, flags, batch, head, i, from, to);
  const row = blocksOfPanel(i, 0);
  for (from = firstNonEmpty(row, from, to); from < to;) {
    const end = firstEmpty(row, from, to);
    if (!hideRow(task, flags, batch, head, i, from, end)) return true;
    from = firstNonEmpty(row, end, to);
  }
  return false;
}

/**
 * Whether a row is beyond what the fast path can hold: it came out empty but sees a key, or low for another reason
 * than what features added (see range.ts).
 */
export function lostRow(task: usize, batch: i32, head: i32, i: i32, lse: f32): bool {
  if (!(lse == -Infinity || isLow(lse))) return false;
  const sequence = sequenceOf(task, batch), from = firstKey(sequence, i), to = endKey(sequence, i), flags = load<i32>(task, Task.Flags);
  if (lse == -Infinity) return seesKey(task, flags, batch, head, i, from, to);
  return (flags & BENT_FLAGS) != 0 && !sameLse(mostAdded(task, flags, batch, head, i, from, to), lse);
}

/** Writes out, lse and statistics of one query row. */
export function repairRow(task: usize, batch: i32, head: i32, i: i32): void {
  rowState(task, batch, head, i);
  const m = rowM, l = rowL;
  store<f32>(rowAt(task, Operand.Lse, batch, head, i), <f32>rowLse());

  const sequence = sequenceOf(task, batch), from = firstKey(sequence, i), to = endKey(sequence, i);
  const out = rowAt(task, Operand.Out, batch, head, i);
  const kv = kvHeadOf(task, head);
  const Dv = load<i32>(task, Task.ValueDim), dtype = load<i32>(task, Task.KvDtype), flags = load<i32>(task, Task.Flags);
  memory.fill(out, 0, <usize>Dv << 2);
  beginRow();
  for (let j = from; j < to && l != 0; ++j) {
    const s = exactScore(task, batch, head, i, j), p = l != l ? l : weight(s, m) / l;
    // a key at minus infinity is masked: what its v holds must not matter
    if (s == -Infinity || (m == Infinity && p == 0)) continue;
    if (flags & STATISTIC_FLAGS && p != 0) addPair(p, j);
    const z = probabilityOne(task, flags, batch, head, i, j);
    if (z == 0) continue;
    const v = keyRow(task, Operand.V, batch, kv, j);
    for (let d = 0; d < Dv; ++d) {
      const at = out + (<usize>d << 2), x = <f64>element(v, d, dtype);
      store<f32>(at, <f32>(<f64>load<f32>(at) + p * z * x));
    }
  }
  if (flags & STATISTIC_FLAGS) writeRow(task, flags, batch, head, i);
}
