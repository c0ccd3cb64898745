// O^T of a panel += V^T . P^T over keys of a tile, both packed; the first key is a multiple of eight.
import { FORWARD_PITCH, gemm_o_4x8, gemm_o_6x8 } from "../micro/tiles.gen";

/** Groups of six of so many columns, a multiple of four, so that fours are left. */
export function sixesOf(columns: i32): i32 {
  return columns / 12 * 2;
}

/** The first 6 * `sixes` columns over keys [from, to), whole eights of them: P behind the last key is zero. */
export function outputSixes(v: usize, pitch: usize, sp: usize, o: usize, sixes: i32, from: i32, to: i32): void {
  if (from < to) gemm_o_6x8(v + (<usize>from << 2), sp + <usize>(from * FORWARD_PITCH), o, (to - from + 7) & ~7, pitch, sixes);
}

/** The columns that are left; makes P zero behind the last key, up to a whole eight. */
export function outputFours(v: usize, pitch: usize, sp: usize, o: usize, columns: i32, from: i32, to: i32): void {
  const n = to - from, n8 = (n + 7) & ~7, p = sp + <usize>(from * FORWARD_PITCH), done = 6 * sixesOf(columns);
  memory.fill(p + <usize>(n * FORWARD_PITCH), 0, <usize>((n8 - n) * FORWARD_PITCH));
  gemm_o_4x8(v + (<usize>from << 2) + <usize>done * pitch, p, o + (<usize>done << 5), n8, pitch, (columns - done) / 4);
}

/** All columns. */
export function outputRun(v: usize, pitch: usize, sp: usize, o: usize, columns: i32, from: i32, to: i32): void {
  outputFours(v, pitch, sp, o, columns, from, to);
  outputSixes(v, pitch, sp, o, sixesOf(columns), from, to);
}
