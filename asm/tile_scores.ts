// What happens to a tile of raw scores before the softmax, in the order of the contract:
// softcap, bias, then masks. A tile tests each feature once; a whole tile is a few hundred scores.
import { Flag, Task } from "./abi";
import { bandTile } from "./features/band";
import { biasTile } from "./features/bias";
import { maskTile } from "./features/mask";
import { softcapTile } from "./features/softcap";

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

/** Masks on the same tile; returns whether any score was masked. `crossed`: the band's edge runs through it. */
export function maskScores(flags: i32, sp: usize, pitch: usize, n: i32, key: i32, panel: usize, vectors: i32, crossed: bool): bool {
  let any = crossed;
  for (let v: usize = 0; v < <usize>vectors << 4; v += 16) {
    if (flags & Flag.Mask && maskTile(sp + v, pitch, n, key, panel + 96 + v)) any = true;
    if (crossed) bandTile(sp + v, pitch, n, key, v128.load(panel + v), v128.load(panel + 32 + v));
  }
  return any;
}
