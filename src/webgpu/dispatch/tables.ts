// `tables`: what kernels look up about a window, in one buffer: its sequences (three words each: keys, low, high),
// its work items (shaders/parts/item.ts), and the bytes of its mask.
import { ITEM_WORDS } from "../../../shaders/abi.ts";
import type { Axes, View } from "../../tensor/view.ts";
import { type GpuItem, localSpans } from "../../plan/webgpu/work_items.ts";
import type { GpuWindow } from "../../plan/webgpu/plan.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import type { MaskTensor } from "../../tensor/tensor.ts";
import { sliceBuffer } from "./slices.ts";

/** Query heads of a group that a window holds. */
export function groupOf(window: GpuWindow): number {
  return window.groupEnd - window.groupBegin;
}

/** The words, and where things begin: items in items, the mask in bytes. */
export interface Tables {
  readonly data: Int32Array<ArrayBuffer>;
  readonly rowBase: number;
  readonly keyBase: number;
  readonly maskByte: number;
  readonly maskStrides?: Axes;
}

/** The bytes of a mask that a window sees. */
function maskBytes(mask: View, window: GpuWindow, group: number): Uint8Array {
  const where = { box: window, follows: "scores", group, alignment: 1 } as const;
  // no buffer: only the range is wanted
  const { offset, size } = sliceBuffer(undefined as never, 0, mask, where);
  return (mask.tensor as MaskTensor).data.subarray(offset, offset + size);
}

/** The tables of a window. */
export function windowTables(
  problem: AttentionProblem,
  window: GpuWindow,
  mask: View | undefined,
): Tables {
  const spans = localSpans(problem, window), group = problem.queryHeads / problem.kvHeads;
  const rowBase = Math.ceil(spans.length * 3 / ITEM_WORDS);
  const keyBase = rowBase + window.rowItems.length;
  const maskByte = (keyBase + window.keyItems.length) * ITEM_WORDS * 4;
  const bytes = mask ? maskBytes(mask, window, group) : undefined;
  const data = new Int32Array(Math.ceil((maskByte + (bytes?.length ?? 0)) / 4));
  spans.forEach(({ lengthK, low, high }, n) => data.set([lengthK, low, high], 3 * n));
  const write = (base: number, items: readonly GpuItem[]) =>
    items.forEach((item, n) => {
      const { batch, first, begin, end, low, high, limit, slot } = item;
      data.set([batch, first, begin, end, low, high, limit, slot], (base + n) * ITEM_WORDS);
    });
  write(rowBase, window.rowItems);
  write(keyBase, window.keyItems);
  if (bytes) new Uint8Array(data.buffer).set(bytes, maskByte);
  return { data, rowBase, keyBase, maskByte, maskStrides: mask?.strides };
}
