// What functions read while their call waits and runs: the caller may change an array meanwhile, from another thread too.
// Numbers may be any; of integers that indices are made of it was proven that no index leaves its array, so kernels, which
// do not look again, read copies of those.
import type { Complaint } from "../tensor/errors.ts";
import { show } from "../tensor/errors.ts";
import { count } from "../tensor/shape.ts";
import { type CapturedArray, capturedArrays, type Node, reachable } from "./node.ts";

/** Copies of captured integers. */
export type HeldIntegers = ReadonlyMap<CapturedArray, Int32Array>;

/** What a function reads. */
interface Reads {
  /** All arrays. */
  readonly arrays: readonly CapturedArray[];
  /** Those that indices are made of. */
  readonly indices: readonly CapturedArray[];
  /** Whether it counts from the diagonal. */
  readonly diagonal: boolean;
}

/** Found once for each function: every call asks. */
const READS = new WeakMap<Node, Reads>();

/** What a function reads. */
export function readsOf(root: Node): Reads {
  const known = READS.get(root);
  if (known) return known;
  const nodes = reachable([root]), gathers = nodes.filter(({ op }) => op === "gather");
  const reads = {
    arrays: capturedArrays(gathers),
    indices: capturedArrays(gathers.flatMap(({ operands }) => operands)),
    diagonal: nodes.some(({ symbol }) => symbol === "diagonal"),
  };
  READS.set(root, reads);
  return reads;
}

/** Copies of the integers that indices of captured arrays are made of, as they are now. */
export function holdIndices(root: Node): HeldIntegers {
  const { indices } = readsOf(root);
  return new Map(indices.map((array) => [array, array.data.slice() as Int32Array]));
}

/** The values of a captured array. Throws where its buffer was detached, or made smaller. */
export function capturedValues(
  array: CapturedArray,
  held: HeldIntegers | undefined,
  complaint: Complaint,
): Float32Array | Int32Array {
  const { data, shape } = array, values = held?.get(array) ?? data, { length } = values;
  if (length === count(shape)) return values;
  throw complaint.type(
    `a captured array of shape ${show(shape)} has ${length} elements by now: its buffer is ` +
      "detached, or was resized",
  );
}

/** Throws where an array that a function reads is not there any more. */
export function checkPresent(root: Node, complaint: Complaint): void {
  for (const array of readsOf(root).arrays) capturedValues(array, undefined, complaint);
}
