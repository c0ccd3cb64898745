// Dispatches of a forward region: forward or decode, merge of KV splits, merge into what other regions left.
import { decodeShader } from "../../../shaders/kernels/decode.ts";
import { forwardShader } from "../../../shaders/kernels/forward.ts";
import { combineSplitsShader, mergeIntoShader } from "../../../shaders/kernels/merge.ts";
import { kindName, type StorageKind } from "../../../shaders/parts/storage.ts";
import { variantKey } from "../../../shaders/parts/variant.ts";
import {
  address,
  type Bound,
  bound,
  pairs,
  type RegionSizes,
  type Step,
  untiled,
  variantOf,
} from "./dispatch.ts";
import type { PartialRows, RegionCall } from "./region_call.ts";

/** The binding of the statistics of rows, where there are some. */
export function statisticsAt(statistics: Bound | undefined): Step["bindings"] {
  return statistics ? { rowStatistics: statistics } : {};
}

/** What forward and decode read and write. */
function places(r: RegionCall): Pick<Step, "bindings" | "params"> {
  const { q, k, v } = { q: r.input("q"), k: r.input("k"), v: r.input("v") };
  const { out, lse, statistics } = r.splits, { bindings, params } = r.bind({ q, k, v, out, lse });
  return {
    bindings: { ...bindings, ...statisticsAt(statistics) },
    params: { ...params, item_base: r.schedule.rowBase },
  };
}

function flopsOf(
  { region: { rowItems }, heads, sizes: { headDim, valueDim } }: RegionCall,
): number {
  return 2 * pairs(rowItems) * heads * (headDim + valueDim);
}

const scalarKey = (scalar: boolean) => scalar ? ", scalar out" : "";

/** Tiles of query rows. */
export function forwardStep(r: RegionCall): Step {
  const { variant, plan } = r.call, scalarOut = r.valueKind.scalar;
  const v = variantOf(variant, plan.forward!, r.sizes);
  const blocks = Math.ceil(v.valueChunks / v.blockChunks);
  return {
    kernel: {
      key: variantKey("forward", v) + scalarKey(scalarOut),
      code: () => forwardShader(v, { scalarOut }),
    },
    ...places(r),
    x: r.region.rowItems.length,
    y: r.sizes.kvHeads,
    z: blocks,
    flops: flopsOf(r) * blocks,
  };
}

/** Ranges of keys for few rows. */
export function decodeStep(r: RegionCall): Step {
  const { variant, plan } = r.call, scalarOut = r.valueKind.scalar, shape = plan.decode!;
  const v = untiled({ ...variant, grouped: true });
  return {
    kernel: {
      key: `${variantKey("decode", v)}, ${Object.values(shape)}${scalarKey(scalarOut)}`,
      code: () => decodeShader(v, shape, { scalarOut }),
    },
    ...places(r),
    x: r.region.rowItems.length,
    y: r.sizes.kvHeads,
    z: 1,
    flops: flopsOf(r),
  };
}

/** Combines the KV splits. */
export function combineStep(r: RegionCall): Step {
  const { splits, merged, sizes, rows } = r, scalarOut = r.valueKind.scalar;
  const { statistics } = r.call.variant;
  return {
    kernel: {
      key: `combine ${scalarOut}${statistics ? ", statistics" : ""}`,
      code: () => combineSplitsShader(scalarOut, statistics),
    },
    bindings: {
      partOut: bound(splits.out),
      partLse: bound(splits.lse),
      out: bound(merged.out),
      lse: bound(merged.lse),
      ...statisticsAt(merged.statistics),
      ...(splits.statistics && { partStatistics: splits.statistics }),
    },
    params: { ...r.params, ...address("out", merged.out), ...address("lse", merged.lse) },
    x: sizes.lengthQ,
    y: r.heads,
    z: sizes.batch,
    flops: 2 * rows * r.region.splits * sizes.valueDim,
  };
}

/** Merges a region into what those before it left. */
export function mergeRegionStep(r: RegionCall): Step {
  return mergeIntoStep(r.sizes, r.params, { ...r.merged, kind: r.valueKind }, r.joined, false);
}

/**
 * Merges a part, `[batch, head, query]` rows, into results; `first`: writes them over. `state`: where the state of
 * what is there is kept from part to part.
 */
export function mergeIntoStep(
  { batch, kvHeads, group, lengthQ, valueDim }: Omit<RegionSizes, "lengthK" | "headDim">,
  params: Step["params"],
  part: PartialRows & { readonly kind: StorageKind },
  result: PartialRows,
  first: boolean,
  state?: Bound,
): Step {
  const scalarOut = valueDim % 4 !== 0, kept = state !== undefined;
  const statistics = part.statistics !== undefined;
  return {
    kernel: {
      key: `merge into ${kindName(part.kind)} ${scalarOut}${kept ? " kept" : ""}${
        statistics ? " statistics" : ""
      }`,
      code: () => mergeIntoShader(part.kind, scalarOut, { kept, statistics }),
    },
    bindings: {
      partOut: bound(part.out),
      partLse: bound(part.lse),
      out: bound(result.out),
      lse: bound(result.lse),
      ...(state && { stats: state }),
      ...statisticsAt(result.statistics),
      ...(part.statistics && { partStatistics: part.statistics }),
    },
    params: {
      ...params,
      ...address("partOut", part.out),
      ...address("partLse", part.lse),
      ...address("out", result.out),
      ...address("lse", result.lse),
      accumulate: first ? 0 : 1,
    },
    x: lengthQ,
    y: kvHeads * group,
    z: batch,
    flops: 4 * batch * kvHeads * group * lengthQ * valueDim,
  };
}
