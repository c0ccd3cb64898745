// Parts of host tensors along an axis, and tensors put together again. No value changes here.
import { bits, type DType, newArray, type TensorData } from "../../tensor/dtype.ts";
import { count, rowMajor } from "../../tensor/shape.ts";
import type { HostTensor, MaskTensor } from "../../tensor/tensor.ts";

type Host = HostTensor | MaskTensor;

const stridesOf = ({ strides, shape }: Host) => strides ?? rowMajor(shape);

function isContiguous(tensor: Host): boolean {
  const { shape } = tensor, plain = rowMajor(shape), strides = stridesOf(tensor);
  return shape.every((size, axis) => size === 1 || strides[axis] === plain[axis]);
}

/** Copies elements, the last axis in runs. */
function copy(
  to: TensorData,
  toStrides: readonly number[],
  toAt: number,
  from: TensorData,
  fromStrides: readonly number[],
  shape: readonly number[],
): void {
  const target = bits(to), source = bits(from);
  // trailing axes that continue each other on both sides are one run
  let run = 1, depths = shape.length;
  while (
    depths > 0 && (shape[depths - 1] === 1 || toStrides[depths - 1] === run &&
        fromStrides[depths - 1] === run)
  ) run *= shape[--depths]!;
  const visit = (axis: number, at: number, start: number): void => {
    if (axis === depths) {
      if (run === 1) target[at] = source[start]!;
      else target.set(source.subarray(start, start + run), at);
      return;
    }
    for (let i = 0; i < shape[axis]!; i++) {
      visit(axis + 1, at + i * toStrides[axis]!, start + i * fromStrides[axis]!);
    }
  };
  if (count(shape) > 0) visit(0, toAt, 0);
}

/** The same tensor row-major and without what lies behind it; itself where it is so already. */
export function contiguous<T extends Host>(tensor: T): T {
  if (isContiguous(tensor)) return tensor;
  const { shape, data } = tensor, { dtype } = tensor as { dtype?: DType };
  const stored = bits(data), like = dtype ?? (stored instanceof Uint8Array ? "bool" : "f32");
  const copied = stored instanceof Uint8Array
    ? new Uint8Array(count(shape))
    : newArray(stored instanceof Float32Array ? "f32" : like, count(shape), data);
  copy(copied, rowMajor(shape), 0, data, stridesOf(tensor), shape);
  return { data: copied, shape, ...dtype && { dtype } } as unknown as T;
}

/** Rows `from` to before `to` of an axis, a view of the same memory. */
export function sliceAxis<T extends Host>(tensor: T, axis: number, from: number, to: number): T {
  const strides = stridesOf(tensor), data = tensor.data as Uint8Array;
  const shape = tensor.shape.map((size, n) => n === axis ? to - from : size);
  const { dtype } = tensor as { dtype?: DType };
  return {
    data: count(shape) === 0 ? data.subarray(0, 0) : data.subarray(from * strides[axis]!),
    shape,
    strides,
    ...dtype && { dtype },
  } as unknown as T;
}

/** Puts a row-major part where `sliceAxis` would take it from. */
export function placeAxis(whole: HostTensor, axis: number, from: number, part: HostTensor): void {
  const strides = stridesOf(whole);
  copy(whole.data, strides, from * strides[axis]!, part.data, rowMajor(part.shape), part.shape);
}

/** Adds a part likewise, element by element. */
export function addAxis(
  whole: HostTensor<Float32Array>,
  axis: number,
  from: number,
  part: HostTensor<Float32Array>,
): void {
  const inner = count(whole.shape.slice(axis + 1)), size = whole.shape[axis]!;
  const rows = part.shape[axis]!, outer = count(whole.shape.slice(0, axis));
  for (let n = 0; n < outer; n++) {
    const at = (n * size + from) * inner, start = n * rows * inner;
    for (let i = 0; i < rows * inner; i++) whole.data[at + i]! += part.data[start + i]!;
  }
}
