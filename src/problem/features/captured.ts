// Captured arrays of score and mask functions: no index may leave them, for any pair of a call.
import type { Domain } from "../../expression/intervals.ts";
import type { Traced } from "../../expression/traced.ts";
import type { Complaint } from "../../tensor/errors.ts";
import type { AxisSizes } from "../../tensor/operands.ts";
import type { SequenceSpan } from "./feature.ts";

/** Throws where an index of a captured array could lie outside of it. */
export function checkCaptured(
  traced: Traced,
  spans: readonly SequenceSpan[],
  { queryHeads, kvHeads }: AxisSizes,
  complaint: Complaint,
): void {
  const domains = spans.map(({ lengthQ, lengthK, offset }, index): Domain => ({
    batch: [index, index],
    head: [0, Math.max(0, queryHeads - 1)],
    kvHead: [0, Math.max(0, kvHeads - 1)],
    lengthQ: [lengthQ, lengthQ],
    lengthK: [lengthK, lengthK],
    offset: [offset, offset],
  }));
  traced.check(domains, complaint);
}
