// Captured arrays of score and mask functions: no index may leave them, for any pair of a call, whatever the caller does
// to them meanwhile.
import type { Domain } from "../../expression/intervals.ts";
import type { Rectangle } from "../../expression/rectangle.ts";
import { readsOf } from "../../expression/held.ts";
import type { Traced } from "../../expression/traced.ts";
import type { Complaint } from "../../tensor/errors.ts";
import type { AxisSizes } from "../../tensor/operands.ts";
import { checkDiagonal } from "./diagonal.ts";
import type { SequenceSpan } from "./feature.ts";

/** A function as a call runs it. Throws where an index of a captured array could lie outside of it. */
export function checkCaptured(
  traced: Traced,
  spans: readonly SequenceSpan[],
  { queryHeads, kvHeads }: AxisSizes,
  _hidden: boolean,
  complaint: Complaint,
): Traced {
  const domains = spans.map(({ lengthQ, lengthK, offset }, index): Domain => ({
    batch: [index, index],
    head: [0, Math.max(0, queryHeads - 1)],
    kvHead: [0, Math.max(0, kvHeads - 1)],
    lengthQ: [lengthQ, lengthQ],
    lengthK: [lengthK, lengthK],
    offset: [offset, offset],
  }));
  if (readsOf(traced.graph.root).diagonal) checkDiagonal(spans, complaint);
  return traced.checked(domains, complaint);
}

/** The same function of the pairs of a rectangle of the call. */
export function withinRectangle(traced: Traced, rectangle: Rectangle): Traced {
  const { held } = traced, part = traced.within(rectangle);
  return held ? { ...part, held } : part;
}
