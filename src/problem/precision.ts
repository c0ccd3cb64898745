// The option `precision`: what products of a call are computed in.
import { type Complaint, show } from "../tensor/errors.ts";

/**
 * What products are computed in. `"f32"`: all arithmetic is float32. `"f16"`: operands are rounded to float16 as they are
 * multiplied, and up to 32 products are added up in float16 before they join a sum in float32. `"int8"`: scores are sums of
 * products of integers, 8 bits of a query and 7 of a key less a mean of keys; all else is float32. `"int8-pv"`: outputs are too, 7
 * bits of a weight and 8 of a value less a mean of values.
 */
export type Precision = "f32" | "f16" | "int8" | "int8-pv";

/** What has it, in words that follow its name. */
export const HAD_BY: Readonly<Record<Precision, string>> = {
  f32: "what every backend has",
  f16: "what GPUs have",
  int8: "what the CPU has",
  "int8-pv": "what the CPU has",
};

/** Whether scores of a precision are sums of products of integers, and whether outputs are. */
export const hasIntegerScores = (precision: Precision): boolean =>
  precision === "int8" || hasIntegerOutputs(precision);
export const hasIntegerOutputs = (precision: Precision): boolean => precision === "int8-pv";

/** The option, checked. */
export function parsePrecision(value: unknown, complaint: Complaint): Precision {
  if (value === undefined) return "f32";
  if (typeof value === "string" && Object.hasOwn(HAD_BY, value)) return value as Precision;
  throw complaint.type(`precision is ${show(value)} but must be "f32", "f16", "int8" or "int8-pv"`);
}
