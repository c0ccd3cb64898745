// Dispatches that go through a buffer once: narrowing to 16 bits, adding the shares of regions, and copying small
// inputs into the schedule.
import {
  addShader,
  componentShader,
  copyShader,
  ELEMENTWISE_ROW,
  ELEMENTWISE_THREADS,
  narrowShader,
} from "../../../shaders/kernels/elementwise.ts";
import type { GpuBuffer } from "../device/api.ts";
import type { OperandName } from "../../tensor/operands.ts";
import { elementBytes } from "../../tensor/view.ts";
import { bound, type Step } from "./dispatch.ts";
import type { RegionCall } from "./region_call.ts";

/** Workgroups of a kernel that goes through `words` words: rows of a fixed length. */
export function elementwise(words: number): { x: number; y: number; z: number } {
  const groups = Math.ceil(words / ELEMENTWISE_THREADS);
  return { x: Math.min(groups, ELEMENTWISE_ROW), y: Math.ceil(groups / ELEMENTWISE_ROW), z: 1 };
}

/** What bindings of a device keep. */
interface BindingLimits {
  readonly storageBinding: number;
  readonly offsetAlignment: number;
}

/** A step for each range of `n` elements that can be bound, of a source with `bytes` for each. */
function inRanges(
  n: number,
  bytes: number,
  { storageBinding, offsetAlignment: unit }: BindingLimits,
  step: (begin: number, count: number) => Step,
): Step[] {
  const range = Math.floor(storageBinding / bytes / unit) * unit, steps: Step[] = [];
  for (let begin = 0; begin < n; begin += range) {
    steps.push(step(begin, Math.min(range, n - begin)));
  }
  return steps;
}

/** Component `component` of each vec4 of `from`, as f32. */
export function componentSteps(
  from: GpuBuffer,
  to: GpuBuffer,
  n: number,
  component: number,
  limits: BindingLimits,
): Step[] {
  return inRanges(n, 16, limits, (begin, count) => ({
    kernel: { key: "component", code: componentShader },
    bindings: {
      source: { buffer: from, offset: begin * 16, size: count * 16 },
      result: { buffer: to, offset: begin * 4, size: count * 4 },
    },
    params: { count, source_at: component },
    ...elementwise(count),
    flops: count,
  }));
}

/** f32 results to 16 bits. */
export function narrowSteps(
  wide: GpuBuffer,
  words: GpuBuffer,
  n: number,
  dtype: "f16" | "bf16",
  limits: BindingLimits,
): Step[] {
  return inRanges(n, 4, limits, (begin, count) => ({
    kernel: { key: `narrow ${dtype}`, code: () => narrowShader(dtype) },
    bindings: {
      source: { buffer: wide, offset: begin * 4, size: count * 4 },
      result: { buffer: words, offset: begin * 2, size: Math.ceil(count / 2) * 4 },
    },
    params: { count },
    ...elementwise(Math.ceil(count / 2)),
    flops: count,
  }));
}

/** Adds a region's share of a gradient to what regions before it left; all elements of the range of both. */
export function addStep(r: RegionCall, of: OperandName): Step {
  const part = r.gradient(of), n = part.size / 4;
  return {
    kernel: { key: "add", code: addShader },
    bindings: { source: bound(part), result: bound(r.result(of)) },
    params: { count: n },
    ...elementwise(n),
    flops: n,
  };
}

/** Copies a resident input behind the work items, where it belongs: nothing but a dispatch fits into a pass. */
export function copyStep(r: RegionCall, of: OperandName): Step {
  const source = r.input(of), { at, count } = r.schedule.inputs.get(of)!;
  const bytes = elementBytes(r.call.views[of]!),
    word = (element: number) => Math.floor(element * bytes / 4);
  const words = count === 0 ? 0 : word(at + count - 1) - word(at) + 1;
  return {
    kernel: { key: "copy", code: copyShader },
    bindings: { source: bound(source), schedule: r.scheduleBuffer },
    params: { count: words, source_at: word(source.at), target_at: word(at) },
    ...elementwise(words),
    flops: words,
  };
}
