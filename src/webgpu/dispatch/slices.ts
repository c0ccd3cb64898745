// Slices: the part of an operand that a window binds, and where its elements lie from there. Resident tensors
// are bound in place, host tensors are copied to scratch, one slice at a time.
import type { StorageKind } from "../../../shaders/parts/storage.ts";
import { bits } from "../../tensor/dtype.ts";
import { type Axes, elementBytes, type OperandSpec, type View } from "../../tensor/view.ts";
import type { Box } from "../../plan/webgpu/regions.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import type { GpuBuffer } from "../device/api.ts";
import { GpuTensor, type Home, upload } from "../device/tensors.ts";

/** A range of a buffer, and where the window's element (0, 0, 0, 0) lies in it. */
export interface Slice {
  readonly buffer: GpuBuffer;
  readonly offset: number;
  readonly size: number;
  /** In elements, from `offset` on. */
  readonly at: number;
  readonly strides: Axes;
}

/** Which axes of an operand follow the queries, and which the keys. */
export type Follows = "queries" | "keys" | "scores";

/** First and last element of the part of an operand that a box takes. */
function range(
  { size, strides }: OperandSpec,
  box: Box,
  follows: Follows,
  group: number,
): { first: number; count: number } {
  const rows = follows === "keys" ? [box.keyBegin, box.keyEnd] : [box.rowBegin, box.rowEnd];
  const columns = follows === "scores" ? [box.keyBegin, box.keyEnd] : [0, size[3]];
  const ranges = [
    [box.batchBegin, box.batchEnd],
    follows === "keys"
      ? [box.kvHeadBegin, box.kvHeadEnd]
      : [box.kvHeadBegin * group + box.groupBegin, (box.kvHeadEnd - 1) * group + box.groupEnd],
    rows,
    columns,
  ].map(([begin, end], axis) => size[axis] === 1 ? [0, 1] : [begin, end]);
  const first = ranges.reduce((sum, [begin], axis) => sum + begin * strides[axis], 0);
  const count = ranges.reduce(
    (sum, [begin, end], axis) => sum + (end - begin - 1) * strides[axis],
    1,
  );
  return { first, count };
}

/** Whether an operand must be read element by element; see shaders/parts/storage.ts. */
export function storageKind(view: View): StorageKind {
  const { dtype, size, strides, tensor } = view;
  const begin = tensor instanceof GpuTensor ? tensor.byteOffset / elementBytes(view) : 0;
  const fours = [begin, size[3], ...strides.slice(0, 3).filter((_, axis) => size[axis] > 1)];
  return { dtype: dtype as "f32", scalar: !fours.every((n) => n % 4 === 0) };
}

/** A part of a buffer that holds a row-major tensor from `byteOffset` on. */
export function sliceBuffer(
  buffer: GpuBuffer,
  byteOffset: number,
  spec: OperandSpec,
  where: { box: Box; follows: Follows; group: number; alignment: number },
): Slice {
  const { first, count } = range(spec, where.box, where.follows, where.group);
  const bytes = elementBytes(spec), begin = byteOffset + first * bytes;
  const offset = Math.floor(begin / where.alignment) * where.alignment;
  const size = Math.ceil((begin - offset + count * bytes) / 4) * 4;
  return { buffer, offset, size, at: (begin - offset) / bytes, strides: spec.strides };
}

/** The slices of one call: host operands are copied once for each range. */
export class Slices {
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

  /** The part of an input that a window reads. */
  of(view: View, box: Box, follows: Follows): Slice {
    const { tensor } = view, group = this.#group;
    if (tensor instanceof GpuTensor) {
      const alignment = this.#home.open.target.limits.offsetAlignment;
      const where = { box, follows, group, alignment };
      return sliceBuffer(tensor.buffer, tensor.byteOffset, view, where);
    }
    const { first, count } = range(view, box, follows, group);
    const size = Math.ceil(count * elementBytes(view) / 4) * 4,
      key = `${view.name} ${first} ${count}`;
    let buffer = this.#uploaded.get(key);
    if (!buffer) {
      this.#uploaded.set(key, buffer = this.#take(size));
      upload(
        this.#home,
        buffer,
        0,
        bits((tensor as HostTensor).data).subarray(first, first + count),
      );
    }
    return { buffer, offset: 0, size, at: 0, strides: view.strides };
  }
}
