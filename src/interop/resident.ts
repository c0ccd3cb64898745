// What both directions ask of resident tensors: which library's name a type has, and that a buffer is all of a tensor.
import type { Engine } from "../engine/engine.ts";
import { checkBare } from "../engine/engine_of.ts";
import type { DType } from "../tensor/dtype.ts";
import { type Complaint, show, UnsupportedError } from "../tensor/errors.ts";
import type { HostGpuBuffer } from "../tensor/gpu_types.ts";
import { type AnyTensor, isResident, type Tensor } from "../tensor/tensor.ts";
import { isDisposed } from "../tensor/given.ts";

/** Throws unless an engine is one, by what is asked of it. */
export function checkEngine(engine: Engine, complaint: Complaint): void {
  if (typeof engine?.wrap !== "function") {
    throw complaint.type(`engine is ${show(engine)} but must be an Engine`);
  }
  checkBare(engine, complaint);
}

/** Throws unless a foreign tensor says its sizes. */
export function checkDims(dims: unknown, what: string, complaint: Complaint): number[] {
  const sizes = typeof dims === "object" && dims !== null && "length" in dims ? dims : undefined;
  const most = 32; // axes
  const length = Number(sizes?.length);
  if (sizes && length <= most) {
    return Array.from({ length }, (_, axis) => (sizes as ArrayLike<number>)[axis]!);
  }
  throw complaint.type(`${what} is ${show(dims)} but must be an array of sizes`);
}

/** The names that a library has for types, by ours. */
export type TypeNames<Name extends string> = { readonly [T in DType]?: Name };

/** The type here of a foreign tensor. */
export function dtypeFrom<Name extends string>(
  names: TypeNames<Name>,
  type: string,
  what: string,
  complaint: Complaint,
): "f32" | "f16" {
  const found = Object.entries(names).find(([, name]) => name === type);
  if (found) return found[0] as "f32" | "f16";
  const wanted = Object.values(names).map(show).join(" or ");
  throw complaint.type(`${what} is ${show(type)} but must be ${wanted}`);
}

/** A resident tensor as another library sees it: all of a buffer, from its first byte. */
export interface WholeBuffer<Name extends string> {
  readonly buffer: HostGpuBuffer;
  readonly shape: number[];
  readonly type: Name;
}

/** Throws unless a tensor lies at the beginning of a GPU buffer and the other library has its type. */
export function wholeBuffer<Name extends string>(
  names: TypeNames<Name>,
  tensor: Tensor,
  action: string,
  complaint: Complaint,
): WholeBuffer<Name> {
  if (typeof tensor !== "object" || tensor === null || !isResident(tensor as AnyTensor)) {
    throw complaint.type(`tensor is ${show(tensor)} but must be a resident tensor`);
  }
  if (isDisposed(tensor, "tensor", complaint)) throw complaint.type("tensor was disposed");
  const { buffer, byteOffset, dtype, shape } = tensor, type = names[dtype];
  if (!buffer) throw new UnsupportedError(action, "wasm", "read the tensor into an array");
  if (byteOffset) {
    throw complaint.range(`tensor begins at byte ${byteOffset} of its buffer, 0 was wanted`);
  }
  if (type === undefined) {
    const known = Object.keys(names).join(" or ");
    throw complaint.type(`tensor has dtype ${show(dtype)}, ${known} was wanted`);
  }
  return { buffer, shape: [...shape], type };
}
