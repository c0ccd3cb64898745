// mergeAttention on the CPU: some rows of one head at a time, so memory stays small.
import { Item, Kernel, OperandWord, Task } from "../../../asm/abi.ts";
import { Operand } from "../../../asm/tables.gen.ts";
import type { MergePart, MergeShape } from "../../problem/merge.ts";
import { mergeSpecs } from "../../problem/results.ts";
import type { LinearMemory } from "../memory/linear_memory.ts";
import type { KernelExports } from "../module/module.ts";
import { operandAt, TASK_BYTES } from "./task_record.ts";
import { disposeResults, makeResults, type ResultView } from "../memory/results.ts";
import { bringHead, headRows, rowsAtATime, takeHead } from "./heads.ts";

/** Merges parts over disjoint keys. */
export function mergeParts(
  memory: LinearMemory,
  kernels: KernelExports,
  parts: readonly MergePart[],
  shape: MergeShape,
): ResultView[] {
  const { batch, heads, length, valueDim } = shape, rowBytes = valueDim * 4;
  const results = makeResults(memory, mergeSpecs(shape, parts[0]!));

  const each = (rowBytes + 4) * (parts.length + 1), most = rowsAtATime(length, each);
  const headBytes = most * rowBytes, blocks: number[] = [];
  const allocate = (bytes: number) => {
    const pointer = memory.allocate(bytes + 16);
    blocks.push(pointer);
    return pointer;
  };
  try {
    const task = allocate(TASK_BYTES), item = allocate(Item.Bytes), temporary = allocate(headBytes);
    const out = allocate(headBytes), lse = allocate(most * 4);
    const partOut = allocate(headBytes * parts.length),
      partLse = allocate(most * 4 * parts.length);
    const words = memory.u32(task, TASK_BYTES / 4).fill(0);
    const record = (operand: Operand, pointer: number, row: number) => {
      words[operandAt(operand) / 4] = pointer;
      words[(operandAt(operand) + OperandWord.Row) / 4] = row;
    };
    record(Operand.Out, out, rowBytes);
    record(Operand.Lse, lse, 4);
    record(Operand.SplitOut, partOut, rowBytes);
    record(Operand.SplitLse, partLse, 4);
    words[Task.ValueDim / 4] = valueDim;
    words[Task.Splits / 4] = parts.length;
    words[Task.SplitOutBytes / 4] = headBytes;
    words[Task.SplitLseBytes / 4] = most * 4;
    for (const rows of headRows([batch, heads, length], each)) {
      const count = rows.end - rows.begin;
      memory.u32(item, Item.Bytes / 4).set([Kernel.Combine, task, 0, 0, 0, count, 0, 0, 0, 0]);
      parts.forEach((part, p) => {
        bringHead(memory, kernels, part.out, rows, partOut + p * headBytes, temporary);
        bringHead(memory, kernels, part.lse, rows, partLse + p * most * 4, temporary);
      });
      kernels.run(item, 0);
      takeHead(memory, kernels, results[0]!, rows, out, temporary);
      takeHead(memory, kernels, results[1]!, rows, lse, temporary);
    }
    return results;
  } catch (error) {
    disposeResults(results);
    throw error;
  } finally {
    for (const block of blocks) memory.free(block);
  }
}
