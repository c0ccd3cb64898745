// Tensors with a number for each head: [queryHeads] or [batch, queryHeads].
import { type Complaint, show } from "../../tensor/errors.ts";
import type { Dims } from "./feature.ts";

/** Throws unless `tensor` has a shape that numbers of heads have; `perBatch`: [batch, queryHeads] too. */
export function checkHeads(
  name: string,
  tensor: unknown,
  { batch, queryHeads }: Dims,
  perBatch: boolean,
  complaint: Complaint,
): void {
  const shape = typeof tensor === "object" && tensor !== null && "shape" in tensor
    ? tensor.shape
    : undefined;
  if (!Array.isArray(shape)) {
    throw complaint.type(`${name} is ${show(tensor)} but must be a tensor { data, shape }`);
  }
  const wanted = perBatch ? [[queryHeads], [batch, queryHeads]] : [[queryHeads]];
  if (wanted.some((sizes) => `${sizes}` === `${shape}`)) return;
  const what = perBatch ? "[queryHeads] or [batch, queryHeads]" : "[queryHeads]";
  throw complaint.range(
    `${name} has shape ${show(shape)} but must be ${what} = ${wanted.map(show).join(" or ")}`,
  );
}
