// Writing what the kernels read: the task record of a region, its sequences, its items, and room for
// partial results. Field offsets come from asm/abi.ts, which the kernels are compiled from too.
import { Item, OperandWord, Sequence, Task } from "../../../asm/abi.ts";
import { Flag, Operand, Scalar } from "../../../asm/tables.gen.ts";
import { DTYPE_CODES } from "../module/dtype_codes.ts";
import type { DType } from "../../tensor/dtype.ts";
import { abiName, gradientsOf, type OperandName, OPERANDS } from "../../tensor/operands.ts";
import { UNBOUNDED } from "../../problem/features/feature.ts";
import { feature, numbersOf } from "../../problem/features/table.ts";
import type { Plan, PlannedRegion } from "../../plan/wasm/plan.ts";
import type { DotForm } from "../../plan/target.ts";
import type { WorkItem } from "../../plan/wasm/work_items.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import type { LinearMemory } from "../memory/linear_memory.ts";

/** Bytes of a task. */
export const TASK_BYTES: number = Task.Operands + Operand.Count * OperandWord.Bytes;

/** Where the record of an operand lies in a task. */
export function operandAt(operand: Operand): number {
  return Task.Operands + operand * OperandWord.Bytes;
}

/** Pointer and byte strides of (batch, head, row) of one operand; of blocks also how many queries a row has, as log2. */
export type OperandWords = readonly [operand: Operand, words: readonly number[]];

/** Memory that lives as long as the region. */
export interface Room {
  readonly memory: LinearMemory;
  allocate(bytes: number): number;
}

/** Where partial results of rows lie. */
export interface PartialRows {
  /** Records of the operands that have them. */
  readonly words: readonly OperandWords[];
  /** Parts, and bytes from one to the next. */
  readonly count: number;
  readonly outBytes: number;
  readonly lseBytes: number;
}

/** Which tiles make products of bytes. */
const DOT_FLAGS: Readonly<Record<DotForm, number>> = {
  "one instruction": Flag.Fours,
  "three instructions": Flag.TwoByTwo,
  "plain SIMD": 0,
};

/** Flags of products that are made of integers. */
export function integerFlags({ dots, integerOutputs }: Plan): number {
  if (!dots) return 0;
  return Flag.Integers | DOT_FLAGS[dots] | (integerOutputs ? Flag.IntegerOutputs : 0);
}

/** The flag of a feature, of a statistic or of a gradient; 0 for those that kernels need not know, like structural masks. */
function flagOf(name: string): number {
  return Flag[abiName(name) as keyof typeof Flag] ?? 0;
}

/** Inputs that join a row once, in the region that has its first keys. */
function joinsRows({ features }: AttentionProblem): OperandName[] {
  return features.map(({ name }) => feature(name)).filter(({ stage }) => stage === "state")
    .flatMap(({ operands = [] }) => operands);
}

/** Flags of features and of gradients that are summed, and the numbers that features bring. */
function writeFeatures(
  problem: AttentionProblem,
  { moreKeys }: PlannedRegion,
  u32: Uint32Array,
  f32: Float32Array,
): void {
  let flags = 0;
  const backward = problem.pass === "backward", joined = moreKeys ? joinsRows(problem) : [];
  for (const use of problem.features) {
    // gradients look at what has joined a row wherever they meet it
    if (backward || !moreKeys || feature(use.name).stage !== "state") flags |= flagOf(use.name);
    const { scalars, words } = numbersOf(use);
    for (const [target, numbers] of [[f32, scalars], [u32, words]] as const) {
      for (const [name, value] of Object.entries(numbers)) {
        target[Scalar[abiName(name) as keyof typeof Scalar] / 4] = value;
      }
    }
  }
  for (const name of problem.statistics) flags |= flagOf(name);
  if (problem.operands.dEntropy) flags |= flagOf("dEntropy");
  for (const gradient of backward ? gradientsOf(problem.operands) : []) {
    const { summed, gradientOf } = OPERANDS[gradient];
    if (summed && !joined.includes(gradientOf!)) flags |= flagOf(`${gradientOf}Gradient`);
  }
  if (problem.captured > 0) {
    for (const { name } of problem.features) {
      flags |= feature(name).learns ? flagOf(`${name}Gradient`) : 0;
    }
  }
  u32[Task.Flags / 4]! |= flags;
}

