// What a tensor that was given says of itself, looked at once and checked: shape, strides, type, extent.
import { arrayKind, BYTES, canHold, type DType, impliedDType } from "./dtype.ts";
import { type Complaint, show } from "./errors.ts";
import { ownEntries } from "./lists.ts";
import { extentOf, rowMajor } from "./shape.ts";
import type { AnyTensor, BooleanTensor, HostTensor, MaskTensor, Tensor } from "./tensor.ts";

/** Every kind of tensor that a call is given. */
export type GivenTensor = AnyTensor | MaskTensor | BooleanTensor;

/** More axes than any tensor has. */
export const MOST_AXES = 32;

/** A shape that is one, read once; throws where it is none. */
export function checkShape(name: string, shape: unknown, complaint: Complaint): readonly number[] {
  if (!Array.isArray(shape)) {
    throw complaint.type(`${name}.shape is ${show(shape)} but must be an array of sizes`);
  }
  if (shape.length > MOST_AXES) {
    throw complaint.type(`${name} has rank ${shape.length} but at most ${MOST_AXES} is possible`);
  }
  const sizes = ownEntries(shape);
  for (const size of sizes) {
    if (!(Number.isSafeInteger(size) && size >= 0)) {
      throw complaint.range(
        `${name} has shape ${show(sizes)} but every size must be an integer >= 0`,
      );
    }
  }
  return sizes;
}

/** The strides of a tensor in elements: those that are given, or those of row-major order. */
export function checkStrides(
  name: string,
  given: readonly number[] | undefined,
  shape: readonly number[],
  complaint: Complaint,
): readonly number[] {
  if (given === undefined) return rowMajor(shape);
  if (!Array.isArray(given)) {
    throw complaint.type(`${name}.strides is ${show(given)} but must be an array of strides`);
  }
  if (given.length !== shape.length) {
    throw complaint.range(
      `${name} has strides ${show(given)} but its rank is ${shape.length}`,
    );
  }
  const strides = ownEntries(given);
  if (!strides.every((stride) => Number.isSafeInteger(stride) && stride >= 0)) {
    throw complaint.range(
      `${name} has strides ${show(strides)} but every stride must be an integer >= 0`,
    );
  }
  const inner = shape.length - 1;
  if (shape[inner]! > 1 && strides[inner] !== 1) {
    throw complaint.range(
      `${name} has innermost stride ${strides[inner]} but it must be 1`,
    );
  }
  return strides;
}

/** Throws when the array cannot hold what shape and strides reach. */
export function checkExtent(
  name: string,
  data: ArrayBufferView & { readonly length: number },
  shape: readonly number[],
  strides: readonly number[],
  complaint: Complaint,
): void {
  const needed = extentOf(shape, strides);
  if (needed === 0) return;
  if (data.length === 0 && data.buffer.byteLength === 0) {
    throw complaint.type(
      `${name}.data has no elements (its buffer may be detached) but ${needed} were wanted`,
    );
  }
  if (data.length < needed) {
    throw complaint.range(
      `${name}.data has ${data.length} elements but shape ${show(shape)} needs ${needed}`,
    );
  }
}

/** The storage type of a host tensor of numbers, from its `dtype` or its array. */
export function checkDType(
  name: string,
  tensor: { readonly data: unknown; readonly dtype?: unknown },
  complaint: Complaint,
): DType {
  const { data } = tensor;
  const wanted = "Float32Array, Uint16Array, Float16Array or Int8Array";
  if (!ArrayBuffer.isView(data)) {
    throw complaint.type(`${name}.data is ${show(data)} but must be a ${wanted}`);
  }
  const implied = impliedDType(data);
  if (implied === "bool" || (implied === undefined && arrayKind(data) !== "Uint16Array")) {
    throw complaint.type(`${name}.data is ${show(data)} but must be a ${wanted}`);
  }
  const dtype = tensor.dtype ?? implied;
  if (dtype === undefined) {
    throw complaint.type(
      `${name}.dtype is undefined but a Uint16Array needs "f16" or "bf16"`,
    );
  }
  if (!(typeof dtype === "string" && dtype in BYTES)) {
    throw complaint.type(
      `${name}.dtype is ${show(dtype)} but must be "f32", "f16", "bf16" or "i8"`,
    );
  }
  if (!canHold(data, dtype as DType)) {
    throw complaint.type(`${name}.dtype is ${show(dtype)} but ${name}.data is ${show(data)}`);
  }
  return dtype as DType;
}

/** What a host tensor says of itself, read once: getters may say something else the next time. */
export function readOnce(tensor: GivenTensor): GivenTensor {
  if (!("data" in tensor)) return tensor;
  const { data, shape, dtype, strides } = tensor as HostTensor;
  return { data, shape, dtype, strides };
}

/** Whether a resident tensor was disposed of. Throws where it cannot say so: a proxy of one has no private fields. */
export function isDisposed(tensor: AnyTensor, name: string, complaint: Complaint): boolean {
  try {
    return (tensor as Tensor).disposed;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw complaint.type(`${name} cannot be read (${error.message}): pass the tensor itself`);
  }
}
