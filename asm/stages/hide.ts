// What hides scores of a tile: features that hide single pairs, and the band of structural masks.
import { bandTile } from "../features/band";
import { Panel, RowStats, UPPER } from "../micro/records";
import { BACKWARD_PITCH } from "../micro/tiles.gen";
import { hideTiles } from "./scores.gen";

/**
 * Masks hidden scores of S^T[n keys][4 * vectors lanes]; returns whether any was masked. The band lets every
 * lane see the keys [fullBegin, fullEnd) of the tile, which may reach past it or be empty.
 */
export function hideScores(task: usize, flags: i32, sp: usize, pitch: usize, n: i32, key: i32, panel: usize, vectors: i32, fullBegin: i32, fullEnd: i32): bool {
  const head = min(max(fullBegin, 0), n), tail = max(head, min(fullEnd, n));
  let any = head > 0 || tail < n;
  if (hideTiles(task, flags, sp, pitch, n, key, panel, vectors)) any = true;
  for (let v: usize = 0; v < <usize>vectors << 4; v += 16) {
    const s = sp + v;
    const low = v128.load(panel + v, Panel.Low), high = v128.load(panel + v, Panel.High);
    bandTile(s, pitch, head, key, low, high);
    bandTile(s + <usize>tail * pitch, pitch, n - tail, key + tail, low, high);
  }
  return any;
}

/** Hides every key from the lanes of a panel of backward that take no part: their zeros times an infinite k would be NaN. */
export function hideDeadLanes(panel: usize, start: usize): void {
  for (let lane: usize = 0; lane < 32; lane += 4) {
    if (load<f32>(start + lane, RowStats.NegativeLse) == -Infinity) store<i32>(panel + lane, i32.MAX_VALUE, Panel.Low);
  }
}

/** Hides n keys from all lanes of a panel of backward. */
export function hideKeys(sp: usize, n: i32): void {
  const masked = f32x4.splat(-Infinity);
  for (; n > 0; --n, sp += BACKWARD_PITCH) {
    v128.store(sp, masked);
    v128.store(sp, masked, UPPER);
  }
}
