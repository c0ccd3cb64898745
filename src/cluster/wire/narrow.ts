// How values travel: as they are stored, f32 in 16 bits where the caller chose so, and back.
import { bits, isFloat16Array, newArray, type TensorData } from "../../tensor/dtype.ts";
import { narrowed, widened } from "../../tensor/convert.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import { dtypeOf } from "./message.ts";
import { contiguous } from "./slices.ts";

/** Storage of float32 values on the wire. */
export type WireType = "f32" | "bf16";

/** A tensor as it leaves: f32 in the type of the wire, others as they are stored. */
export function toWire(tensor: HostTensor, wire: WireType): HostTensor {
  const plain = contiguous(tensor);
  if (wire === "f32" || dtypeOf(plain) !== "f32") return plain;
  return { data: narrowed(plain.data as Float32Array, wire), shape: plain.shape, dtype: wire };
}

/** A tensor in float32. */
export function toFloats(tensor: HostTensor): HostTensor<Float32Array> {
  const plain = contiguous(tensor), { data, shape } = plain, dtype = dtypeOf(plain);
  if (dtype === "f32") return { data: data as Float32Array, shape };
  return { data: widened(bits(data) as Uint16Array, dtype), shape };
}

/** Float32 results in the storage type, and the kind of array, of the input that they belong to. */
export function storedLike(result: HostTensor<Float32Array>, like: HostTensor): HostTensor {
  const dtype = dtypeOf(like);
  if (dtype === "f32") return result;
  const stored: TensorData = newArray(dtype, result.data.length, like.data);
  (bits(stored) as Uint16Array).set(narrowed(result.data, dtype));
  return isFloat16Array(stored)
    ? { data: stored, shape: result.shape }
    : { data: stored, shape: result.shape, dtype };
}
