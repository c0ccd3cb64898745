// Elements of the tensors of a call as numbers, wherever they live: resident ones are read as a whole.
import { BYTES, type DType, type TensorData } from "../tensor/dtype.ts";
import { CachedRows } from "../tensor/cached_rows.ts";
import { bits } from "../tensor/dtype.ts";
import { widened } from "../tensor/convert.ts";
import { rowMajor } from "../tensor/shape.ts";
import type { GivenTensor } from "../tensor/given.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Axes, placeOf, type View } from "../tensor/view.ts";

/** The number at (batch, head, row, column) of an operand. */
export type Reader = (batch: number, head: number, row: number, column: number) => number;

/** Values as numbers; those of 16 bits are widened once. */
function numbers(data: TensorData, dtype: DType): ArrayLike<number> {
  return BYTES[dtype] === 2 ? widened(bits(data) as Uint16Array, dtype) : data;
}

/** Reads a host tensor where it lies, a resident one after a copy of it. */
export async function readerOf(view: View): Promise<Reader> {
  const { tensor, dtype, strides, offset } = view;
  const values = "data" in tensor
    ? numbers(tensor.data, dtype)
    : await (tensor as Tensor).read("f32");
  return (batch, head, row, column) =>
    values[offset + placeOf([batch, head, row, column] as Axes, strides)]!;
}

/** Reads the rows of a cache; `sequences`: those of the batch. */
export async function cacheReader(
  rows: CachedRows,
  sequences: readonly number[],
): Promise<Reader> {
  const { shape } = rows, [sequence, row, head] = rowMajor(shape), values = await rows.read("f32");
  return (b, h, i, column) => values[sequences[b]! * sequence! + i * row! + h * head! + column]!;
}

/** Whether a tensor is one side of a cache. */
export function isCached(tensor: GivenTensor): tensor is CachedRows & GivenTensor {
  return tensor instanceof CachedRows;
}
