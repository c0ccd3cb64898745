// Q, K, V and the cache: tensors of floats, seen as [batch, heads, length, dim] whatever rank they came with.
import type { Layout } from "../problem/call_options.ts";
import { arrayKind, type DType, type TensorData } from "../tensor/dtype.ts";
import { type Complaint, show, UnsupportedError } from "../tensor/errors.ts";
import { type AnyTensor, type HostTensor, isResident } from "../tensor/tensor.ts";
import { checkExtent, checkShape, checkStrides, readOnce } from "../tensor/given.ts";
import type { Axes } from "../tensor/view.ts";

/** A tensor of floats, checked by itself. */
export interface Floats {
  readonly data: TensorData;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** In elements. */
  readonly strides: readonly number[];
}

/** A tensor of rank 4, or 3 with its heads told apart. */
export interface Operand extends Pick<Floats, "data" | "dtype"> {
  /** The input that it is, or that it begins with. */
  readonly name: string;
  /** Sizes of [batch, heads, length, dim]. */
  readonly size: Axes;
  readonly strides: Axes;
}

/** Types that an array may hold. */
const STORED: Readonly<Record<string, readonly DType[]>> = {
  Float32Array: ["f32"],
  Float16Array: ["f16"],
  Uint16Array: ["f16", "bf16"],
};

function dtypeOf(name: string, { data, dtype }: HostTensor, complaint: Complaint): DType {
  const kind = arrayKind(data);
  if (kind === "Float64Array") {
    const remedy = "pass a Float32Array: arithmetic is float32";
    throw new UnsupportedError(`${name} as a Float64Array (ONNX double)`, "any", remedy);
  }
  const types = kind === undefined ? undefined : STORED[kind];
  if (!types) {
    const arrays = "a Float32Array, Float16Array or Uint16Array";
    throw complaint.type(`${name}.data is ${show(data)} but must be ${arrays}`);
  }
  const stored = dtype ?? (types.length === 1 ? types[0] : undefined);
  if (stored === undefined || !types.includes(stored)) {
    const wanted = types.map(show).join(" or ");
    throw complaint.type(`${name}.dtype is ${show(dtype)} but a ${kind} holds ${wanted}`);
  }
  return stored;
}

/** Throws unless `tensor` is an object with a shape in host memory. */
export function checkHost(name: string, tensor: unknown, complaint: Complaint): readonly number[] {
  if (typeof tensor !== "object" || tensor === null) {
    throw complaint.type(`${name} is ${show(tensor)} but must be a host tensor { data, shape }`);
  }
  if (isResident(tensor as AnyTensor)) {
    const remedy = "read it into an array, or call attention";
    throw new UnsupportedError(`${name} as a resident tensor of onnxAttention`, "any", remedy);
  }
  return checkShape(name, (tensor as HostTensor).shape, complaint);
}

/** Checks a tensor of floats, whatever its rank. */
export function readFloats(name: string, given: unknown, complaint: Complaint): Floats {
  const shape = checkHost(name, given, complaint);
  const tensor = readOnce(given as HostTensor) as HostTensor, { data } = tensor;
  const dtype = dtypeOf(name, tensor, complaint);
  const strides = checkStrides(name, tensor.strides, shape, complaint);
  checkExtent(name, data, shape, strides, complaint);
  return { data, dtype, shape, strides };
}

/** An operand of rank 4. */
export function ofRank4(name: string, { data, dtype, shape, strides }: Floats): Operand {
  return { name, data, dtype, size: shape as Axes, strides: strides as Axes };
}

/** An operand of rank 3, [batch, length, heads · dim]: `attribute` is what says how many `heads` there are. */
export function ofRank3(
  name: string,
  { data, dtype, shape, strides }: Floats,
  attribute: string,
  heads: number,
  complaint: Complaint,
): Operand {
  const [batch, length, width] = shape as readonly [number, number, number];
  if (width % heads !== 0) {
    throw complaint.range(
      `${name} has shape ${show(shape)} but its last axis must be a multiple of ` +
        `${attribute} = ${heads}`,
    );
  }
  const dim = width / heads, [byBatch, byRow] = strides as readonly [number, number, number];
  return {
    name,
    data,
    dtype,
    size: [batch, heads, length, dim],
    strides: [byBatch, dim, byRow, 1],
  };
}

/** The first `length` rows of an operand, as the calls take them. */
export function toTensor(
  { data, dtype, size, strides }: Operand,
  layout: Layout,
  length: number = size[2],
): HostTensor {
  const [batch, heads, , dim] = size, [byBatch, byHead, byRow, one] = strides;
  return layout === "bhsd"
    ? { data, dtype, shape: [batch, heads, length, dim], strides: [byBatch, byHead, byRow, one] }
    : { data, dtype, shape: [batch, length, heads, dim], strides: [byBatch, byRow, byHead, one] };
}
