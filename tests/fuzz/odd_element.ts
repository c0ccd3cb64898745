/** One element that a precision may not have, among operands that it has. */
import fc from "fast-check";
import type { Inputs } from "../inputs.ts";

/** Which element of which operand becomes what. */
export interface OddElement {
  readonly operand: "q" | "k" | "v";
  /** Counted modulo how many there are. */
  readonly place: number;
  readonly value: number;
}

/** Numbers that float16 has not, that no unit of a row fits, and that are none. */
const VALUES = [NaN, Infinity, -Infinity, 1e37, -1e30, 7e4, 65504, 1e-40, -1e-30, 0, -0];

/** Any of them. */
export const oddElements: fc.Arbitrary<OddElement> = fc.record({
  operand: fc.constantFrom("q", "k", "v"),
  place: fc.nat(1_000_000),
  value: fc.constantFrom(...VALUES),
});

/** Inputs with the element in a copy of its operand; undefined where that has no room for such numbers. */
export function withOdd(
  inputs: Inputs,
  { operand, place, value }: OddElement,
): Inputs | undefined {
  const { data } = inputs[operand];
  if (!(data instanceof Float32Array) || data.length === 0) return undefined;
  const copy = data.slice();
  copy[place % copy.length] = value;
  return { ...inputs, [operand]: { ...inputs[operand], data: copy } };
}
