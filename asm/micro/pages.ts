// Rows of K and V, wherever they lie: in one piece for each sequence and head, or in the pages of a cache, which are
// found by a table; as float32, or stored in fewer bits.
import { DTypeCode, OperandWord, Task } from "../abi";
import { Operand } from "../tables.gen";
import { widen } from "./convert";
import { rowStride } from "./task";

// @ts-ignore: decorator
@inline
function recordOf(task: usize, operand: i32): usize {
  return task + <usize>(Task.Operands + operand * OperandWord.Bytes);
}

/** Byte address of row j of K or V. */
export function keyRow(task: usize, operand: i32, batch: i32, head: i32, j: i32): usize {
  const record = recordOf(task, operand), pages = recordOf(task, Operand.Pages), table = load<usize>(pages, OperandWord.Pointer);
  let page = batch;
  if (table) {
    j += load<i32>(pages, OperandWord.Head);
    const rows = load<i32>(pages, OperandWord.Row);
    page = load<i32>(table + <usize>batch * load<usize>(pages, OperandWord.Batch) + (<usize>(j / rows) << 2));
    j %= rows;
  }
  return load<usize>(record, OperandWord.Pointer) + <usize>page * load<usize>(record, OperandWord.Batch) +
    <usize>head * load<usize>(record, OperandWord.Head) + <usize>j * load<usize>(record, OperandWord.Row);
}

/** How many of n rows from row j on lie one behind the other. */
export function rowsAhead(task: usize, j: i32, n: i32): i32 {
  const pages = recordOf(task, Operand.Pages);
  if (load<usize>(pages, OperandWord.Pointer) == 0) return n;
  const rows = load<i32>(pages, OperandWord.Row);
  return min(n, rows - (j + load<i32>(pages, OperandWord.Head)) % rows);
}

/** Whether n rows of `columns` values from row j on can be read where they lie, as rows of float32 side by side. */
export function sideBySide(task: usize, operand: i32, j: i32, n: i32, columns: i32): bool {
  return load<i32>(task, Task.KvDtype) == DTypeCode.F32 && rowStride(task, operand) == <usize>columns << 2 && rowsAhead(task, j, n) == n;
}

/** Brings n rows from row j on to dst, as rows of float32 side by side. */
export function bringRows(task: usize, operand: i32, batch: i32, head: i32, j: i32, n: i32, dst: usize, columns: i32): void {
  const stride = rowStride(task, operand), dtype = load<i32>(task, Task.KvDtype);
  while (n > 0) {
    const run = rowsAhead(task, j, n);
    let row = keyRow(task, operand, batch, head, j);
    j += run;
    n -= run;
    for (let i = 0; i < run; ++i, row += stride, dst += <usize>columns << 2) widen(row, dst, columns, dtype);
  }
}
