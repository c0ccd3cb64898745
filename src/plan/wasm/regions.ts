// Windows: which part of host tensors lies in engine memory at a time. A window is some batch elements,
// some kv heads with their query heads, and some query rows; keys are always whole. Small windows keep
// memory near the size of one head; they must stay large enough that their fixed cost (about 10 us) and,
// where heads are interleaved in memory, the copying of single rows does not show.
import { count, type OperandSpec } from "../../tensor/view.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import type { KernelName } from "../kernel.ts";

/** A box of (batch, kv head, query row). */
export interface Span3 {
  readonly batchBegin: number;
  readonly batchEnd: number;
  readonly kvHeadBegin: number;
  readonly kvHeadEnd: number;
  readonly rowBegin: number;
  readonly rowEnd: number;
}

const MiB = 2 ** 20;
/** A window of about this size keeps its fixed cost below a percent. */
const WINDOW_BYTES = 1 * MiB;
/** Interleaved heads are copied together, in one piece, up to this size. */
const SLAB_BYTES = 16 * MiB;
/** Rows are windowed when the row operands of one group exceed this. */
const ROW_BYTES = 4 * MiB;

/**
 * Most work of one item, about 0.2 s of one thread: between items a call looks at its signal and lets the
 * event loop turn. A backward item is all the rows of its window.
 */
export const ITEM_FLOPS: number = 12e9;

/** Whether an operand is used where it lies: resident f32 needs no staging. */
export function inPlace(spec: OperandSpec | undefined): boolean {
  return spec !== undefined && spec.resident && spec.dtype === "f32";
}

/** A mask or bias that all heads share is staged once for the whole call up to this size. */
const WHOLE_BYTES = 64 * MiB;

/** Whether a mask or bias is staged whole. */
export function stagedWhole(spec: OperandSpec): boolean {
  return spec.size[1] === 1 && count(spec.size) * (spec.dtype === "bool" ? 1 : 4) <= WHOLE_BYTES;
}

/** Staged bytes of one query row of one kv group (with its query heads), and of the group's keys. */
function groupBytes(problem: AttentionProblem): { row: number; keys: number } {
  const { operands, headDim, valueDim, kvHeads, queryHeads, lengthK } = problem;
  const group = queryHeads / Math.max(1, kvHeads);
  let row = 0, keys = 0;
  if (!inPlace(operands.q)) row += group * (headDim + valueDim + 1) * 4;
  if (problem.pass === "backward" && !inPlace(operands.q)) row += group * (headDim + valueDim) * 4;
  const { bias, mask } = operands;
  if (bias && !stagedWhole(bias)) row += (bias.size[1] > 1 ? group : 1) * lengthK * 4;
  if (bias && problem.pass === "backward") row += group * lengthK * 4;
  if (mask && !stagedWhole(mask)) row += (mask.size[1] > 1 ? group : 1) * lengthK;
  const copies = problem.pass === "backward" ? 2 : 1;
  if (!inPlace(operands.k)) keys += lengthK * headDim * 4 * copies;
  if (!inPlace(operands.v)) keys += lengthK * valueDim * 4 * copies;
  return { row, keys };
}

/** Whether the rows of one head follow each other in memory. */
function headsApart(problem: AttentionProblem): boolean {
  const { q, k } = problem.operands;
  return [q, k].every((spec) => spec === undefined || spec.strides[2] <= spec.size[3]);
}

/** Rows of a window: all of them unless they would take too much memory, or too long in one piece. */
function rowsOfWindow(problem: AttentionProblem, kernel: KernelName, rowBytes: number): number {
  const { lengthQ, lengthK, headDim, valueDim, queryHeads, kvHeads } = problem;
  if (kernel === "decode" || lengthQ === 0) return lengthQ;
  const multiple = (rows: number) => Math.max(256, Math.floor(rows / 256) * 256);
  let rows = lengthQ;
  if (rowBytes * lengthQ > ROW_BYTES) rows = Math.min(rows, multiple(ROW_BYTES / rowBytes));
  if (kernel === "backward") {
    // windows that run in turn cost a barrier each, so they are not made smaller than that
    const perRow = 2 * (queryHeads / kvHeads) * lengthK * (3 * headDim + 2 * valueDim);
    rows = Math.min(rows, multiple(ITEM_FLOPS / Math.max(1, perRow)));
  }
  // windows of about the same size
  return Math.min(rows, Math.ceil(lengthQ / Math.ceil(lengthQ / rows) / 256) * 256);
}

/** The windows of a problem, in the order in which they are staged. */
export function stageWindows(problem: AttentionProblem, kernel: KernelName): Span3[] {
  const { batch, kvHeads, lengthQ } = problem;
  const windows: Span3[] = [];
  if (batch === 0 || kvHeads === 0 || problem.queryHeads === 0) return windows;
  const { row, keys } = groupBytes(problem), rows = rowsOfWindow(problem, kernel, row);
  const one = row * lengthQ + keys, slab = one * kvHeads;
  // dBias rows that several heads share are summed window by window, so a window holds one kv head
  const alone = problem.pass === "backward" && problem.operands.bias !== undefined;
  let heads = Math.max(1, Math.floor(WINDOW_BYTES / Math.max(1, one)));
  if (one === 0 || (!headsApart(problem) && slab <= SLAB_BYTES)) heads = kvHeads;
  if (alone) heads = 1;
  heads = Math.min(heads, kvHeads);
  const batches = one === 0 && !alone
    ? batch
    : heads === kvHeads && !alone && rows >= lengthQ
    ? Math.max(1, Math.floor(WINDOW_BYTES / Math.max(1, slab)))
    : 1;
  for (let b = 0; b < batch; b += batches) {
    for (let h = 0; h < kvHeads; h += heads) {
      for (let r = 0; r < Math.max(1, lengthQ); r += Math.max(1, rows)) {
        windows.push({
          batchBegin: b,
          batchEnd: Math.min(batch, b + batches),
          kvHeadBegin: h,
          kvHeadEnd: Math.min(kvHeads, h + heads),
          rowBegin: r,
          rowEnd: Math.min(lengthQ, r + rows),
        });
      }
    }
  }
  return windows;
}
