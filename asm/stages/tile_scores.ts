// What happens to a tile of raw scores before the softmax, in the order of the contract:
// softcap, bias, then masks. A tile tests each feature once; a whole tile is a few hundred scores.
import { Flag, Task } from "../abi";
import { bandTile } from "../features/band";
import { biasTile } from "../features/bias";
import { maskTile } from "../features/mask";
import { softcapTile } from "../features/softcap";

/** Features that change the value of a score; without them the running maximum can ride in the product. */
// @ts-ignore: decorator
@inline
export const SCORE_FLAGS: i32 = Flag.Softcap | Flag.Bias;

/** Softcap and bias on S^T[n keys][4 * vectors lanes]; `factor` as in softcapTile. */
export function transformScores(task: usize, flags: i32, sp: usize, pitch: usize, n: i32, key: i32, panel: usize, vectors: i32, factor: usize): void {
  for (let v: usize = 0; v < <usize>vectors << 4; v += 16) {
    if (flags & Flag.Softcap) softcapTile(sp + v, pitch, n, load<f32>(task, Task.Softcap), factor ? factor + v : 0);
    if (flags & Flag.Bias) biasTile(sp + v, pitch, n, key, panel + 64 + v);
  }
}

/**
 * Masks on the same tile; returns whether any score was masked. The band lets every lane see the keys
 * [openFrom, openTo) of the tile, which may reach past it or be empty.
 */
export function maskScores(flags: i32, sp: usize, pitch: usize, n: i32, key: i32, panel: usize, vectors: i32, openFrom: i32, openTo: i32): bool {
  const head = min(max(openFrom, 0), n), tail = max(head, min(openTo, n));
  let any = head > 0 || tail < n;
  for (let v: usize = 0; v < <usize>vectors << 4; v += 16) {
    const s = sp + v;
    if (flags & Flag.Mask && maskTile(s, pitch, n, key, panel + 96 + v)) any = true;
    const low = v128.load(panel + v), high = v128.load(panel + 32 + v);
    bandTile(s, pitch, head, key, low, high);
    bandTile(s + <usize>tail * pitch, pitch, n - tail, key + tail, low, high);
  }
  return any;
}
