// The dispatch that follows every kernel with a matrix product into its result: see shaders/kernels/repair.ts.
import { repairFeatures } from "../../../shaders/features/table.ts";
import {
  REPAIR_ROWS,
  type RepairKind,
  repairKinds,
  repairShader,
} from "../../../shaders/kernels/repair.ts";
import { variantKey } from "../../../shaders/parts/variant.ts";
import { targetWorkgroups } from "../../plan/webgpu/tiles.ts";
import { backwardInputs, backwardVariant, statsOf } from "./backward.ts";
import { statisticsAt } from "./forward.ts";
import { type Bindings, type Step, untiled } from "./dispatch.ts";
import type { RegionCall } from "./region_call.ts";

/** What the kernel of a result reads and writes. */
function places(r: RegionCall, kind: RepairKind): Pick<Step, "bindings" | "params"> {
  if (kind === "out") {
    const { out, lse, statistics } = r.merged;
    const { bindings, params } = r.bind({
      ...{ q: r.input("q"), k: r.input("k"), v: r.input("v") },
      ...{ out, lse },
    });
    return { bindings: { ...bindings, ...statisticsAt(statistics) }, params };
  }
  const { bindings, params } = r.bind({ ...backwardInputs(r), [kind]: r.gradient(kind) });
  return { bindings: { ...bindings, stats: statsOf(r) } as Bindings, params };
}

/** Repairs rows of a result that are not finite. */
export function repairStep(r: RegionCall, kind: RepairKind): Step {
  const { target } = r.call.home.open, { kvHeads, batch, lengthK, lengthQ, group } = r.sizes;
  const call = kind === "out" ? r.call.variant : backwardVariant(r);
  const v = untiled({
    kinds: repairKinds(call.kinds),
    grouped: true,
    statistics: call.statistics,
    features: repairFeatures(call.features, kind === "out"),
  });
  const rows = kind === "dk" || kind === "dv" ? lengthK : lengthQ * group;
  const blocks = Math.ceil(rows / REPAIR_ROWS);
  return {
    kernel: { key: variantKey(`repair ${kind}`, v), code: () => repairShader(kind, v) },
    ...places(r, kind),
    // starting a workgroup costs more than looking through rows: some for each core, no more. Loops of one
    // workgroup are bounded on software adapters (see longestStream), so there each has few rows
    x: target.software
      ? blocks
      : Math.min(blocks, Math.ceil(2 * targetWorkgroups(target) / (kvHeads * batch))),
    y: kvHeads,
    z: batch,
    flops: rows * kvHeads * batch * r.sizes.valueDim,
  };
}
