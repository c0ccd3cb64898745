// Bias and mask broadcast to [batch, queryHeads, lengthQ, lengthK]: axes of 1 and missing leading axes.
import { type Complaint, show, UnsupportedError } from "../../tensor/errors.ts";
import type { AxisSizes } from "../../tensor/operands.ts";
import { shapeOf } from "./shape.ts";

/** What says the same of packed sequences, which have no shape to broadcast to. */
const FUNCTIONS = { bias: "scoreMod", mask: "maskMod" };

/** Throws unless `shape` broadcasts to the scores of `dims`. */
export function checkBroadcast(
  name: keyof typeof FUNCTIONS,
  tensor: unknown,
  dims: AxisSizes,
  complaint: Complaint,
): void {
  const shape = shapeOf(name, tensor, complaint);
  if (dims.packed) {
    const remedy = `write it as a ${FUNCTIONS[name]}, or call attention for each sequence`;
    throw new UnsupportedError(`${name} of packed sequences`, "any", remedy);
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
