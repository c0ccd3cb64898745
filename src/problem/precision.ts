// The option `precision`: what products of a call are computed in.
import { type Complaint, show } from "../tensor/errors.ts";

/**
 * What products are computed in. `"f32"`: all arithmetic is float32. `"f16"`: operands are rounded to float16 as they are
 * multiplied, and up to 32 products are added up in float16 before they join a sum in float32.
 */
export type Precision = "f32" | "f16";

/** The option, checked. */
export function parsePrecision(value: unknown, complaint: Complaint): Precision {
  if (value === undefined || value === "f32") return "f32";
  if (value === "f16") return "f16";
  throw complaint.type(`precision is ${show(value)} but must be "f32" or "f16"`);
}
