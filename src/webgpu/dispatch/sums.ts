// Dispatches of gradients that are sums over pairs or over rows: those of the operands that features bring.
import { pairSumShader } from "../../../shaders/kernels/pair_sum.ts";
import { rowSumShader } from "../../../shaders/kernels/row_sum.ts";
import { SHADER_FEATURES } from "../../../shaders/features/table.ts";
import { variantKey } from "../../../shaders/parts/variant.ts";
import { follows, type OperandName } from "../../tensor/operands.ts";
import { backwardInputs, backwardVariant, statsOf } from "./backward.ts";
import { pairs, type Step, untiled, variantOf } from "./dispatch.ts";
import type { RegionCall } from "./region_call.ts";

/** The feature whose operand has this gradient. */
function featureOf(operand: OperandName) {
  return SHADER_FEATURES.find(({ gradient }) => gradient?.operand === operand)!;
}

/** Several regions add to a sum, which is cleared before they run. */
export const accumulates = ({ call: { plan } }: RegionCall): 0 | 1 =>
  plan.regions.length > 1 || plan.windows ? 1 : 0;

/** One float a row: what a sum over pairs leaves to a sum over rows. */
const rowSums = (r: RegionCall) => r.rowScratch("rowSums", 1);

/** A sum over the pairs that read an element of the operand, or over those of a row. */
export function pairSumStep(r: RegionCall, of: OperandName): Step {
  const { sizes, heads } = r, { name } = featureOf(of), byRow = follows(of) === "heads";
  const chosen = r.call.plan.pairSum!, v = variantOf(backwardVariant(r), chosen, sizes);
  const { size } = r.call.results.get(of)!.spec;
  const repeats = byRow
    ? { batch: false, head: false, row: false, column: true }
    : { batch: size[0] === 1, head: size[1] === 1, row: size[2] === 1, column: size[3] === 1 };
  const { bindings, params } = r.bind({ ...backwardInputs(r), [of]: r.result(of) });
  const rowTiles = repeats.row ? 1 : Math.ceil(sizes.lengthQ / chosen.rows);
  const columnTiles = repeats.column ? 1 : Math.ceil(sizes.lengthK / chosen.columns);
  return {
    kernel: {
      key: `${variantKey(`pair sum ${of}`, v)}, repeats ${Object.values(repeats)}`,
      code: () => pairSumShader(v, name, repeats),
    },
    bindings: { ...bindings, stats: statsOf(r), ...(byRow && { rowSums: rowSums(r) }) },
    params: { ...params, accumulate: accumulates(r) },
    x: rowTiles * columnTiles,
    y: repeats.head ? 1 : heads,
    z: repeats.batch ? 1 : sizes.batch,
    flops: 2 * pairs(r.region.rowItems) * heads * (sizes.headDim + sizes.valueDim),
  };
}

/** A sum over the rows of a head. */
export function rowSumStep(r: RegionCall, of: OperandName): Step {
  const { name, gradient } = featureOf(of), { spec } = r.call.results.get(of)!;
  const wholeBatch = spec.size[0] === 1;
  const rows = gradient!.row ? { stats: statsOf(r) } : { rowSums: rowSums(r) };
  const { bindings, params } = r.bind({ [of]: r.result(of) });
  return {
    kernel: {
      key: `row sum ${of} ${wholeBatch}${
        gradient!.row && r.call.variant.statistics ? " entropy" : ""
      }`,
      code: () => rowSumShader(untiled(r.call.variant), name, wholeBatch),
    },
    bindings: { ...bindings, ...rows },
    params: { ...params, accumulate: accumulates(r) },
    x: r.heads,
    y: wholeBatch ? 1 : r.sizes.batch,
    z: 1,
    flops: 2 * r.rows,
  };
}
