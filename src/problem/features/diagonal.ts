// Where the diagonal lies, for features that count from it. A causal offset may be any integer, since beyond the lengths it
// shows all or nothing; kernels hold it within 30 bits, which is another diagonal.
import type { Complaint } from "../../tensor/errors.ts";
import { type SequenceSpan, UNBOUNDED } from "./feature.ts";

/** Throws where a diagonal is so far away that kernels know another. */
export function checkDiagonal(spans: readonly SequenceSpan[], complaint: Complaint): void {
  for (const { offset, lengthQ, lengthK } of spans) {
    const most = UNBOUNDED - Math.max(lengthQ, lengthK); // parts of a call count from their own begin
    if (Math.abs(offset) <= most) continue;
    throw complaint.range(
      `causal.offset is ${offset} but must be from ${-most} to ${most} where alibiSlopes or a ` +
        "function count from the diagonal",
    );
  }
}
