// Tensors with a number for each head: [queryHeads] or [batch, queryHeads].
import { type Complaint, show } from "../../tensor/errors.ts";
import type { AxisSizes } from "../../tensor/operands.ts";
import { sameShape } from "../../tensor/shape.ts";
import { shapeOf } from "./shape.ts";

/** Throws unless `tensor` has a shape that numbers of heads have; `perBatch`: [batch, queryHeads] too. */
export function checkHeads(
  name: string,
  tensor: unknown,
  { batch, queryHeads }: AxisSizes,
  perBatch: boolean,
  complaint: Complaint,
): void {
  const shape = shapeOf(name, tensor, complaint);
  const wanted = perBatch ? [[queryHeads], [batch, queryHeads]] : [[queryHeads]];
  if (wanted.some((sizes) => sameShape(sizes, shape))) return;
  const what = perBatch ? "[queryHeads] or [batch, queryHeads]" : "[queryHeads]";
  throw complaint.range(
    `${name} has shape ${show(shape)} but must be ${what} = ${wanted.map(show).join(" or ")}`,
  );
}
