// Pieces of WGSL that stand for values: of one pair, or of four that lie side by side.
import type { ValueType } from "../../src/expression/operations.ts";
import { NOT_A_NUMBER } from "../parts/floats.ts";

/** Pairs that a value is of: what does not change along a vector stays one. */
export type Width = 1 | 4;

/** An expression with its width. */
export interface Term {
  readonly text: string;
  readonly width: Width;
}

const SCALARS: Readonly<Record<ValueType, string>> = { float: "f32", int: "i32", bool: "bool" };

/** A type by its scalar, of a width. */
export function wide(scalar: string, width: Width): string {
  return width === 1 ? scalar : `vec4<${scalar}>`;
}

/** The type of a value. */
export function typeOf(type: ValueType, width: Width): string {
  return wide(SCALARS[type], width);
}

/** The text of a term in a width that is at least its own. */
export function widened({ text, width }: Term, type: ValueType, wanted: Width): string {
  return width === wanted ? text : `${typeOf(type, wanted)}(${text})`;
}

function floatText(value: number): string {
  const x = Math.fround(value);
  if (Number.isNaN(x)) return NOT_A_NUMBER;
  // WGSL has no literal for infinity
  if (!Number.isFinite(x)) return x < 0 ? "U.neg_inf" : "(-U.neg_inf)";
  const text = Object.is(x, -0) ? "-0" : `${x}`;
  const literal = /[.e]/.test(text) ? `${text}f` : `${text}.0f`;
  return literal.startsWith("-") ? `(${literal})` : literal;
}

/** A constant. */
export function constantTerm(type: ValueType, value: number): Term {
  const text = type === "float"
    ? floatText(value)
    : type === "int"
    ? `i32(${value})`
    : value
    ? "true"
    : "false";
  return { text, width: 1 };
}
