// ALiBi: s -= slope |d - j|, where d is the diagonal of the query (Press et al. 2022). The slope is that
// of the head, so lanes may have slopes of their own (decode). Scores are in base 2.
import { Operand } from "../tables.gen";
import { Panel } from "../micro/records";
import { diagonalOf, rowAt, sequenceOf } from "../micro/task";
import { LOG2E, madd } from "../micro/vmath";

/** Scores fall with the distance, so that most weights of a row may be tiny. */
// @ts-ignore: decorator
@inline
export function fades(): bool {
  return true;
}

/** n scores of four lanes, the first of them for key `key`. `rows`: the addresses of four slopes. */
export function scoreTile(task: usize, sp: usize, pitch: usize, n: i32, key: i32, panel: usize, rows: usize): void {
  const a = load<f32>(load<usize>(rows)), b = load<f32>(load<usize>(rows, 4));
  const c = load<f32>(load<usize>(rows, 8)), d = load<f32>(load<usize>(rows, 12));
  const slope = f32x4.mul(f32x4(a, b, c, d), f32x4.splat(-LOG2E)), one = i32x4.splat(1);
  let distance = i32x4.sub(v128.load(panel, Panel.Diagonal), i32x4.splat(key));
  for (let j = 0; j < n; ++j) {
    v128.store(sp, madd(slope, f32x4.convert_i32x4_s(i32x4.abs(distance)), v128.load(sp)));
    distance = i32x4.sub(distance, one);
    sp += pitch;
  }
}

/** |d - j| of query i and key j. */
function distanceOf(task: usize, batch: i32, i: i32, j: i32): f64 {
  return abs(<f64>diagonalOf(sequenceOf(task, batch), i) - <f64>j);
}

/** One score, natural units. */
export function scoreOne(task: usize, s: f64, batch: i32, head: i32, i: i32, j: i32): f64 {
  return s - <f64>load<f32>(rowAt(task, Operand.AlibiSlopes, batch, head, i)) * distanceOf(task, batch, i, j);
}

// The sum of dS |d - j| over the pairs of a head that the item at hand has seen: in float64, because dS
// sums to nearly 0 over a row while distances grow. Each thread has its own instance of this module.
let sum: f64 = 0;

/** A head of an item begins. */
export function beginGradient(task: usize, batch: i32, head: i32, split: i32): void {
  sum = 0;
}

/** Adds up n keys of four lanes; lanes past the last row hold 0. */
export function gradientTile(dsp: usize, pitch: usize, n: i32, key: i32, panel: usize, lanes: i32): void {
  const one = i32x4.splat(1);
  let distance = i32x4.sub(v128.load(panel, Panel.Diagonal), i32x4.splat(key)), s = f32x4.splat(0);
  for (let j = 0; j < n; ++j) {
    s = madd(v128.load(dsp), f32x4.convert_i32x4_s(i32x4.abs(distance)), s);
    distance = i32x4.sub(distance, one);
    dsp += pitch;
  }
  sum += (<f64>f32x4.extract_lane(s, 0) + <f64>f32x4.extract_lane(s, 1)) +
    (<f64>f32x4.extract_lane(s, 2) + <f64>f32x4.extract_lane(s, 3));
}

/** The same of one pair. */
export function gradientOne(task: usize, ds: f64, batch: i32, head: i32, i: i32, j: i32): void {
  sum += ds * distanceOf(task, batch, i, j);
}

/** Writes what the item has for a head. */
export function writeGradient(task: usize, batch: i32, head: i32, split: i32): void {
  store<f32>(rowAt(task, Operand.DAlibiSlopes, batch, head, split), <f32>-sum);
}
