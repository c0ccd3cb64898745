// The schedule buffer: what kernels look up about a region, in one binding: its sequences (four words each: keys, low,
// high, offset), its work items (shaders/parts/item.ts), and behind them inputs that are no bindings of their own, the page
// table of a cache, and what functions read: for each the keys of the sequences, as the call counts them, and the arrays that it captured.
// At the end, what mask functions say of the tiles of each item, and room for what kernels find out about them.
import {
  ITEM_WORDS,
  SEQUENCE_WORDS,
  SOME_HIDDEN,
  SOME_SEEN,
  VERDICTS_OF_WORD,
} from "../../../shaders/abi.ts";
import { callName } from "../../backend/backend.ts";
import { capturedValues } from "../../expression/held.ts";
import { ALWAYS, MIXED, NEVER, type Verdict } from "../../expression/verdict.ts";
import type { PlannedRegion } from "../../plan/webgpu/plan.ts";
import { functionsOf } from "../../plan/webgpu/functions.ts";
import { isScheduled } from "../../plan/webgpu/regions.ts";
import { type GpuItem, mostTiles } from "../../plan/webgpu/work_items.ts";
import type { FeatureName } from "../../problem/features/feature.ts";
import type { AttentionProblem, Views } from "../../problem/problem.ts";
import { Complaint } from "../../tensor/errors.ts";
import { OPERAND_NAMES, type OperandName } from "../../tensor/operands.ts";
import { type Axes, elementBytes, type View } from "../../tensor/view.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
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
  /** What the host writes; copies of what is on the GPU lie behind it. */
  readonly data: Int32Array<ArrayBuffer>;
  /** Of everything. */
  readonly byteLength: number;
  readonly rowBase: number;
  readonly keyBase: number;
  readonly inputs: ReadonlyMap<OperandName, ScheduledInput>;
  /** The word where the share of a function begins. */
  readonly functions: ReadonlyMap<FeatureName, number>;
  /** The words where the verdicts of item 0 would begin, of the host and of kernels, and words of an item. */
  readonly verdictsAt: number;
  readonly classifiedAt: number;
  readonly verdictWords: number;
  /** The word where the page table of a cache begins. */
  readonly pagesAt: number;
}

/** What is written at a byte. */
type Write = readonly [byte: number, values: Uint8Array];

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** What functions read, from byte `begin` on. */
function placeFunctions(problem: AttentionProblem, region: PlannedRegion, begin: number) {
  const functions = new Map<FeatureName, number>(), writes: Write[] = [];
  const keys = problem.spans.slice(region.batchBegin, region.batchEnd).map((s) => s.lengthK);
  let end = begin;
  const complaint = new Complaint(callName(problem));
  for (const { name, arrays, held } of functionsOf(problem)) {
    functions.set(name, end / 4);
    const captured = arrays.map((array) => capturedValues(array, held, complaint));
    for (const values of [Int32Array.from(keys), ...captured]) {
      writes.push([end, bytesOf(values)]);
      end += values.byteLength;
    }
  }
  return { functions, writes, end };
}

/** A verdict as kernels read it. */
const BITS = {
  [NEVER]: SOME_HIDDEN,
  [ALWAYS]: SOME_SEEN,
  [MIXED]: SOME_SEEN | SOME_HIDDEN,
};

/**
 * What is said of the tiles of items, from byte `begin` on: two bits a tile, as many words for each item. First what
 * mask functions say, where there are some, then nothing yet, where a kernel writes it.
 */
function placeVerdicts({ rowItems, keyItems, steps }: PlannedRegion, begin: number) {
  const items = [...rowItems, ...keyItems], size = Math.ceil(mostTiles(items) / VERDICTS_OF_WORD);
  const known = items.some(({ verdicts }) => verdicts);
  const words = new Uint32Array(known ? items.length * size : 0);
  items.forEach(({ verdicts = [] }, n) =>
    verdicts.forEach((verdict, tile) => {
      const word = n * size + Math.floor(tile / VERDICTS_OF_WORD);
      words[word]! |= BITS[verdict as Verdict] << (2 * (tile % VERDICTS_OF_WORD));
    })
  );
  const classified = steps.some(({ kernel }) => kernel === "classify") ? items.length * size : 0;
  const behind = begin + words.byteLength, write: Write = [begin, bytesOf(words)];
  return { words: size, write, behind, end: behind + 4 * classified };
}

