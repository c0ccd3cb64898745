// Steps that go through whole results: narrowing to 16 bits, and adding the shares of windows.
import {
  addShader,
  ELEMENTWISE_ROW,
  ELEMENTWISE_THREADS,
  narrowShader,
} from "../../../shaders/kernels/elementwise.ts";
import type { GpuBuffer } from "../device/api.ts";
import type { Bound, Step } from "./dispatch.ts";

/** Workgroups of a kernel that goes through `words` words: rows of a fixed length. */
function elementwise(words: number): { x: number; y: number; z: number } {
  const groups = Math.ceil(words / ELEMENTWISE_THREADS);
  return { x: Math.min(groups, ELEMENTWISE_ROW), y: Math.ceil(groups / ELEMENTWISE_ROW), z: 1 };
}

/** f32 results to 16 bits, in ranges that can be bound. */
export function narrowSteps(
  wide: GpuBuffer,
  words: GpuBuffer,
  n: number,
  dtype: "f16" | "bf16",
  limits: { readonly storageBinding: number; readonly offsetAlignment: number },
): Step[] {
  const unit = limits.offsetAlignment, range = Math.floor(limits.storageBinding / 4 / unit) * unit;
  const steps: Step[] = [];
  for (let begin = 0; begin < n; begin += range) {
    const count = Math.min(range, n - begin);
    steps.push({
      kernel: { key: `narrow ${dtype}`, code: () => narrowShader(dtype) },
      bindings: {
        1: { buffer: wide, offset: begin * 4, size: count * 4 },
        2: { buffer: words, offset: begin * 2, size: Math.ceil(count / 2) * 4 },
      },
      params: { part_rows: count },
      ...elementwise(Math.ceil(count / 2)),
      flops: count,
    });
  }
  return steps;
}

/** sum += part, over all elements of both. */
export function addStep(part: Bound, sum: Bound, n: number): Step {
  return {
    kernel: { key: "add", code: addShader },
    bindings: { 1: part, 2: sum },
    params: { part_rows: n },
    ...elementwise(n),
    flops: n,
  };
}
