// Bias and mask broadcast to [batch, queryHeads, lengthQ, lengthK]: axes of 1 and missing leading axes.
import { type Complaint, show } from "../../tensor/errors.ts";
import type { Dims } from "./feature.ts";

/** Throws unless `shape` broadcasts to the scores of `dims`. */
export function checkBroadcast(
  name: string,
  tensor: unknown,
  dims: Dims,
  complaint: Complaint,
): void {
  const shape = typeof tensor === "object" && tensor !== null && "shape" in tensor
    ? tensor.shape
    : undefined;
  if (!Array.isArray(shape)) {
    throw complaint.type(`${name} is ${show(tensor)} but must be a tensor { data, shape }`);
  }
  if (shape.length > 4) {
    throw complaint.type(
      `${name} has rank ${shape.length}, shape ${show(shape)}, but rank 4 or less was wanted`,
    );
  }
  const full = [dims.batch, dims.queryHeads, dims.lengthQ, dims.lengthK];
  const wanted = full.slice(4 - shape.length);
  const fits = shape.every((size, axis) => size === 1 || size === wanted[axis]);
  if (!fits) {
    throw complaint.range(
      `${name} has shape ${show(shape)} but must broadcast to ` +
        `[batch, queryHeads, lengthQ, lengthK] = ${show(full)}`,
    );
  }
}
