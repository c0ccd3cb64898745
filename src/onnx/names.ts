// What a call is given by name.
import { type Complaint, show } from "../tensor/errors.ts";

/** Throws unless `value` is an object with known names only; undefined stands for one that is missing. */
export function checkNames(
  what: "inputs" | "attributes" | "options",
  value: unknown,
  known: readonly string[],
  complaint: Complaint,
): void {
  if (typeof value !== "object" || value === null) {
    throw complaint.type(`${what} is ${show(value)} but must be an object of ${what} by name`);
  }
  for (const [name, given] of Object.entries(value)) {
    if (known.includes(name) || given === undefined) continue;
    throw complaint.type(
      `${what} has the unknown name ${show(name)}, wanted one of ${known.join(", ")}`,
    );
  }
}