/** The inputs of a region that have no binding of their own, on the host or on the GPU. */
function scheduledViews(views: Views, onGpu: boolean): View[] {
  return OPERAND_NAMES.filter((name) => isScheduled(name) && views[name])
    .map((name): View => views[name]!)
    .filter(({ tensor }) => tensor instanceof GpuTensor === onGpu);
}

/** The inputs of the host behind the items, from byte `begin` on: where each lies, and what is written there. */
function placeInputs(views: Views, region: PlannedRegion, group: number, begin: number) {
  const inputs = new Map<OperandName, ScheduledInput>(), writes: Write[] = [];
  let end = begin;
  for (const view of scheduledViews(views, false)) {
    const { name, strides } = view, bytes = elementBytes(view);
    const { first, count } = elementRange(name, view, region, group);
    inputs.set(name, { at: end / bytes, strides, count });
    const { buffer, byteOffset } = (view.tensor as HostTensor<Uint8Array>).data;
    writes.push([end, new Uint8Array(buffer, byteOffset + first * bytes, count * bytes)]);
    end += Math.ceil(count * bytes / 4) * 4;
  }
  return { inputs, writes, end };
}

/** Room from byte `begin` on for inputs that a dispatch copies there, whole words: where each lies. */
function placeResident(views: Views, region: PlannedRegion, group: number, begin: number) {
  const inputs = new Map<OperandName, ScheduledInput>();
  let end = begin;
  for (const view of scheduledViews(views, true)) {
    const { name, strides } = view, bytes = elementBytes(view);
    const { first, count } = elementRange(name, view, region, group);
    const lead = first * bytes % 4; // of its first word
    inputs.set(name, { at: (end + lead) / bytes, strides, count });
    end += Math.ceil((lead + count * bytes) / 4) * 4;
  }
  return { inputs, end };
}

/** The page table of the sequences of a region, where a cache holds k and v, from byte `begin` on. */
function placePages({ operands }: AttentionProblem, region: PlannedRegion, begin: number) {
  const { numbers = new Int32Array(0), columns = 0 } = operands.k?.pages ?? {};
  const own = numbers.subarray(region.batchBegin * columns, region.batchEnd * columns);
  const write: Write = [begin, bytesOf(own)];
  return { write, end: begin + own.byteLength };
}

/** The schedule of a region; `group`: query heads of a kv head in the whole problem. */
export function scheduleOf(
  problem: AttentionProblem,
  region: PlannedRegion,
  views: Views,
  group: number,
): Schedule {
  const { spans, rowItems, keyItems } = region;
  const rowBase = Math.ceil(spans.length * SEQUENCE_WORDS / ITEM_WORDS);
  const keyBase = rowBase + rowItems.length;
  const behind = (keyBase + keyItems.length) * ITEM_WORDS * 4;
  const placed = placeInputs(views, region, group, behind);
  const pages = placePages(problem, region, placed.end);
  const functions = placeFunctions(problem, region, pages.end);
  const verdicts = placeVerdicts(region, functions.end);
  const resident = placeResident(views, region, group, verdicts.end);
  const data = new Int32Array(verdicts.end / 4), bytes = new Uint8Array(data.buffer);
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
  const writes = [...placed.writes, pages.write, ...functions.writes, verdicts.write];
  for (const [byte, values] of writes) bytes.set(values, byte);
  return {
    ...{ data, byteLength: resident.end, rowBase, keyBase, functions: functions.functions },
    inputs: new Map([...placed.inputs, ...resident.inputs]),
    verdictsAt: functions.end / 4 - rowBase * verdicts.words,
    classifiedAt: verdicts.behind / 4 - rowBase * verdicts.words,
    verdictWords: verdicts.words,
    pagesAt: placed.end / 4,
  };
}
