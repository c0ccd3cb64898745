/** Compares a result with what is wanted and says where and by how much it is wrong, and how to see it again. */

import { AssertionError } from "node:assert/strict";
import { allowedError, type Expected } from "./tolerance.ts";

/** What the message names. */
export interface Subject {
  /** The result: "out", "dq", … */
  readonly result: string;
  /** Backend and threads. */
  readonly configuration: string;
  readonly caseName: string;
  readonly seed: number;
  /** The one line that runs just this case again. */
  readonly rerun: string;
}

interface Mismatch {
  readonly place: number;
  readonly got: number;
  readonly want: number;
  readonly times: number;
}

/** The line that reruns one case of a grid test. */
export function rerunLine(caseName: string, file: string): string {
  return `FLASHTILE_CASE='${caseName}' deno task test ${file}`;
}

/** Throws unless every element of `got` is within its allowed error; NaN and ±∞ must be met exactly. */
export function assertClose(
  subject: Subject,
  got: Float64Array,
  expected: Expected,
  shape: readonly number[],
): void {
  const { values } = expected;
  if (got.length !== values.length) {
    fail(subject, `has ${got.length} elements, want ${values.length}`);
  }
  let first: Mismatch | undefined;
  let worst: Mismatch | undefined;
  let count = 0;
  for (let place = 0; place < values.length; place++) {
    const want = values[place]!, found = got[place]!;
    const allowed = allowedError(expected, want);
    const exact = Object.is(found, want) || found === want;
    const error = Math.abs(found - want);
    if (exact || (Number.isFinite(want) && error <= allowed)) continue;
    const times = Number.isFinite(error) ? error / allowed : Infinity;
    const mismatch = { place, got: found, want, times };
    count++;
    first ??= mismatch;
    if (!worst || times > worst.times) worst = mismatch;
  }
  if (!first || !worst) return;
  const describe = ({ place, got, want, times }: Mismatch) =>
    `[${indicesOf(place, shape)}] got ${got}, want ${want}, ` +
    `${times === Infinity ? "infinitely" : `${times.toPrecision(3)} times`} the allowed error`;
  fail(
    subject,
    `differs at ${count} of ${values.length} elements (bound ${
      expected.bound.toExponential(2)
    })\n` +
      `  first ${describe(first)}\n  worst ${describe(worst)}`,
  );
}

function indicesOf(place: number, shape: readonly number[]): string {
  const indices: number[] = [];
  let rest = place;
  for (const size of shape.toReversed()) {
    indices.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return indices.join(", ");
}

function fail(subject: Subject, what: string): never {
  throw new AssertionError({
    message: `${subject.result} of ${subject.configuration} ${what}\n` +
      `  case ${subject.caseName} (seed ${subject.seed})\n  rerun: ${subject.rerun}`,
  });
}
