// What hides scores of a tile: features that hide single pairs, and the band of structural masks.
import { bandTile } from "../features/band";
import { Panel } from "../micro/records";
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
