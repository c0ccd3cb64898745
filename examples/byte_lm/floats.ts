import type { HostTensor } from "../../mod.ts";

/** The numbers of a tensor of this model. It makes float32 tensors only, and results are like them. */
export function floats(tensor: HostTensor): Float32Array {
  if (tensor.data instanceof Float32Array) return tensor.data;
  throw new TypeError("Cannot read a tensor: expected Float32Array data");
}
