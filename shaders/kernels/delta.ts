// delta: what the gradient kernels need of each row, once (FlashAttention-2, algorithm 2, line 4).
//
//   stats[row] = (lse, or the highest f32 where the row saw no key, so that P is 0;
//                 rowsum(dOut * out) - dLse; 0; lse)            see row_state.ts for large ones
//
// With a gradient dH of the entropy H the second is rowsum(dOut * out) - dLse + dH (H + the weight of what joins the row
// without a pair), and behind the stats of all rows lie (dH ln 2, dH, 0, 0) of each: dS of a pair has - dH ln p beside
// dP - delta. Where products are of halves the third of these is a power of two, which brings the largest element of the row of
// dOut into [1, 2): see parts/powers.ts.
//
// Eight lanes for a row; their partial sums are added in the order of the lanes.
import { PARAMS } from "../features/params.ts";
import { scoreDeclarations } from "../features/score.ts";
import { activeFeatures } from "../features/table.ts";
import { rowFunction } from "../parts/address.ts";
import { declare } from "../parts/bindings.ts";
import { POWER_TO, SIZE4 } from "../parts/powers.ts";
import { rowsReader, type StorageKind } from "../parts/storage.ts";
import { each, EMPTY_LSE, LN2, tidy } from "../parts/text.ts";
import type { Variant } from "../parts/variant.ts";

const ROWS = 8;
const LANES = 8;

/** What the kernel is made for. */
export interface DeltaVariant {
  readonly dOut: StorageKind;
  readonly out: StorageKind;
  readonly withDLse: boolean;
  /** The entropy was given a gradient. `features`: those of rows. */
  readonly withDEntropy: boolean;
  /** Whether products are of halves, whose rows of dOut have powers. */
  readonly withPowers: boolean;
  readonly features: Variant["features"];
}

/** Query rows of a workgroup. */
export const DELTA_ROWS: number = ROWS;

function entropyDeclarations(features: Variant["features"]): string {
  return `${declare("entropy", "f32")}
${declare("dEntropy", "f32")}
${rowFunction("entropy")}
${rowFunction("dEntropy")}
${features.size > 0 ? scoreDeclarations({ features }, "f32") : ""}`;
}

/** What the gradient of the entropy adds to delta: itself times the entropy and the weight of what joins the row. */
function entropyDelta(features: Variant["features"]): string {
  // the term of a row in the gradient of what joins it is minus its weight times delta
  const weights = activeFeatures({ features }).map(({ gradient }) =>
    gradient!.row!({ head: "head", lse: "x", m: "x", log2l: "0.0", delta: "-1.0" })
  );
  const sum = ["entropy[entropy_row(batch, head, query)]", ...weights].join(" + ");
  return `let given = dentropy[dentropy_row(batch, head, query)];
    if (given != 0.0) { total = fma(given, ${sum}, total); }`;
}

/** WGSL of a variant. Dispatch (query tiles, query heads, batch). */
export function deltaShader(
  { dOut, out, withDLse, withDEntropy, withPowers, features }: DeltaVariant,
): string {
  const more = [
    ...withDEntropy ? [`given * ${LN2}`, "given"] : ["0.0", "0.0"],
    withPowers ? "power_to(top, 0u)" : "0.0",
    "0.0",
  ].join(", ");
  return tidy(`${PARAMS}
${rowsReader("dOut", dOut)}
${rowsReader("out", out)}
${declare("lse", "f32")}
${declare("stats", "vec4<f32>", "read_write")}
${withDLse ? declare("dLse", "f32") : ""}
${(["dOut", "out", "lse"] as const).map(rowFunction).join("\n")}
${withDLse ? rowFunction("dLse") : ""}
${withDEntropy ? entropyDeclarations(features) : ""}
var<workgroup> part: array<array<f32, ${LANES + 1}>, ${ROWS}>;
${
    withPowers
      ? `var<workgroup> tops: array<array<f32, ${LANES + 1}>, ${ROWS}>;\n${SIZE4}\n${POWER_TO}`
      : ""
  }
@compute @workgroup_size(${ROWS * LANES})
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let lane = li % ${LANES}u; let slot = li / ${LANES}u;
  let query = (U.item_base + wid.x) * ${ROWS}u + slot; let head = wid.y; let batch = wid.z;
  var sum = vec4<f32>(0.0);${withPowers ? " var top = 0.0;" : ""}
  if (query < U.length_q) {
    let a = dout_row(batch, head, query); let b = out_row(batch, head, query);
    let columns = (U.value_dim + 3u) / 4u;
    for (var c = lane; c < columns; c += ${LANES}u) {${
    withPowers ? " top = max(top, size4(load_dout(a, c)));" : ""
  } sum = fma(load_dout(a, c), load_out(b, c), sum); }
  }
  ${withPowers ? "tops[slot][lane] = top;" : ""}
  part[slot][lane] = (sum.x + sum.y) + (sum.z + sum.w);
  workgroupBarrier();
  if (lane == 0u && query < U.length_q) {
    var total = 0.0;
${each(LANES, (x) => `    total += part[slot][${x}];`)}
    ${withDLse ? "total -= dlse[dlse_row(batch, head, query)];" : ""}
${withPowers ? each(LANES, (x) => `    top = max(top, tops[slot][${x}]);`) : ""}
    let x = lse[lse_row(batch, head, query)];
    ${withDEntropy ? entropyDelta(features) : ""}
    let rows = U.length_q * U.group;
    let at = (batch * U.kv_heads + head / U.group) * rows + query * U.group + head % U.group;
    let empty = bitcast<u32>(x) == 0xff800000u;
    stats[at] = vec4<f32>(select(x, ${EMPTY_LSE}, empty), total, 0.0, x);
    ${withDEntropy || withPowers ? `stats[U.split_rows + at] = vec4<f32>(${more});` : ""}
  }
}`);
}
