// What a new resident tensor is made from, checked.
import { checkNames } from "../problem/option_checks.ts";
import { arrayKind, type DType, type TensorData } from "../tensor/dtype.ts";
import { Complaint, show, UnsupportedError } from "../tensor/errors.ts";
import type { HostTensor } from "../tensor/tensor.ts";
import { checkDType, MOST_AXES, readOnce } from "../tensor/given.ts";
import { count } from "../tensor/shape.ts";

/** How a buffer is seen as a tensor. */
export interface WrapOptions<D extends DType = DType> {
  /** Default `"f32"`. */
  readonly dtype?: D | undefined;
  /** Where the tensor begins, a multiple of 4. Default 0. */
  readonly byteOffset?: number | undefined;
}

/** Throws unless a pass is one that work can be recorded into. */
export function checkPass(pass: unknown, action: string): object {
  const records = typeof pass === "object" && pass !== null &&
    ["setPipeline", "setBindGroup", "dispatchWorkgroups"].every((name) =>
      typeof (pass as Record<string, unknown>)[name] === "function"
    );
  if (records) return pass;
  throw new Complaint(action).type(`pass is ${show(pass)} but must be a GPUComputePassEncoder`);
}

/** Throws unless the options of `wrap` are some. */
export function checkWrapOptions(options: WrapOptions): WrapOptions {
  checkNames(options, new Set(["dtype", "byteOffset"]), new Complaint("wrap"));
  return options;
}

/** Throws unless `shape` is an array of sizes. */
function checkSizes(shape: unknown, complaint: Complaint): readonly number[] {
  const sizes = Array.isArray(shape) && shape.length <= MOST_AXES ? Array.from(shape) : [NaN];
  if (sizes.every((n) => Number.isSafeInteger(n) && n >= 0)) return sizes;
  throw complaint.range(`shape is ${show(shape)} but must be an array of integers >= 0`);
}

function checkStored(dtype: unknown, backend: string, complaint: Complaint): DType {
  if (dtype === "f32" || dtype === "f16" || dtype === "bf16" || dtype === "bool") return dtype;
  if (dtype === "i8" || dtype === "i32") {
    throw new UnsupportedError(`a tensor of dtype "${dtype}"`, backend, "use f32, f16 or bf16");
  }
  throw complaint.type(`dtype is ${show(dtype)} but must be "f32", "f16", "bf16" or "bool"`);
}

/** Shape and type of a tensor without values. */
export function describeEmpty(
  shape: unknown,
  dtype: unknown,
  backend: string,
): { readonly shape: readonly number[]; readonly dtype: DType } {
  const complaint = new Complaint("empty");
  return {
    shape: checkSizes(shape, complaint),
    dtype: checkStored(dtype ?? "f32", backend, complaint),
  };
}

/** The values of a tensor, and its type: float32 values may be stored in 16 bits. */
export function describeTensor(
  data: TensorData | HostTensor,
  shape: unknown,
  dtype: unknown,
  backend: string,
): { readonly source: HostTensor; readonly dtype: DType } {
  const complaint = new Complaint("tensor");
  if (typeof data !== "object" || data === null) {
    throw complaint.type(`data is ${show(data)} but must be an array or a tensor { data, shape }`);
  }
  const given: HostTensor = ArrayBuffer.isView(data)
    ? { data, shape: shape as number[] }
    : readOnce(data) as HostTensor;
  const sizes = checkSizes(given.shape, complaint), wide = arrayKind(given.data) === "Float32Array";
  const own = wide
    ? "f32"
    : arrayKind(given.data) === "Uint8Array"
    ? "bool"
    : checkDType("tensor", { data: given.data, dtype: given.dtype ?? dtype }, complaint);
  const stored = checkStored(dtype ?? given.dtype ?? own, backend, complaint);
  if (!wide && stored !== own) {
    throw complaint.type(`dtype is ${show(stored)} but the values have dtype ${show(own)}`);
  }
  if (ArrayBuffer.isView(data) && data.length !== count(sizes)) {
    throw complaint.range(
      `data has ${data.length} elements but shape ${show(sizes)} needs ${count(sizes)}`,
    );
  }
  const { strides } = given;
  return { source: { data: given.data, shape: sizes, ...(strides && { strides }) }, dtype: stored };
}
