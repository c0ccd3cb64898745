// Numbers that kernels take as float32.
import { type Complaint, show } from "../../tensor/errors.ts";

/** The smallest float32 that every device keeps: those below may be flushed to 0. */
const SMALLEST = 2 ** -126;

/** Throws unless `value` is 0 or a positive number that a float32 holds: what becomes infinite or 0 is refused. */
export function checkScalar(name: string, value: unknown, complaint: Complaint): number {
  if (typeof value !== "number") {
    throw complaint.type(`${name} is ${show(value)} but must be a number`);
  }
  const kept = value === 0 || (value >= SMALLEST && Math.fround(value) < Infinity);
  if (!kept) {
    throw complaint.range(
      `${name} is ${value} but must be 0 or a finite positive float32, from 1.18e-38 to 3.4e38`,
    );
  }
  return value;
}
