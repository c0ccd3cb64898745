// The shape of an option that should be a tensor, before it is known to be one.
import { type Complaint, show } from "../../tensor/errors.ts";

/** Throws unless `tensor` has a shape; what is in it is not looked at. */
export function shapeOf(
  name: string,
  tensor: unknown,
  complaint: Complaint,
): readonly unknown[] {
  const shape = typeof tensor === "object" && tensor !== null && "shape" in tensor
    ? tensor.shape
    : undefined;
  if (!Array.isArray(shape)) {
    throw complaint.type(`${name} is ${show(tensor)} but must be a tensor { data, shape }`);
  }
  return shape;
}
