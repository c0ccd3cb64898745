// Captured arrays that want a gradient: the backward pass makes the gradients of all of them as one result.
import { type CapturedArray, learnedArrays } from "../expression/node.ts";
import type { Traced } from "../expression/traced.ts";
import { count } from "../tensor/shape.ts";
import type { HostTensor } from "../tensor/tensor.ts";
import type { FeatureUse } from "./features/feature.ts";
import { feature } from "./features/table.ts";

/** The functions of a call whose captured arrays may want gradients. */
function learners(features: readonly FeatureUse[]): Traced[] {
  return features.flatMap(({ name, params }) => {
    const { learns, traced } = feature(name);
    return learns && traced ? [traced(params)] : [];
  });
}

/** The arrays that they want gradients of, in their order in that result. */
export function learnedOf(features: readonly FeatureUse[]): CapturedArray[] {
  return learners(features).flatMap(({ graph }) => learnedArrays(graph.root));
}

/** How many places of the functions read them. */
export function learnedPlaces(features: readonly FeatureUse[]): number {
  return learners(features).reduce((sum, one) => sum + one.derivative()!.captured.length, 0);
}

/** How many elements they have. */
export function learnedElements(features: readonly FeatureUse[]): number {
  return learnedOf(features).reduce((sum, { shape }) => sum + count(shape), 0);
}

/** The gradient of each array, from that result. */
export function learnedGradients(
  features: readonly FeatureUse[],
  { data }: HostTensor,
): Map<CapturedArray, HostTensor<Float32Array>> {
  const gradients = new Map<CapturedArray, HostTensor<Float32Array>>();
  let at = 0;
  for (const array of learnedOf(features)) {
    const end = at + count(array.shape), values = (data as Float32Array).slice(at, end);
    gradients.set(array, { data: values, shape: [...array.shape], dtype: "f32" });
    at = end;
  }
  return gradients;
}
