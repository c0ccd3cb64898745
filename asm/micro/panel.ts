// A panel: up to eight query rows that lie in the lanes of one score tile S^T[key][lane]. Its record
// says what each lane may see and where its rows of bias and mask begin, so that features need not
// know whether the lanes are successive queries (prefill) or the heads of a group (decode).
//
//   low[8] i32, high[8] i32   lane sees key j when low <= j <= high
//   bias[8] u32, mask[8] u32  address of the lane's row, key 0
import { Flag, Operand } from "../abi";
import { endKey, firstKey, rowsOf, rowStride } from "./task";

// @ts-ignore: decorator
@inline
export const PANEL_BYTES: usize = 128;

/** Writes lane `lane`: query `i` of head `head`. */
export function setLane(panel: usize, lane: usize, task: usize, flags: i32, sequence: usize, batch: i32, head: i32, i: i32): void {
  const p = panel + (lane << 2);
  store<i32>(p, firstKey(sequence, i));
  store<i32>(p, endKey(sequence, i) - 1, 32);
  if (flags & Flag.Bias) {
    store<u32>(p, <u32>(rowsOf(task, Operand.Bias, batch, head) + <usize>i * rowStride(task, Operand.Bias)), 64);
  }
  if (flags & Flag.Mask) {
    store<u32>(p, <u32>(rowsOf(task, Operand.Mask, batch, head) + <usize>i * rowStride(task, Operand.Mask)), 96);
  }
}

/** A panel of successive queries i .. i + 7 of one head; lanes past `rowEnd` repeat the last row. */
export function setPanel(panel: usize, task: usize, flags: i32, sequence: usize, batch: i32, head: i32, i: i32, rowEnd: i32): void {
  for (let lane = 0; lane < 8; ++lane) {
    setLane(panel, <usize>lane, task, flags, sequence, batch, head, min(i + lane, rowEnd - 1));
  }
}
