// mergeAttention on the GPU: parts are merged into the result one after the other, in their order.
import type { MergePart, MergeShape } from "../../problem/merge.ts";
import { type Axes, count } from "../../tensor/view.ts";
import { type Region, regionsOf } from "../../plan/webgpu/regions.ts";
import type { ResultSpec } from "../../problem/results.ts";
import type { GpuBuffer } from "../device/api.ts";
import { type BufferView, InputViews, storageKind, viewBuffer } from "./views.ts";
import { narrowSteps } from "./elementwise.ts";
import { mergeIntoStep } from "./forward.ts";
import { type Step, wholeBuffer } from "./dispatch.ts";
import type { Home } from "../device/tensors.ts";

/** Ranges of the result that can be bound and dispatched: halved along the longest stride until they can. */
function ranges(
  { batch, heads, length, valueDim }: MergeShape,
  strides: Axes,
  home: Home,
): Region[] {
  const { storageBinding, offsetAlignment, workgroups } = home.open.target.limits;
  const room = (storageBinding - offsetAlignment) / 4;
  const total = { batch, head: heads, row: length, group: 1, key: 1 };
  const size = { ...total, batch: Math.min(batch, workgroups), head: Math.min(heads, workgroups) };
  const axes = (["batch", "head", "row"] as const).map((name, n) => ({ name, stride: strides[n]! }))
    .sort((a, b) => b.stride - a.stride);
  const extent = () =>
    axes.reduce((sum, { name, stride }) => sum + (size[name] - 1) * stride, valueDim);
  while (extent() > room) {
    const axis = axes.find(({ name }) => size[name] > 1);
    if (!axis) throw new RangeError(`Cannot run mergeAttention: a row of ${valueDim} does not fit`);
    size[axis.name] = Math.ceil(size[axis.name] / 2);
  }
  return regionsOf(total, size);
}

/** The steps of a merge. `made`: out and lse. */
export function mergeSteps(
  home: Home,
  parts: readonly MergePart[],
  shape: MergeShape,
  made: readonly { readonly spec: ResultSpec; readonly buffer: GpuBuffer }[],
  take: (bytes: number) => GpuBuffer,
): Step[] {
  const { valueDim } = shape, out = made[0]!, lse = made[1]!, wide = out.spec.dtype === "f32";
  const n = count(out.spec.shape), work = wide ? out.buffer : take(n * 4);
  if (n === 0) return [];
  const { limits } = home.open.target, alignment = limits.offsetAlignment;
  const inputs = parts.map(() => new InputViews(home, 1, take)); // parts have the same names
  const steps = ranges(shape, out.spec.strides, home).flatMap((region) => {
    const place = { region, group: 1, alignment };
    const part = (buffer: GpuBuffer, spec: ResultSpec): BufferView =>
      viewBuffer(buffer, 0, spec.name, { ...spec, dtype: "f32" }, place);
    const result = { out: part(work, out.spec), lse: part(lse.buffer, lse.spec) };
    const w = {
      batch: region.batchEnd - region.batchBegin,
      kvHeads: region.kvHeadEnd - region.kvHeadBegin,
      group: 1,
      lengthQ: region.rowEnd - region.rowBegin,
      valueDim,
    };
    const params = {
      length_q: w.lengthQ,
      group: 1,
      kv_heads: w.kvHeads,
      batch: w.batch,
      value_dim: valueDim,
    };
    // at the places of lse, from where it is bound on
    const state = parts.length > 2 ? wholeBuffer(take(2 * result.lse.size)) : undefined;
    return parts.map((part, index) => {
      const source = {
        out: inputs[index]!.of(part.out, region),
        lse: inputs[index]!.of(part.lse, region),
        kind: storageKind(part.out),
      };
      return mergeIntoStep(w, params, source, result, index === 0, state);
    });
  });
  if (wide) return steps;
  return [...steps, ...narrowSteps(work, out.buffer, n, out.spec.dtype as "f16", limits)];
}
