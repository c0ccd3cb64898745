// mergeAttention on the GPU: parts are merged into the result one after the other, in their order.
import type { MergePart, MergeShape } from "../../problem/merge.ts";
import { count } from "../../tensor/view.ts";
import { type Region, regionsOf } from "../../plan/webgpu/regions.ts";
import type { ResultSpec } from "../../problem/results.ts";
import type { GpuBuffer } from "../device/api.ts";
import { type BufferView, InputViews, storageKind, viewBuffer } from "./views.ts";
import { narrowSteps } from "./elementwise.ts";
import { mergeIntoStep } from "./forward.ts";
import type { Step } from "./dispatch.ts";
import type { Home } from "../device/tensors.ts";

/** Ranges of the result that can be bound: all of it, or rows of one head at a time. */
function ranges({ batch, heads, length }: MergeShape, rowStride: number, home: Home): Region[] {
  const { storageBinding, offsetAlignment } = home.open.target.limits;
  const room = (storageBinding - offsetAlignment) / 4, all = batch * heads * length;
  const fits = all * rowStride <= room; // rows of other heads may lie in between
  const none = { group: 1, key: 1 }, total = { batch, head: heads, row: length, ...none };
  if (fits) return regionsOf(total, total);
  const row = Math.max(1, Math.floor(room / rowStride));
  return regionsOf(total, { batch: 1, head: 1, row, ...none });
}

/** The steps of a merge. `made`: out and lse. */
export function mergeSteps(
  home: Home,
  parts: readonly MergePart[],
  shape: MergeShape,
  made: readonly { readonly spec: ResultSpec; readonly buffer: GpuBuffer }[],
  take: (bytes: number) => GpuBuffer,
): Step[] {
  const { valueDim } = shape, [out, lse] = made, wide = out.spec.dtype === "f32";
  const n = count(out.spec.shape), work = wide ? out.buffer : take(n * 4);
  if (n === 0) return [];
  const { limits } = home.open.target, alignment = limits.offsetAlignment;
  const inputs = parts.map(() => new InputViews(home, 1, take)); // parts have the same names
  const steps = ranges(shape, out.spec.strides[2], home).flatMap((region) => {
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
    return parts.map((part, index) => {
      const source = {
        out: inputs[index].of(part.out, region),
        lse: inputs[index].of(part.lse, region),
        kind: storageKind(part.out),
      };
      return mergeIntoStep(w, params, source, result, index === 0);
    });
  });
  if (wide) return steps;
  return [...steps, ...narrowSteps(work, out.buffer, n, out.spec.dtype as "f16", limits)];
}
