// Buffer views: the part of an operand that a region binds, and where its elements lie from there. Resident tensors
// are bound in place, host tensors are copied to scratch, one part at a time.
import type { StorageKind } from "../../../shaders/parts/storage.ts";
import { bits } from "../../tensor/dtype.ts";
import { follows, type OperandName, OPERANDS } from "../../tensor/operands.ts";
import { type Axes, elementBytes, type OperandSpec, type View } from "../../tensor/view.ts";
import type { Region } from "../../plan/webgpu/regions.ts";
import { baseOf } from "../../plan/sequences.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import type { GpuBuffer } from "../device/api.ts";
import { GpuTensor, type Home, upload } from "../device/tensors.ts";

/** A range of a buffer, and where the region's element (0, 0, 0, 0) lies in it. */
export interface BufferView {
  readonly buffer: GpuBuffer;
  readonly offset: number;
  readonly size: number;
  /** In elements, from `offset` on. */
  readonly at: number;
  readonly strides: Axes;
}

/** Bytes that are bound of what is empty: the largest element of a buffer, vec4<f32>. */
const LEAST = 16;

/** First index, and one past the last. */
export type Range = readonly [begin: number, end: number];

/** Where an operand lies in its tensor. */
export type ViewSpec = Pick<OperandSpec, "size" | "strides"> & { readonly offset?: number };

/** What a region takes of each axis of an operand; `group`: query heads of a kv head. */
export function rangesOf(
  name: OperandName,
  { size }: Pick<ViewSpec, "size">,
  region: Region,
  group: number,
): Range[] {
  const what = follows(name), keys: Range = [region.keyBegin, region.keyEnd];
  const rows = what === "keys" ? keys : [region.rowBegin, region.rowEnd] as const;
  const base = baseOf(name, region);
  const wanted: readonly Range[] = [
    [region.batchBegin, region.batchEnd],
    OPERANDS[name].axes[1] === "kvHead" ? [region.kvHeadBegin, region.kvHeadEnd] : [
      region.kvHeadBegin * group + region.groupBegin,
      (region.kvHeadEnd - 1) * group + region.groupEnd,
    ],
    base === undefined ? rows : [base + rows[0], base + rows[1]],
    what === "scores" ? keys : [0, size[3]],
  ];
  return wanted.map((range, axis): Range => size[axis] === 1 ? [0, 1] : range);
}

/** First and last element of the part of an operand that a region takes. */
export function elementRange(
  name: OperandName,
  { size, strides, offset = 0 }: ViewSpec,
  region: Region,
  group: number,
): { first: number; count: number } {
  const ranges = rangesOf(name, { size }, region, group);
  if (ranges.some(([begin, end]) => begin === end)) return { first: 0, count: 0 };
  const first = ranges.reduce((sum, [begin], axis) => sum + begin * strides[axis]!, offset);
  const count = ranges.reduce(
    (sum, [begin, end], axis) => sum + (end - begin - 1) * strides[axis]!,
    1,
  );
  return { first, count };
}

/** Whether an operand must be read element by element; see shaders/parts/storage.ts. */
export function storageKind(view: View): StorageKind {
  const { dtype, size, strides, tensor, offset, pages } = view;
  if (pages) { // whole groups of four
    const paged = pages.columns === 1 || Number.isInteger(Math.log2(pages.rows))
      ? "shift"
      : "divide";
    return { dtype: dtype as "f32", scalar: false, paged };
  }
  const begin = tensor instanceof GpuTensor ? offset + tensor.byteOffset / elementBytes(view) : 0;
  const fours = [begin, size[3], ...strides.slice(0, 3).filter((_, axis) => size[axis]! > 1)];
  return { dtype: dtype as "f32", scalar: !fours.every((n) => n % 4 === 0) };
}

/** Where the parts of operands are looked for. */
export interface ViewPlace {
  readonly region: Region;
  readonly group: number;
  readonly alignment: number;
}

/** The part of a buffer that holds an operand from `byteOffset` on. */
export function viewBuffer(
  buffer: GpuBuffer,
  byteOffset: number,
  name: OperandName,
  spec: ViewSpec & Pick<OperandSpec, "dtype">,
  { region, group, alignment }: ViewPlace,
): BufferView {
  const { first, count } = elementRange(name, spec, region, group);
  const bytes = elementBytes(spec), begin = byteOffset + first * bytes;
  const offset = Math.floor(begin / alignment) * alignment;
  const size = count === 0 ? LEAST : Math.ceil((begin - offset + count * bytes) / 4) * 4;
  return { buffer, offset, size, at: (begin - offset) / bytes, strides: spec.strides };
}

/** The inputs of one call: host operands are copied once for each range. */
export class InputViews {
  readonly #home: Home;
  readonly #group: number;
  readonly #take: (bytes: number) => GpuBuffer;
  readonly #uploaded = new Map<string, GpuBuffer>();

  /** `take`: scratch that lives as long as the call. */
  constructor(home: Home, group: number, take: (bytes: number) => GpuBuffer) {
    this.#home = home;
    this.#group = group;
    this.#take = take;
  }

  /** The part of an input that a region reads. */
  of(view: View, region: Region): BufferView {
    const { tensor, name, strides } = view, group = this.#group;
    if (view.pages) { // a sequence may have any of the pages
      const { buffer, byteLength } = tensor as GpuTensor;
      return { buffer, offset: 0, size: byteLength, at: 0, strides };
    }
    const { first, count } = elementRange(name, view, region, group);
    if (tensor instanceof GpuTensor && count > 0) {
      const alignment = this.#home.open.target.limits.offsetAlignment;
      return viewBuffer(tensor.buffer, tensor.byteOffset, name, view, { region, group, alignment });
    }
    const size = Math.max(LEAST, Math.ceil(count * elementBytes(view) / 4) * 4);
    const key = `${name} ${first} ${count}`;
    let buffer = this.#uploaded.get(key);
    if (!buffer) {
      this.#uploaded.set(key, buffer = this.#take(size));
      if (count > 0) {
        const { data } = tensor as HostTensor;
        upload(this.#home, buffer, 0, bits(data).subarray(first, first + count));
      }
    }
    return { buffer, offset: 0, size, at: 0, strides };
  }
}
