// Tensors as files store them: types, arrays, sizes that make sense.
import type { HostTensor, MaskTensor } from "../../tensor/tensor.ts";
import { BYTES, type DType, type TensorData } from "../../tensor/dtype.ts";
import type { ByteFile } from "./byte_file.ts";

/** Types of files that calls take. */
export type StoredType = Exclude<DType, "i8">;

/** Where a tensor lies in a file. */
export interface StoredTensor {
  readonly dtype: StoredType;
  readonly shape: readonly number[];
  /** First byte of its values. */
  readonly offset: number;
}

/** A tensor that was read. */
export type ReadTensor = HostTensor | MaskTensor;

/** Whether a value is a list of sizes. */
export function isSizes(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}

/** Elements of a shape; undefined where they cannot be counted. */
export function elementsOf(shape: readonly number[]): number | undefined {
  const count = shape.reduce((product, n) => product * n, 1);
  return Number.isSafeInteger(count * 8) ? count : undefined;
}

/** Reads the values of a tensor. */
export async function readStored(
  file: ByteFile,
  { dtype, shape, offset }: StoredTensor,
): Promise<ReadTensor> {
  const count = elementsOf(shape)!, { buffer } = await file.read(offset, count * BYTES[dtype]);
  switch (dtype) {
    case "f32":
      return { data: new Float32Array(buffer), shape };
    case "bool":
      return { data: new Uint8Array(buffer), shape };
    case "i32":
      return { data: new Int32Array(buffer), shape, dtype };
    default:
      return { data: new Uint16Array(buffer), shape, dtype };
  }
}

/** The bytes of a result, as they are. */
export function bytesOf(data: TensorData): Uint8Array {
  return new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
}

/** The type of a result of a call: what is not named is told by its array. */
export function typeOf({ data, dtype }: HostTensor): StoredType {
  if (dtype) return dtype as StoredType;
  return data instanceof Float32Array ? "f32" : data instanceof Int32Array ? "i32" : "f16";
}