/** Writes sequences; a diagonal far outside any length stays there. Of their keys, those of the region are there. */
function writeSequences(
  room: Room,
  spans: AttentionProblem["spans"],
  { keyBegin, keyEnd }: PlannedRegion,
  pointer: number,
): void {
  const n = Sequence.Bytes / 4;
  const table = new Int32Array(room.memory.memory.buffer, pointer, spans.length * n);
  spans.forEach(({ lengthQ, lengthK, offset, low, high }, b) => {
    const at = b * n;
    table[at + Sequence.LengthQ / 4] = lengthQ;
    table[at + Sequence.LengthK / 4] = lengthK;
    table[at + Sequence.Offset / 4] = Math.max(-UNBOUNDED, Math.min(UNBOUNDED, offset));
    table[at + Sequence.Low / 4] = low;
    table[at + Sequence.High / 4] = high;
    table[at + Sequence.KeyBegin / 4] = keyBegin;
    table[at + Sequence.KeyEnd / 4] = Math.min(lengthK, keyEnd);
  });
}

/** Writes records of operands into a task. */
export function setOperands(u32: Uint32Array, words: readonly OperandWords[]): void {
  for (const [operand, record] of words) {
    const [shift] = record.slice(4);
    u32.set(record.slice(0, 4), operandAt(operand) / 4);
    if (shift === undefined) continue;
    u32[Task.Flags / 4]! |= Flag.Blocks;
    u32[Task.BlockShift / 4] = shift;
  }
}

/** Writes the task of a region; returns its address. */
export function writeTask(
  room: Room,
  problem: AttentionProblem,
  plan: Plan,
  region: PlannedRegion,
  words: readonly OperandWords[],
  splits: PartialRows,
  programs: readonly (readonly [word: number, address: number])[],
): number {
  const { headDim, valueDim, queryHeads, kvHeads } = problem;
  // those of the region only: a problem may have as many regions as sequences
  const spans = problem.spans.slice(region.batchBegin, region.batchEnd);
  const task = room.allocate(TASK_BYTES);
  const sequences = room.allocate(spans.length * Sequence.Bytes);
  // views only now: allocating may have grown the memory
  const u32 = room.memory.u32(task, TASK_BYTES / 4).fill(0);
  setOperands(u32, [...words, ...splits.words]);
  for (const [word, address] of programs) u32[word] = address;
  u32[Task.SplitOutBytes / 4] = splits.outBytes;
  u32[Task.SplitLseBytes / 4] = splits.lseBytes;
  u32[Task.Splits / 4] = splits.count;
  u32[Task.Sequences / 4] = sequences - region.batchBegin * Sequence.Bytes;
  u32[Task.HeadDim / 4] = headDim;
  u32[Task.ValueDim / 4] = valueDim;
  u32[Task.GroupSize / 4] = queryHeads / kvHeads;
  u32[Task.LengthQ / 4] = region.rowEnd - region.rowBegin; // read where regions have all rows
  u32[Task.Count / 4] = problem.count;
  u32[Task.Tile / 4] = plan.kernel === "backward" ? plan.tile.rows : plan.tile.keys;
  const { k } = problem.operands; // others see f32: keys of other types were widened when they were staged
  if (plan.kernel === "decode" || k?.pages) {
    u32[Task.KvDtype / 4] = DTYPE_CODES[k!.dtype as DType]!;
  }
  if (plan.pairs) u32[Task.Flags / 4]! |= Flag.Pairs;
  u32[Task.Flags / 4]! |= integerFlags(plan);
  if (region.accumulate) u32[Task.Flags / 4]! |= Flag.Accumulate;
  const f32 = room.memory.f32(task, TASK_BYTES / 4);
  f32[Task.Scale / 4] = problem.softmaxScale;
  writeFeatures(problem, region, u32, f32);
  writeSequences(room, spans, region, sequences);
  return task;
}

/** Writes items; returns their addresses. `index`: the region's place in the plan. */
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
