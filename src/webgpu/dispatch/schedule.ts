// The schedule buffer: what kernels look up about a region, in one binding: its sequences (four words each: keys, low,
// high, offset), its work items (shaders/parts/item.ts), and behind them inputs that are no bindings of their own.
import { ITEM_WORDS, SEQUENCE_WORDS } from "../../../shaders/abi.ts";
import type { PlannedRegion } from "../../plan/webgpu/plan.ts";
import { isScheduled } from "../../plan/webgpu/regions.ts";
import type { GpuItem } from "../../plan/webgpu/work_items.ts";
import type { Views } from "../../problem/problem.ts";
import { OPERAND_NAMES, type OperandName } from "../../tensor/operands.ts";
import { type Axes, elementBytes, type View } from "../../tensor/view.ts";
import { GpuTensor } from "../device/tensors.ts";
import { elementRange } from "./views.ts";

/** Where an input lies: in elements of its own size. */
export interface ScheduledInput {
  readonly at: number;
  readonly strides: Axes;
  readonly count: number;
}

/** The words, and where things begin: items in items. */
export interface Schedule {
  readonly data: Int32Array<ArrayBuffer>;
  readonly rowBase: number;
  readonly keyBase: number;
  readonly inputs: ReadonlyMap<OperandName, ScheduledInput>;
}

/** The inputs behind the items, from byte `begin` on: where each lies, and what is written there. */
function place(views: Views, region: PlannedRegion, group: number, begin: number) {
  const inputs = new Map<OperandName, ScheduledInput>(), writes: [number, Uint8Array][] = [];
  let end = begin;
  for (const name of OPERAND_NAMES) {
    const view: View | undefined = views[name];
    if (!view || !isScheduled(name)) continue;
    const { first, count } = elementRange(name, view, region, group), bytes = elementBytes(view);
    inputs.set(name, { at: end / bytes, strides: view.strides, count });
    const { tensor } = view; // a tensor on the GPU is copied there by a dispatch
    if (!(tensor instanceof GpuTensor) && "data" in tensor) {
      const { buffer, byteOffset } = tensor.data as Uint8Array;
      writes.push([end, new Uint8Array(buffer, byteOffset + first * bytes, count * bytes)]);
    }
    end += Math.ceil(count * bytes / 4) * 4;
  }
  return { inputs, writes, end };
}

/** The schedule of a region; `group`: query heads of a kv head in the whole problem. */
export function scheduleOf(region: PlannedRegion, views: Views, group: number): Schedule {
  const { spans, rowItems, keyItems } = region;
  const rowBase = Math.ceil(spans.length * SEQUENCE_WORDS / ITEM_WORDS);
  const keyBase = rowBase + rowItems.length;
  const behind = (keyBase + keyItems.length) * ITEM_WORDS * 4;
  const { inputs, writes, end } = place(views, region, group, behind);
  const data = new Int32Array(end / 4), bytes = new Uint8Array(data.buffer);
  spans.forEach(({ lengthK, low, high, offset }, n) =>
    data.set([lengthK, low, high, offset], SEQUENCE_WORDS * n)
  );
  const write = (base: number, items: readonly GpuItem[]) =>
    items.forEach((item, n) => {
      const { batch, first, begin, end, low, high, limit, slot } = item;
      data.set([batch, first, begin, end, low, high, limit, slot], (base + n) * ITEM_WORDS);
    });
  write(rowBase, rowItems);
  write(keyBase, keyItems);
  for (const [byte, values] of writes) bytes.set(values, byte);
  return { data, rowBase, keyBase, inputs };
}
