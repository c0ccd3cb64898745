// Reading a task: where an operand's rows lie, and what one sequence may see.
import { Item, OperandWord, Sequence, Task } from "../abi";
import { Operand } from "../tables.gen";

/** Byte address of row 0 of `operand` for a batch element and head. */
// @ts-ignore: decorator
@inline
export function rowsOf(task: usize, operand: i32, batch: i32, head: i32): usize {
  const record = task + <usize>(Task.Operands + operand * OperandWord.Bytes);
  return load<usize>(record, OperandWord.Pointer) + <usize>batch * load<usize>(record, OperandWord.Batch) +
    <usize>head * load<usize>(record, OperandWord.Head);
}

/** Bytes from one row of `operand` to the next. */
// @ts-ignore: decorator
@inline
export function rowStride(task: usize, operand: i32): usize {
  return load<usize>(task + <usize>(Task.Operands + operand * OperandWord.Bytes), OperandWord.Row);
}

/** Byte address of row i of `operand`. */
// @ts-ignore: decorator
@inline
export function rowAt(task: usize, operand: i32, batch: i32, head: i32, i: i32): usize {
  return rowsOf(task, operand, batch, head) + <usize>i * rowStride(task, operand);
}

/** Whether the task has this operand at all. */
// @ts-ignore: decorator
@inline
export function has(task: usize, operand: i32): bool {
  return load<usize>(task + <usize>(Task.Operands + operand * OperandWord.Bytes), OperandWord.Pointer) != 0;
}

// @ts-ignore: decorator
@inline
export function sequenceOf(task: usize, batch: i32): usize {
  return load<usize>(task, Task.Sequences) + <usize>(batch * Sequence.Bytes);
}

/** First key that query i may see, of those that are there. */
// @ts-ignore: decorator
@inline
export function firstKey(sequence: usize, i: i32): i32 {
  return max(load<i32>(sequence, Sequence.KeyBegin), i + load<i32>(sequence, Sequence.Low));
}

/** One past the last key that query i may see, of those that are there; possibly below firstKey. */
// @ts-ignore: decorator
@inline
export function endKey(sequence: usize, i: i32): i32 {
  return min(load<i32>(sequence, Sequence.KeyEnd), i + load<i32>(sequence, Sequence.High) + 1);
}

/** Where the diagonal of query i lies. */
// @ts-ignore: decorator
@inline
export function diagonalOf(sequence: usize, i: i32): i32 {
  return i + load<i32>(sequence, Sequence.Offset);
}

// @ts-ignore: decorator
@inline
export function kvHeadOf(task: usize, head: i32): i32 {
  return head / load<i32>(task, Task.GroupSize);
}

// @ts-ignore: decorator
@inline
export function taskOf(item: usize): usize {
  return load<usize>(item, Item.Task);
}
