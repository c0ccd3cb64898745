// Statistics of rows, in the same pass: entropy, largest probability, expected key. With P = 2^(S - m), l the sum of
// P and f the factor of the outputs (1 / l; less with a sink), p = f P and ln p = (S - m) ln 2 + ln f, so that
//
//   entropy          -sum of p ln p = -f (ln 2 sum of P (S - m) + l ln f)
//   max probability  f max P
//   expected key     f sum of P j
//
// The sums move with m like l does. KV splits are combined by their own statistics, with w their share of the row:
// p is w times that of the split.
import { Task } from "../abi";
import { PanelSums, RowStatistics } from "../micro/records";
import { log } from "../micro/real";
import { has, rowAt } from "../micro/task";
import { Flag, Operand } from "../tables.gen";

/** Statistics that a task asks for. */
// @ts-ignore: decorator
@inline
export const STATISTIC_FLAGS: i32 = Flag.Entropy | Flag.MaxProbability | Flag.ExpectedKey;

/** Brings the sums of four lanes from m to m + t; l: before it is multiplied with f = 2^-t. */
export function moveSums(ps: usize, top: usize, pj: usize, l: v128, t: v128, f: v128): void {
  // f l first: where t is huge that is 0
  v128.store(ps, f32x4.sub(f32x4.mul(f, v128.load(ps)), f32x4.mul(f32x4.mul(f, l), t)));
  v128.store(top, f32x4.mul(f, v128.load(top)));
  v128.store(pj, f32x4.mul(f, v128.load(pj)));
}

/** The same of one half of a panel. */
export function movePanelSums(sums: usize, l: v128, t: v128, f: v128): void {
  moveSums(sums + PanelSums.PS, sums + PanelSums.Top, sums + PanelSums.PJ, l, t, f);
}

let entropy: f64 = 0, top: f64 = 0, key: f64 = 0, total: f64 = 0;

/** Begins a row that is found pair by pair, or split by split. */
export function beginRow(): void {
  entropy = top = key = total = 0;
}

/** A key of the row: p is not 0. */
export function addPair(p: f64, j: i32): void {
  entropy -= p * log(p);
  top = max(top, p);
  key += p * <f64>j;
  total += p;
}

/** A KV split of the row with the share w, not 0. */
export function addSplit(split: usize, w: f64): void {
  entropy += w * (<f64>load<f32>(split, RowStatistics.Entropy) - <f64>load<f32>(split, RowStatistics.Sum) * log(w));
  top = max(top, w * <f64>load<f32>(split, RowStatistics.Top));
  key += w * <f64>load<f32>(split, RowStatistics.Key);
}

/** Finds a row from its sums, which lie in three places. */
export function finishRow(l: f32, f: f64, ps: usize, largest: usize, pj: usize): void {
  beginRow();
  if (f == 0) return; // no key, or the sink takes all
  entropy = -f * (0.6931471805599453 * <f64>load<f32>(ps) + <f64>l * log(f));
  top = f * <f64>load<f32>(largest);
  key = f * <f64>load<f32>(pj);
  total = f * <f64>l;
}

/**
 * Writes the row where the task wants it: as a result, or, where its keys are a chunk of all, as a split, whose records the
 * task has then without having splits itself. Rounding may have left the range of what is found.
 */
export function writeRow(task: usize, flags: i32, batch: i32, head: i32, i: i32): void {
  if (!load<i32>(task, Task.Splits) && has(task, Operand.SplitStatistics)) return writeSplit(task, 0, batch, head, i, total);
  if (flags & Flag.Entropy) store<f32>(rowAt(task, Operand.Entropy, batch, head, i), <f32>max(entropy, 0));
  if (flags & Flag.MaxProbability) store<f32>(rowAt(task, Operand.MaxProbability, batch, head, i), <f32>min(top, 1));
  if (flags & Flag.ExpectedKey) store<f32>(rowAt(task, Operand.ExpectedKey, batch, head, i), <f32>key);
}

/** Writes the row as that of a KV split; `sum`: of its p. */
export function writeSplit(task: usize, slot: i32, batch: i32, head: i32, i: i32, sum: f64): void {
  const split = splitAt(task, <usize>slot, batch, head, i);
  store<f32>(split, <f32>max(entropy, 0), RowStatistics.Entropy);
  store<f32>(split, <f32>min(top, 1), RowStatistics.Top);
  store<f32>(split, <f32>key, RowStatistics.Key);
  store<f32>(split, <f32>sum, RowStatistics.Sum);
}

/** Where the statistics of a KV split lie. */
export function splitAt(task: usize, slot: usize, batch: i32, head: i32, i: i32): usize {
  const bytes = load<usize>(task, Task.SplitLseBytes) / 4 * RowStatistics.Bytes; // four floats where lse has one
  return rowAt(task, Operand.SplitStatistics, batch, head, i) + slot * bytes;
}
