// Bias: s += bias[i][j]. Rows of bias run along keys, score tiles along queries: four keys of four
// rows are transposed at a time. A bias of minus infinity masks, whatever the score was: NaN from a
// masked key must not survive it, so the sum is not left to arithmetic.
import { Operand } from "../tables.gen";
import { rowAt } from "../micro/task";
import { addNatural, belowKnee } from "../micro/range";
import { LOG2E, madd } from "../micro/vmath";

/** Scores may come out as minus infinity: such pairs are masked. */
// @ts-ignore: decorator
@inline
export const HIDES: bool = true;

// @ts-ignore: decorator
@inline
function add(sp: usize, bias: v128, log2e: v128): void {
  v128.store(sp, madd(bias, log2e, v128.load(sp)));
}

/** The same where some of the bias masks, or lies near the end of float32. */
function addLow(sp: usize, bias: v128): void {
  const masked = f32x4.splat(-Infinity), score = addNatural(v128.load(sp), bias, f32x4.splat(LOG2E));
  v128.store(sp, v128.bitselect(masked, score, f32x4.eq(bias, masked)));
}

/** Adds bias to n scores of four lanes, the first of them for key `key`. `rows`: four row addresses. */
export function scoreTile(task: usize, sp: usize, pitch: usize, n: i32, key: i32, panel: usize, rows: usize): void {
  const log2e = f32x4.splat(LOG2E), at = <usize>key << 2;
  const r0 = load<usize>(rows) + at, r1 = load<usize>(rows, 4) + at, r2 = load<usize>(rows, 8) + at, r3 = load<usize>(rows, 12) + at;
  let j: usize = 0;
  for (const end = <usize>(n & ~3) << 2; j < end; j += 16, sp += pitch << 2) {
    const a = v128.load(r0 + j), b = v128.load(r1 + j), c = v128.load(r2 + j), d = v128.load(r3 + j);
    const u0 = v128.shuffle<f32>(a, b, 0, 4, 1, 5), u1 = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
    const u2 = v128.shuffle<f32>(c, d, 0, 4, 1, 5), u3 = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
    const k0 = v128.shuffle<f32>(u0, u2, 0, 1, 4, 5), k1 = v128.shuffle<f32>(u0, u2, 2, 3, 6, 7);
    const k2 = v128.shuffle<f32>(u1, u3, 0, 1, 4, 5), k3 = v128.shuffle<f32>(u1, u3, 2, 3, 6, 7);
    if (v128.any_true(v128.or(v128.or(belowKnee(a), belowKnee(b)), v128.or(belowKnee(c), belowKnee(d))))) {
      addLow(sp, k0);
      addLow(sp + pitch, k1);
      addLow(sp + 2 * pitch, k2);
      addLow(sp + 3 * pitch, k3);
      continue;
    }
    add(sp, k0, log2e);
    add(sp + pitch, k1, log2e);
    add(sp + 2 * pitch, k2, log2e);
    add(sp + 3 * pitch, k3, log2e);
  }
  for (const end = <usize>n << 2; j < end; j += 4, sp += pitch) {
    addLow(sp, f32x4(load<f32>(r0 + j), load<f32>(r1 + j), load<f32>(r2 + j), load<f32>(r3 + j)));
  }
}

/** One score, natural units. */
export function scoreOne(task: usize, s: f64, batch: i32, head: i32, i: i32, j: i32): f64 {
  const bias = <f64>load<f32>(rowAt(task, Operand.Bias, batch, head, i) + (<usize>j << 2));
  return bias == -Infinity ? bias : s + bias; // masks, whatever the product holds
}

/** Whether query i may attend to no key in [from, to). */
export function hideRow(task: usize, batch: i32, head: i32, i: i32, from: i32, to: i32): bool {
  const row = rowAt(task, Operand.Bias, batch, head, i), masked = f32x4.splat(-Infinity);
  let p = row + (<usize>from << 2);
  const end = row + (<usize>to << 2);
  for (; p + 16 <= end; p += 16) {
    if (v128.any_true(f32x4.ne(v128.load(p), masked))) return false;
  }
  for (; p < end; p += 4) if (load<f32>(p) != -Infinity) return false;
  return true;
}

/** The most that is added to a score of query i and a key in [from, to), natural units. */
export function mostAdded(task: usize, batch: i32, head: i32, i: i32, from: i32, to: i32): f32 {
  let p = rowAt(task, Operand.Bias, batch, head, i) + (<usize>from << 2), most: f32 = -Infinity;
  for (const end = p + (<usize>(to - from) << 2); p < end; p += 4) most = max(most, load<f32>(p));
  return most;
}

/**
 * dBias[i][j] += dS[j][lane] for the first `lanes` of four lanes. Rows that the bias broadcasts share
 * an address, so lanes are added one after the other.
 */
export function gradientTile(dsp: usize, pitch: usize, n: i32, key: i32, panel: usize, lanes: i32, rows: usize): void {
  for (let lane = 0; lane < lanes; ++lane) {
    let row = load<usize>(rows + (<usize>lane << 2)) + (<usize>key << 2), p = dsp + (<usize>lane << 2);
    for (let j = 0; j < n; ++j) {
      store<f32>(row, load<f32>(row) + load<f32>(p));
      row += 4;
      p += pitch;
    }
  }
}

/** The same of one pair. */
export function gradientOne(task: usize, ds: f64, batch: i32, head: i32, i: i32, j: i32): void {
  const at = rowAt(task, Operand.DBias, batch, head, i) + (<usize>j << 2);
  store<f32>(at, load<f32>(at) + <f32>ds);
}
