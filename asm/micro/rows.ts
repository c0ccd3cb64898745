// Small questions about single rows.
import { Operand, Task } from "../abi";
import { has, rowsOf, rowStride } from "./task";
import { madd, sum4 } from "./vmath";

/** Whether all n values of a row are finite: 0 * x is NaN for the others. */
export function finite(row: usize, n: i32): bool {
  let check = f32x4.splat(0), d = 0;
  const zero = f32x4.splat(0);
  for (; d + 4 <= n; d += 4, row += 16) check = f32x4.add(check, f32x4.mul(v128.load(row), zero));
  let s = sum4(check);
  for (; d < n; ++d, row += 4) s += load<f32>(row) * 0;
  return s == 0;
}

/** delta of one query row: sum of dO * O, less the gradient that lse itself was given. */
export function delta(task: usize, batch: i32, head: i32, i: i32): f32 {
  let o = rowsOf(task, Operand.Out, batch, head) + <usize>i * rowStride(task, Operand.Out);
  let g = rowsOf(task, Operand.DOut, batch, head) + <usize>i * rowStride(task, Operand.DOut);
  const n = load<i32>(task, Task.ValueDim);
  let sum = f32x4.splat(0), d = 0;
  for (; d + 4 <= n; d += 4, o += 16, g += 16) sum = madd(v128.load(o), v128.load(g), sum);
  let s = sum4(sum);
  for (; d < n; ++d, o += 4, g += 4) s += load<f32>(o) * load<f32>(g);
  if (has(task, Operand.DLse)) {
    s -= load<f32>(rowsOf(task, Operand.DLse, batch, head) + <usize>i * rowStride(task, Operand.DLse));
  }
  return s;
}
