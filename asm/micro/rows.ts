// Small questions about single rows.
import { Task } from "../abi";
import { Operand } from "../tables.gen";
import { element } from "./convert";
import { naturalOf } from "./range";
import { has, rowAt } from "./task";
import { LN2, madd, sum4 } from "./vmath";
import { exp, log2, log2Four } from "./real";

/** Whether all n values of a row are finite: 0 * x is NaN for the others. */
export function finite(row: usize, n: i32): bool {
  let check = f32x4.splat(0), d = 0;
  const zero = f32x4.splat(0);
  for (; d + 4 <= n; d += 4, row += 16) check = f32x4.add(check, f32x4.mul(v128.load(row), zero));
  let s = sum4(check);
  for (; d < n; ++d, row += 4) s += load<f32>(row) * 0;
  return s == 0;
}

/**
 * lse of a row from its softmax state, which holds -m in base 2; minus infinity where it saw no key. `bent`: see
 * range.ts.
 */
// @ts-ignore: decorator
@inline
export function lseOf(l: f32, negativeM: f32, bent: bool): f32 {
  if (l == 0) return -Infinity;
  if (bent && negativeM > 1e38) return <f32>naturalOf(-negativeM, true); // ln l is far below its last place
  return (log2(l) - negativeM) * LN2;
}

/** lse of four rows, whose l and -m are in lanes, to `to`: the bits of lseOf, in a fifth of the time. */
export function lsesOf(l: v128, negativeM: v128, bent: bool, to: usize): void {
  const usual = v128.and(f32x4.gt(l, f32x4.splat(0)), f32x4.lt(l, f32x4.splat(Infinity)));
  if (!bent && i32x4.all_true(usual)) {
    return v128.store(to, f32x4.mul(f32x4.sub(log2Four(l), negativeM), f32x4.splat(LN2)));
  }
  store<f32>(to, lseOf(f32x4.extract_lane(l, 0), f32x4.extract_lane(negativeM, 0), bent));
  store<f32>(to, lseOf(f32x4.extract_lane(l, 1), f32x4.extract_lane(negativeM, 1), bent), 4);
  store<f32>(to, lseOf(f32x4.extract_lane(l, 2), f32x4.extract_lane(negativeM, 2), bent), 8);
  store<f32>(to, lseOf(f32x4.extract_lane(l, 3), f32x4.extract_lane(negativeM, 3), bent), 12);
}

/** a . b over n columns; b holds values of type `dtype`. */
export function dot(a: usize, b: usize, n: i32, dtype: i32): f64 {
  let s: f64 = 0;
  for (let d = 0; d < n; ++d) s += <f64>load<f32>(a + (<usize>d << 2)) * <f64>element(b, d, dtype);
  return s;
}

/** Weight of a score against the logarithm of the sum; the only infinite score has weight 1. */
export function weight(s: f64, lse: f64): f64 {
  if (lse == Infinity) return s == Infinity ? 1 : s != s ? s : 0;
  return exp(s - lse);
}

/** delta of one query row: sum of dO * O, less the gradient that lse itself was given. */
export function delta(task: usize, batch: i32, head: i32, i: i32): f32 {
  let o = rowAt(task, Operand.Out, batch, head, i);
  let g = rowAt(task, Operand.DOut, batch, head, i);
  const n = load<i32>(task, Task.ValueDim);
  let sum = f32x4.splat(0), d = 0;
  for (; d + 4 <= n; d += 4, o += 16, g += 16) sum = madd(v128.load(o), v128.load(g), sum);
  let s = sum4(sum);
  for (; d < n; ++d, o += 4, g += 4) s += load<f32>(o) * load<f32>(g);
  if (has(task, Operand.DLse)) {
    s -= load<f32>(rowAt(task, Operand.DLse, batch, head, i));
  }
  return s;
}
