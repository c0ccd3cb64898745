// mergeAttention on the GPU: parts are merged into the result one after the other, in their order.
import type { StorageKind } from "../../shaders/storage.ts";
import type { MergePart, MergeShape } from "../merge.ts";
import { count } from "../operand.ts";
import type { Box } from "../plan/boxes.ts";
import type { ResultSpec } from "../results.ts";
import type { GpuBuffer } from "./api.ts";
import { type Slice, sliceBuffer, Slices, storageKind } from "./slices.ts";
import { mergeIntoStep, narrowStep, type Step, wholeBuffer } from "./steps.ts";
import type { Home } from "./tensors.ts";

/** The steps of a merge. `made`: out and lse. */
export function mergeSteps(
  home: Home,
  parts: readonly MergePart[],
  { batch, heads, length, valueDim }: MergeShape,
  made: readonly { readonly spec: ResultSpec; readonly buffer: GpuBuffer }[],
  take: (bytes: number) => GpuBuffer,
): Step[] {
  if (batch * heads * length * valueDim === 0) return [];
  const box: Box = {
    batchBegin: 0,
    batchEnd: batch,
    kvHeadBegin: 0,
    kvHeadEnd: heads,
    rowBegin: 0,
    rowEnd: length,
    keyBegin: 0,
    keyEnd: 0,
  };
  const [out, lse] = made, wide = out.spec.dtype === "f32";
  const n = count(out.spec.shape), work = wide ? out.buffer : take(n * 4);
  const alignment = home.open.target.limits.offsetAlignment;
  const slice = (buffer: GpuBuffer, spec: ResultSpec): Slice =>
    sliceBuffer(buffer, 0, { ...spec, dtype: "f32" }, {
      box,
      follows: "queries",
      group: 1,
      alignment,
    });
  const result = { out: slice(work, out.spec), lse: slice(lse.buffer, lse.spec) };
  const w = {
    batch,
    kvHeads: heads,
    group: 1,
    lengthQ: length,
    valueDim,
    params: { length_q: length, group: 1, kv_heads: heads, batch, value_dim: valueDim },
  };
  const steps = parts.map((part, index) => {
    const slices = new Slices(home, 1, take); // parts have the same names
    const kind: StorageKind = storageKind(part.out);
    const source = {
      out: slices.of(part.out, box, "queries"),
      lse: slices.of(part.lse, box, "queries"),
      kind,
    };
    return mergeIntoStep(w, source, result, index === 0);
  });
  if (wide) return steps;
  const words = wholeBuffer(out.buffer, Math.ceil(n / 2) * 4);
  return [...steps, narrowStep(wholeBuffer(work, n * 4), words, n, out.spec.dtype as "f16")];
}
