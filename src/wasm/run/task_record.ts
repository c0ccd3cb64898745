// Writing what the kernels read: the task record of a window, its sequences, its items, and room for
// partial results. Field offsets come from asm/abi.ts, which the kernels are compiled from too.
import { Flag, Item, Operand, OperandWord, Sequence, Task } from "../../../asm/abi.ts";
import { DTYPE_CODES } from "../module/dtype_codes.ts";
import type { DType } from "../../tensor/dtype.ts";
import { abiName, gradientsOf, OPERANDS } from "../../tensor/operands.ts";
import { feature } from "../../problem/features/table.ts";
import type { Plan, StageWindow } from "../../plan/wasm/plan.ts";
import type { WorkItem } from "../../plan/wasm/work_items.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import type { LinearMemory } from "../memory/linear_memory.ts";

/** Pointer and byte strides of (batch, head, row) of one operand. */
export type OperandWords = readonly [operand: Operand, words: readonly number[]];

/** Memory that lives as long as the window. */
export interface Room {
  readonly memory: LinearMemory;
  allocate(bytes: number): number;
}

/** Flags of the features that act on single scores, and the scalars they bring. */
function writeFeatures(
  problem: AttentionProblem,
  window: StageWindow,
  u32: Uint32Array,
  f32: Float32Array,
): void {
  let flags = window.accumulate ? Flag.Accumulate : 0;
  for (const { name, params } of problem.features) {
    const { perScore, scalars } = feature(name);
    if (perScore) flags |= Flag[abiName(name) as "Softcap"];
    for (const [scalar, value] of Object.entries(scalars?.(params) ?? {})) {
      f32[Task[abiName(scalar) as "Softcap"] / 4] = value;
    }
  }
  for (const gradient of problem.pass === "backward" ? gradientsOf(problem.operands) : []) {
    const { summed, gradientOf } = OPERANDS[gradient];
    if (summed) flags |= Flag[`${abiName(gradientOf!)}Gradient` as "BiasGradient"];
  }
  u32[Task.Flags / 4] = flags;
}

/** Room for partial results: [part][batch][head][row][column] and the same without columns. */
function placeParts(
  room: Room,
  problem: AttentionProblem,
  plan: Plan,
  window: StageWindow,
): { words: OperandWords[]; outBytes: number; lseBytes: number; count: number } {
  const count = 1 + window.items.reduce((last, { slot }) => Math.max(last, slot), -1);
  if (count === 0) return { words: [], outBytes: 0, lseBytes: 0, count };
  const { queryHeads, kvHeads, headDim, valueDim } = problem, group = queryHeads / kvHeads;
  const columns = plan.kernel === "backward" ? headDim : valueDim;
  const heads = (window.kvHeadEnd - window.kvHeadBegin) * group;
  const rows = window.rowEnd - window.rowBegin;
  const all = (window.batchEnd - window.batchBegin) * heads * rows;
  const record = (bytes: number): number[] => {
    const pointer = room.allocate(count * all * bytes);
    const [row, head, batch] = [bytes, bytes * rows, bytes * rows * heads];
    const back = window.batchBegin * batch + window.kvHeadBegin * group * head +
      window.rowBegin * row;
    return [pointer - back, batch, head, row];
  };
  return {
    words: [[Operand.PartOut, record(columns * 4)], [Operand.PartLse, record(4)]],
    outBytes: all * columns * 4,
    lseBytes: all * 4,
    count,
  };
}

/** Writes the task of a window; returns its address. */
export function writeTask(
  room: Room,
  problem: AttentionProblem,
  plan: Plan,
  window: StageWindow,
  words: readonly OperandWords[],
): number {
  const { headDim, valueDim, queryHeads, kvHeads, lengthQ, spans } = problem;
  const task = room.allocate(Task.Bytes);
  const sequences = room.allocate(spans.length * Sequence.Bytes);
  const parts = placeParts(room, problem, plan, window);
  // views only now: allocating may have grown the memory
  const u32 = room.memory.u32(task, Task.Bytes / 4).fill(0);
  for (const [operand, record] of [...words, ...parts.words]) {
    record.forEach((word, i) => u32[(operand * OperandWord.Bytes) / 4 + i] = word);
  }
  u32[Task.PartOutBytes / 4] = parts.outBytes;
  u32[Task.PartLseBytes / 4] = parts.lseBytes;
  u32[Task.Parts / 4] = parts.count;
  u32[Task.Sequences / 4] = sequences;
  u32[Task.HeadDim / 4] = headDim;
  u32[Task.ValueDim / 4] = valueDim;
  u32[Task.GroupSize / 4] = queryHeads / kvHeads;
  u32[Task.LengthQ / 4] = lengthQ;
  u32[Task.Tile / 4] = plan.kernel === "backward" ? plan.tile.rows : plan.tile.keys;
  // the other kernels see f32: 16-bit keys were widened when they were staged
  if (plan.kernel === "decode") {
    u32[Task.KvDtype / 4] = DTYPE_CODES[problem.operands.k!.dtype as DType]!;
  }
  const f32 = room.memory.f32(task, Task.Bytes / 4);
  f32[Task.Scale / 4] = problem.softmaxScale;
  writeFeatures(problem, window, u32, f32);
  const table = new Int32Array(room.memory.memory.buffer, sequences, spans.length * 4);
  spans.forEach((span, b) => table.set([span.lengthQ, span.lengthK, span.low, span.high], b * 4));
  return task;
}

/** Writes items; returns their addresses. `index`: the window's place in the plan. */
export function writeItems(
  room: Room,
  items: readonly WorkItem[],
  task: number,
  index: number,
): number[] {
  if (items.length === 0) return [];
  const base = room.allocate(items.length * Item.Bytes);
  const words = new Int32Array(room.memory.memory.buffer, base, items.length * Item.Bytes / 4);
  items.forEach((item, i) => {
    const { kernel, batch, head, rowBegin, rowEnd, keyBegin, keyEnd, slot } = item;
    const record = [kernel, task, batch, head, rowBegin, rowEnd, keyBegin, keyEnd, slot, index];
    words.set(record, i * Item.Bytes / 4);
  });
  return items.map((_, i) => base + i * Item.Bytes);
}
