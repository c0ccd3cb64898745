// mergeAttention on the GPU: parts are merged into the result one after the other, in their order.
import type { MergePart, MergeShape } from "../../problem/merge.ts";
import { count } from "../../tensor/shape.ts";
import type { ResultSpec } from "../../problem/results.ts";
import type { GpuBuffer } from "../device/api.ts";
import { type BufferView, InputViews, storageKind, viewBuffer } from "./views.ts";
import { narrowSteps } from "./elementwise.ts";
import { mergeIntoStep } from "./forward.ts";
import { type Step, wholeBuffer } from "./dispatch.ts";
import { ranges } from "./ranges.ts";
import type { Home } from "../device/tensors.ts";

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
  const steps = ranges(shape, out.spec.strides, home, "mergeAttention").flatMap((region) => {
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
