// Small questions about single rows.
import { Task } from "../abi";
import { Operand } from "../tables.gen";
import { element } from "./convert";
import { naturalOf } from "./range";
import { has, rowAt } from "./task";
import { LN2, madd, sum4 } from "./vmath";
import { exp, log2 } from "./real";

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
