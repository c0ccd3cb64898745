// Results of a call in which no key meets a query: nothing is dispatched.
import type { AttentionProblem } from "../../problem/problem.ts";
import type { ResultSpec } from "../../problem/results.ts";
import { BYTES } from "../../tensor/dtype.ts";
import { count } from "../../tensor/shape.ts";
import type { GpuBuffer, GpuDevice } from "../device/api.ts";

/** Writes zeros, and lse of minus infinity. */
export function fillEmpty(
  { queue }: GpuDevice,
  { pass }: Pick<AttentionProblem, "pass">,
  results: readonly { readonly spec: ResultSpec; readonly buffer: GpuBuffer }[],
): void {
  for (const { spec, buffer } of results) {
    const n = Math.ceil(count(spec.shape) * BYTES[spec.dtype] / 4);
    const values = new Float32Array(n);
    if (pass === "forward" && spec.name === "lse") values.fill(-Infinity);
    if (n > 0) queue.writeBuffer(buffer, 0, values);
  }
}
