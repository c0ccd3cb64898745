// Dispatches of a backward region: delta, dQ, dK and dV.
import { pairFeatures, rowFeatures, stateFeatures } from "../../../shaders/features/table.ts";
import { DELTA_ROWS, deltaShader } from "../../../shaders/kernels/delta.ts";
import { dkvShader, type Makes } from "../../../shaders/kernels/dkv.ts";
import { dqShader } from "../../../shaders/kernels/dq.ts";
import { rowStateShader } from "../../../shaders/kernels/row_state.ts";
import { kindName } from "../../../shaders/parts/storage.ts";
import { variantKey } from "../../../shaders/parts/variant.ts";
import type { GpuItem } from "../../plan/webgpu/work_items.ts";
import { type Bound, type CallVariant, pairs, type Step, variantOf } from "./dispatch.ts";
import type { RegionCall } from "./region_call.ts";
import type { BufferView } from "./views.ts";

/** What the gradient kernels take from the call: what acts on rows alone is in lse. */
export function backwardVariant({ call: { variant } }: RegionCall): CallVariant {
  return { ...variant, features: pairFeatures(variant.features) };
}

/** What the gradient kernels read. */
export function backwardInputs(
  r: RegionCall,
): Readonly<Record<"q" | "k" | "v" | "dOut", BufferView>> {
  return { q: r.input("q"), k: r.input("k"), v: r.input("v"), dOut: r.input("dOut") };
}

/** Whether rows of dOut have powers, because products are of halves. */
const hasPowers = ({ call: { plan } }: RegionCall) => plan.dq?.tile.halves === true;

/**
 * What the gradient kernels take from each row, four floats: see shaders/kernels/row_state.ts. With a gradient of the
 * entropy, or powers, four more a row lie behind them.
 */
export const statsOf = (r: RegionCall): Bound =>
  r.rowScratch("stats", r.call.variant.statistics || hasPowers(r) ? 8 : 4);

const visible = (r: RegionCall, items: readonly GpuItem[]) => 2 * pairs(items) * r.heads;

/** stats = (lse, delta, 0, lse). */
export function deltaStep(r: RegionCall): Step {
  const { sizes, rows } = r, { views, variant } = r.call, withDLse = views.dLse !== undefined;
  const kinds = { dOut: r.kind("dOut"), out: r.kind("out") }, withDEntropy = variant.statistics;
  const withPowers = hasPowers(r);
  const features = rowFeatures(withDEntropy ? variant.features : new Map());
  const { bindings, params } = r.bind({
    dOut: r.input("dOut"),
    out: r.input("out"),
    lse: r.input("lse"),
    ...(withDLse && { dLse: r.input("dLse") }),
    ...(withDEntropy && { entropy: r.input("entropy"), dEntropy: r.input("dEntropy") }),
  });
  return {
    kernel: {
      key: [
        ...["delta", kindName(kinds.dOut), kindName(kinds.out), withDLse, withDEntropy],
        ...withPowers ? ["powers"] : [],
        ...features.keys(),
      ].join(" "),
      code: () => deltaShader({ ...kinds, withDLse, withDEntropy, withPowers, features }),
    },
    bindings: { ...bindings, stats: statsOf(r) },
    params: withDEntropy ? { ...params, ...r.scheduledAddresses() } : params,
    x: Math.ceil(sizes.lengthQ / DELTA_ROWS),
    y: r.heads,
    z: sizes.batch,
    flops: 2 * rows * sizes.valueDim,
  };
}

/** stats = (m, delta, log2 l, lse) of rows with a large lse: tiles of query rows. */
export function rowStateStep(r: RegionCall): Step {
  const { variant, plan } = r.call, features = stateFeatures(variant.features);
  const v = variantOf({ ...variant, features }, (plan.dq ?? plan.inside)!, r.sizes);
  const { bindings, params } = r.bind({ q: r.input("q"), k: r.input("k") });
  return {
    kernel: { key: variantKey("row state", v), code: () => rowStateShader(v) },
    bindings: { ...bindings, stats: statsOf(r) },
    params: { ...params, item_base: r.schedule.rowBase },
    x: r.region.rowItems.length,
    y: r.sizes.kvHeads,
    z: 1,
    flops: 0, // there is hardly ever such a row
  };
}

/** dQ: tiles of query rows. */
export function dqStep(r: RegionCall): Step {
  const { headDim, valueDim, kvHeads } = r.sizes, scalarOut = headDim % 4 !== 0;
  const v = variantOf(backwardVariant(r), r.call.plan.dq!, r.sizes);
  const { bindings, params } = r.bind({ ...backwardInputs(r), dq: r.gradient("dq") });
  return {
    kernel: {
      key: variantKey("dq", v) + (scalarOut ? ", scalar out" : ""),
      code: () => dqShader(v, { scalarOut }),
    },
    bindings: { ...bindings, stats: statsOf(r) },
    params: { ...params, item_base: r.schedule.rowBase },
    x: r.region.rowItems.length,
    y: kvHeads,
    z: Math.ceil(v.headChunks / v.blockChunks),
    flops: visible(r, r.region.rowItems) * (2 * headDim + valueDim),
  };
}

/** dK and dV, or one of them: tiles of keys. */
export function dkvStep(r: RegionCall, makes: Makes): Step {
  const { headDim, valueDim, kvHeads } = r.sizes, { keyItems } = r.region;
  const whole = variantOf(backwardVariant(r), r.call.plan.dkv!, r.sizes);
  const chunks = makes === "k" ? whole.headChunks : whole.valueChunks;
  // a block is as wide as the wider operand: the narrower one may need fewer
  const blockChunks = Math.min(whole.blockChunks, chunks);
  const v = makes === "kv" ? whole : { ...whole, blockChunks };
  const scalarOut = headDim % 4 !== 0 || valueDim % 4 !== 0;
  const { bindings, params } = r.bind({
    ...backwardInputs(r),
    dk: r.gradient("dk"),
    dv: r.gradient("dv"),
  });
  return {
    kernel: {
      key: variantKey(`dkv ${makes}`, v) + (scalarOut ? ", scalar out" : ""),
      code: () => dkvShader(v, makes, { scalarOut }),
    },
    bindings: { ...bindings, stats: statsOf(r) },
    params: { ...params, item_base: r.schedule.keyBase },
    x: keyItems.length,
    y: kvHeads,
    z: makes === "kv" ? 1 : Math.ceil(chunks / v.blockChunks),
    flops: visible(r, keyItems) *
      (headDim + (makes === "kv" ? headDim + 2 * valueDim : headDim + valueDim)),
  };
}
