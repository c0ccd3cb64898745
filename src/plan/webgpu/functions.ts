// What functions that callers wrote bring to the schedule buffer: the arrays that they captured.
import type { HeldIntegers } from "../../expression/held.ts";
import { type CapturedArray, capturedArrays } from "../../expression/node.ts";
import type { FeatureName } from "../../problem/features/feature.ts";
import { feature } from "../../problem/features/table.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import { UnsupportedError } from "../../tensor/errors.ts";
import { count } from "../../tensor/shape.ts";

/** A function of a call, with what it reads. */
export interface PlannedFunction {
  readonly name: FeatureName;
  /** In their order in the graph, as kernels count them. */
  readonly arrays: readonly CapturedArray[];
  /** What is read in the place of some of them. */
  readonly held: HeldIntegers | undefined;
}

/** The functions of a problem, in the order of their features. */
export function functionsOf({ features }: AttentionProblem): PlannedFunction[] {
  return features.flatMap(({ name, params }) => {
    const traced = feature(name).traced?.(params);
    if (!traced) return [];
    return [{ name, arrays: capturedArrays([traced.graph.root]), held: traced.held }];
  });
}

/** Bytes of what functions captured; throws where that is more than fits beside everything else in a binding. */
export function capturedBytes(problem: AttentionProblem, storageBinding: number): number {
  const arrays = functionsOf(problem).flatMap(({ arrays }) => arrays);
  const bytes = arrays.reduce((sum, { shape }) => sum + 4 * count(shape), 0);
  const most = Math.floor(storageBinding / 4);
  if (bytes <= most) return bytes;
  throw new UnsupportedError(
    `capturing arrays of ${bytes} bytes`,
    "webgpu",
    `capture at most ${most} bytes, a quarter of what the device binds`,
  );
}
