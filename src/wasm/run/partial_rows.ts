// Room for partial results of the rows of a region: [part][batch][head][row][column] and the same without columns. KV
// splits leave them, which a region makes side by side, and chunks of keys, which regions make one after the other.
import { Task } from "../../../asm/abi.ts";
import { Flag, Operand } from "../../../asm/tables.gen.ts";
import type { Plan, PlannedRegion } from "../../plan/wasm/plan.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import { abiName } from "../../tensor/operands.ts";
import {
  type OperandWords,
  type PartialRows,
  type Room,
  setOperands,
  TASK_BYTES,
} from "./task_record.ts";

/** `RowStatistics.Bytes` of asm/micro/records.ts. */
const STATISTICS_BYTES = 16;

/** Nothing: results are made where they belong. */
export const NO_PARTS: PartialRows = { words: [], count: 0, outBytes: 0, lseBytes: 0 };

/** Bytes of `count` partial results of a region: of rows, of lse, of statistics. */
export function partialBytes(
  { queryHeads, kvHeads, headDim, valueDim, statistics }: AttentionProblem,
  { kernel }: Pick<Plan, "kernel">,
  region: PlannedRegion,
  count: number,
): [out: number, lse: number, statistics: number] {
  const heads = (region.kvHeadEnd - region.kvHeadBegin) * (queryHeads / kvHeads);
  const rows = (region.batchEnd - region.batchBegin) * heads * (region.rowEnd - region.rowBegin);
  const columns = kernel === "backward" ? headDim : valueDim, all = count * rows;
  return [all * columns * 4, all * 4, statistics.length > 0 ? all * STATISTICS_BYTES : 0];
}

/** Makes room for `count` partial results. */
export function placePartialRows(
  room: Room,
  problem: AttentionProblem,
  plan: Plan,
  region: PlannedRegion,
  count: number,
): PartialRows {
  if (count === 0) return NO_PARTS;
  const { queryHeads, kvHeads, headDim, valueDim } = problem, group = queryHeads / kvHeads;
  const columns = plan.kernel === "backward" ? headDim : valueDim;
  const heads = (region.kvHeadEnd - region.kvHeadBegin) * group;
  const rows = region.rowEnd - region.rowBegin;
  const all = (region.batchEnd - region.batchBegin) * heads * rows;
  const sizes = partialBytes(problem, plan, region, count);
  const record = (size: number, bytes: number): number[] => {
    const pointer = room.allocate(size);
    const [row, head, batch] = [bytes, bytes * rows, bytes * rows * heads];
    const back = region.batchBegin * batch + region.kvHeadBegin * group * head +
      region.rowBegin * row;
    return [pointer - back, batch, head, row];
  };
  return {
    words: [
      [Operand.SplitOut, record(sizes[0], columns * 4)],
      [Operand.SplitLse, record(sizes[1], 4)],
      ...sizes[2] > 0
        ? [[Operand.SplitStatistics, record(sizes[2], STATISTICS_BYTES)] as const]
        : [],
    ],
    outBytes: all * columns * 4,
    lseBytes: all * 4,
    count,
  };
}

/** What each record of partial results is to a region that makes one of them as if it were the result. */
const AS_RESULT = new Map([[Operand.SplitOut, Operand.Out], [Operand.SplitLse, Operand.Lse]]);

/** Records by which a region writes part `part` in place of results; statistics are written as those of a split. */
export function partWords(
  { words, outBytes, lseBytes }: PartialRows,
  part: number,
): OperandWords[] {
  const bytes = new Map([
    [Operand.SplitOut, outBytes],
    [Operand.SplitLse, lseBytes],
    [Operand.SplitStatistics, lseBytes / 4 * STATISTICS_BYTES],
  ]);
  return words.map(([operand, [first, ...strides]]) => [
    AS_RESULT.get(operand) ?? operand,
    [first! + part * bytes.get(operand)!, ...strides],
  ]);
}

/**
 * Writes the task that combines parts into results, whose records are `words`. It knows nothing of keys: each part was
 * repaired by those that it has, as with `mergeAttention`.
 */
export function writeMergeTask(
  room: Room,
  { valueDim, statistics }: AttentionProblem,
  parts: PartialRows,
  words: readonly OperandWords[],
): number {
  const task = room.allocate(TASK_BYTES), u32 = room.memory.u32(task, TASK_BYTES / 4).fill(0);
  setOperands(u32, [...words, ...parts.words]);
  u32[Task.ValueDim / 4] = valueDim;
  u32[Task.Splits / 4] = parts.count;
  u32[Task.SplitOutBytes / 4] = parts.outBytes;
  u32[Task.SplitLseBytes / 4] = parts.lseBytes;
  for (const name of statistics) u32[Task.Flags / 4]! |= Flag[abiName(name) as keyof typeof Flag];
  return task;
}
