// Steps of a forward window: forward or decode [, merge slots], exact rows. Windows with more keys of the same
// queries are merged into the result.
import { decodeShader } from "../../../shaders/kernels/decode.ts";
import { forwardShader } from "../../../shaders/kernels/forward.ts";
import { mergeIntoShader, mergeSlotsShader } from "../../../shaders/kernels/merge.ts";
import { kindName, type StorageKind } from "../../../shaders/parts/storage.ts";
import { variantKey } from "../../../shaders/parts/variant.ts";
import type { GpuItem } from "../../plan/webgpu/work_items.ts";
import type { ChosenTile } from "../../plan/webgpu/tiles.ts";
import { exactStep } from "./repair.ts";
import type { Kernel } from "../device/pipelines.ts";
import type { Slice } from "./slices.ts";
import {
  address,
  bound,
  type CallVariant,
  pairs,
  scoreParams,
  type Step,
  untiled,
  variantOf,
  type WindowPlaces,
} from "./dispatch.ts";

/** out and lse of a window, from its row items; in `slots` first, where there are several parts. */
export function forwardSteps(
  call: CallVariant,
  w: WindowPlaces,
  work: {
    readonly forward?: ChosenTile;
    readonly decode?: Parameters<typeof decodeShader>[1];
    readonly items: readonly GpuItem[];
    readonly itemBase: number;
    readonly out: Slice;
    readonly lse: Slice;
    readonly parts: number;
    /** Slots of partial results, where there are several parts. */
    readonly slots?: { readonly out: Slice; readonly lse: Slice };
  },
): Step[] {
  const { out, lse, slots, parts } = work, target = slots ?? { out, lse };
  const scalarOut = w.valueDim % 4 !== 0;
  const rows = w.batch * w.kvHeads * w.group * w.lengthQ;
  const partRows = { part_rows: rows, parts };
  const bindings = {
    1: w.tables,
    2: bound(w.q),
    3: bound(w.k),
    4: bound(w.v),
    5: bound(target.out),
    6: bound(target.lse),
    ...(w.bias && { 7: bound(w.bias) }),
  };
  const params = {
    ...w.params,
    ...address("q", w.q),
    ...address("k", w.k),
    ...address("v", w.v),
    ...scoreParams(w),
    ...partRows,
    item_base: work.itemBase,
  };
  const flops = 2 * pairs(work.items) * w.group * w.kvHeads * (w.headDim + w.valueDim);
  const v = work.forward ? variantOf(call, work.forward, w) : untiled({ ...call, grouped: true });
  const shape = work.decode;
  const kernel: Kernel = shape
    ? {
      key: `${variantKey("decode", v)}, ${Object.values(shape)}${scalarOut ? ", scalar out" : ""}`,
      code: () => decodeShader(v, shape, { scalarOut }),
    }
    : {
      key: variantKey("forward", v) + (scalarOut ? ", scalar out" : ""),
      code: () => forwardShader(v, { scalarOut }),
    };
  const blocks = work.forward ? Math.ceil(v.valueChunks / v.blockChunks) : 1;
  const steps: Step[] = [{
    kernel,
    bindings,
    params: { ...params, ...address("out", target.out), ...address("lse", target.lse) },
    x: work.items.length,
    y: w.kvHeads,
    z: blocks,
    flops: flops * blocks,
  }];
  if (slots) {
    steps.push({
      kernel: { key: `merge slots ${scalarOut}`, code: () => mergeSlotsShader(scalarOut) },
      bindings: { 1: bound(slots.out), 2: bound(slots.lse), 3: bound(out), 4: bound(lse) },
      params: { ...w.params, ...partRows, ...address("out", out), ...address("lse", lse) },
      x: w.lengthQ,
      y: w.kvHeads * w.group,
      z: w.batch,
      flops: 2 * rows * parts * w.valueDim,
    });
  }
  steps.push(
    exactStep("forward", call, w, {
      bindings: { ...bindings, 6: bound(lse), 7: bound(out), ...(w.bias && { 8: bound(w.bias) }) },
      params: { ...params, ...address("out", out), ...address("lse", lse), item_base: 0 },
    }),
  );
  return steps;
}

/** Merges a part, `[batch, head, query]` rows, into results; `first`: writes them over. */
export function mergeIntoStep(
  w: Pick<WindowPlaces, "params" | "batch" | "kvHeads" | "group" | "lengthQ" | "valueDim">,
  part: { readonly out: Slice; readonly lse: Slice; readonly kind: StorageKind },
  result: { readonly out: Slice; readonly lse: Slice },
  first: boolean,
): Step {
  const scalarOut = w.valueDim % 4 !== 0;
  return {
    kernel: {
      key: `merge into ${kindName(part.kind)} ${scalarOut}`,
      code: () => mergeIntoShader(part.kind, scalarOut),
    },
    bindings: {
      1: bound(part.out),
      2: bound(part.lse),
      3: bound(result.out),
      4: bound(result.lse),
    },
    params: {
      ...w.params,
      ...address("q", part.out),
      ...address("k", part.lse),
      ...address("out", result.out),
      ...address("lse", result.lse),
      parts: first ? 0 : 1,
    },
    x: w.lengthQ,
    y: w.kvHeads * w.group,
    z: w.batch,
    flops: 4 * w.batch * w.kvHeads * w.group * w.lengthQ * w.valueDim,
  };
}
