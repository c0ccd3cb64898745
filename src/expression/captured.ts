// Arrays that functions of scores read.
import { arrayKind } from "../tensor/dtype.ts";
import { Complaint, show } from "../tensor/errors.ts";
import { ownEntries } from "../tensor/lists.ts";
import type { FloatExpression, IntExpression } from "./expressions.ts";
import { gather } from "./graph.ts";
import type { CapturedArray } from "./node.ts";

/** Most elements of a captured array with a gradient: each thread or workgroup may need a sum of its own for each. */
export const MOST_CAPTURED_GRADIENT: number = 2 ** 20;

const MOST_AXES = 4;

/** Settings of a captured array. */
export interface CapturedOptions {
  /** Whether the backward pass gives its gradient; of floats only, and of at most 2^20 elements. */
  readonly gradient?: boolean;
}

/** An array that a function of scores reads: floats or 32-bit integers, row-major. */
export interface Captured<Element extends FloatExpression | IntExpression> {
  /**
   * The array itself, not a copy: what it holds when a call begins is what the call reads, but for integers that indices are
   * made of, which are those of when the call was made.
   */
  readonly data: Float32Array | Int32Array;
  /** Length of each axis. */
  readonly shape: readonly number[];
  /** Whether the backward pass gives its gradient. */
  readonly gradient: boolean;
  /**
   * One element, inside of the function given to `scoreMod` or `maskMod`. A call throws a RangeError before any work
   * where it cannot prove that an index is in range: hold it there with `min` and `max`.
   */
  at(...index: readonly (IntExpression | number)[]): Element;
}

class Gathered<Element extends FloatExpression | IntExpression>
  implements Captured<Element>, CapturedArray {
  readonly data: Float32Array | Int32Array;
  readonly shape: readonly number[];
  readonly gradient: boolean;

  constructor(data: Float32Array | Int32Array, shape: readonly number[], gradient: boolean) {
    this.data = data;
    this.shape = shape;
    this.gradient = gradient;
  }

  at(...index: readonly (IntExpression | number)[]): Element {
    return gather(this, index) as unknown as Element;
  }
}

/** The shape of a captured array. Throws unless the arguments of `captured` fit together. */
function checkCaptured(
  data: unknown,
  shape: unknown,
  gradient: unknown,
  complaint: Complaint,
): number[] {
  const kind = arrayKind(data);
  if (kind !== "Float32Array" && kind !== "Int32Array") {
    throw complaint.type(`data is ${show(data)} but must be a Float32Array or an Int32Array`);
  }
  const wanted = "an array of integers >= 0";
  if (!Array.isArray(shape)) throw complaint.type(`shape is ${show(shape)} but must be ${wanted}`);
  if (shape.length > MOST_AXES) {
    throw complaint.range(`shape is ${show(shape)} but may have at most ${MOST_AXES} axes`);
  }
  const sizes = ownEntries(shape);
  if (!sizes.every((n) => Number.isSafeInteger(n) && n >= 0)) {
    throw complaint.type(`shape is ${show(sizes)} but must be ${wanted}`);
  }
  const size = sizes.reduce((product, n) => product * n, 1);
  const { length } = data as Float32Array;
  if (size !== length) {
    throw complaint.range(
      `data has ${length} elements but the shape ${show(sizes)} has ${size}`,
    );
  }
  if (gradient !== undefined && typeof gradient !== "boolean") {
    throw complaint.type(`gradient is ${show(gradient)} but must be a boolean`);
  }
  if (!gradient) return sizes;
  if (kind === "Int32Array") {
    throw complaint.type("gradient is true but data is an Int32Array: integers have no gradient");
  }
  if (size > MOST_CAPTURED_GRADIENT) {
    throw complaint.range(
      `data has ${size} elements but with a gradient it may have at most ${MOST_CAPTURED_GRADIENT}`,
    );
  }
  return sizes;
}

/**
 * Makes an array readable for functions of scores: `data` row-major in `shape`, 0 to 4 axes.
 *
 * @throws {TypeError} Where `data` is no Float32Array or Int32Array, or integers are to have a gradient.
 * @throws {RangeError} Where `data` and `shape` do not fit, or a gradient is asked of more than 2^20 elements.
 *
 * @example A table of relative positions, held within its ends
 * ```ts
 * import { captured, scoreMod } from "@flashtile/attention";
 *
 * const table = captured(new Float32Array(2 * 17), [2, 17]); // two heads, distances -8 to 8
 * const relative = scoreMod(({ score, head, query, key }) =>
 *   score.add(table.at(head, key.sub(query).max(-8).min(8).add(8)))
 * );
 * console.log(relative.kind);
 * ```
 */
export function captured(
  data: Float32Array,
  shape: readonly number[],
  options?: CapturedOptions,
): Captured<FloatExpression>;
/** The same for 32-bit integers. */
export function captured(data: Int32Array, shape: readonly number[]): Captured<IntExpression>;
/** Both. */
export function captured(
  data: Float32Array | Int32Array,
  shape: readonly number[],
  options: CapturedOptions = {},
): Captured<FloatExpression> | Captured<IntExpression> {
  const complaint = new Complaint("captured");
  if (typeof options !== "object" || options === null) {
    throw complaint.type(`options is ${show(options)} but must be { gradient? }`);
  }
  const { gradient } = options;
  const sizes = checkCaptured(data, shape, gradient, complaint);
  return new Gathered<FloatExpression>(data, sizes, gradient ?? false);
}
