// Filling panels: what each lane may see, where its diagonal lies, and the words of features. Features need
// not know whether the lanes are successive queries (prefill) or the heads of a group (decode).
import { Panel } from "../micro/records";
import { diagonalOf, endKey, firstKey } from "../micro/task";
import { loadLane } from "./scores.gen";

/** Writes lane `lane`: query `i` of head `head`. */
export function setLane(panel: usize, lane: usize, task: usize, flags: i32, sequence: usize, batch: i32, head: i32, i: i32): void {
  const p = panel + (lane << 2);
  store<i32>(p, firstKey(sequence, i), Panel.Low);
  store<i32>(p, endKey(sequence, i) - 1, Panel.High);
  store<i32>(p, diagonalOf(sequence, i), Panel.Diagonal);
  store<i32>(p, head, Panel.Head);
  loadLane(task, flags, batch, head, i, p);
}

/** A panel of successive queries i .. i + 7 of one head; lanes past `rowEnd` repeat the last row. */
export function setPanel(panel: usize, task: usize, flags: i32, sequence: usize, batch: i32, head: i32, i: i32, rowEnd: i32): void {
  for (let lane = 0; lane < 8; ++lane) {
    setLane(panel, <usize>lane, task, flags, sequence, batch, head, min(i + lane, rowEnd - 1));
  }
}
