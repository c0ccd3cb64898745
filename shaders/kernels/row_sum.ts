// Row sums: the gradient of an operand with a number for each head, as a sum over all rows of the head. What a row
// brings is a term of its statistics, or a sum over its pairs that pair_sum.ts left. One workgroup for an element, in
// a fixed order.
//
//   acc = 0                                                    a share for each thread
//   for each sequence and query: acc += term(lse, delta)  or  row_sums
//   result = Σ acc over the threads, in their order
import type { FeatureName } from "../../src/problem/features/feature.ts";
import { shaderName } from "../../src/tensor/operands.ts";
import { PARAMS } from "../features/params.ts";
import { scoreDeclarations } from "../features/score.ts";
import { SHADER_FEATURES } from "../features/table.ts";
import { declare } from "../parts/bindings.ts";
import { tidy } from "../parts/text.ts";
import type { Variant } from "../parts/variant.ts";

const THREADS = 256;

/** WGSL of the sum for a feature; `wholeBatch`: over all sequences. Dispatch (heads, sequences or 1). */
export function rowSumShader(v: Variant, name: FeatureName, wholeBatch: boolean): string {
  const { gradient } = SHADER_FEATURES.find((feature) => feature.name === name)!;
  const { operand, row } = gradient!, result = shaderName(operand);
  // the entropy changes by what joins a row as by its scores, but for its own 1
  const delta = v.statistics ? "(x.y - stats[U.split_rows + at].y)" : "x.y";
  const term = row
    ? `let at = ((batch * U.kv_heads + head / U.group) * U.length_q + query) * U.group + head % U.group; let x = stats[at];
      acc += ${row({ head: "head", m: "x.x", log2l: "x.z", lse: "x.w", delta })};`
    : "acc += row_sums[(batch * U.kv_heads * U.group + head) * U.length_q + query];";
  return tidy(`${PARAMS}
${scoreDeclarations({ ...v, features: new Map([[name, ""]]) }, "f32")}
${row ? declare("stats", "vec4<f32>") : declare("rowSums", "f32")}
${declare(operand, "f32", "read_write")}
var<workgroup> shares: array<f32, ${THREADS}>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let head = U.item_base + wid.x;
  // a share of the rows for each thread
  var acc = 0.0;
  for (var batch = ${wholeBatch ? "0u" : "wid.y"}; batch < ${
    wholeBatch ? "U.batch" : "wid.y + 1u"
  }; batch++) {
    for (var query = li; query < U.length_q; query += ${THREADS}u) {
      ${term}
    }
  }
  shares[li] = acc;
  workgroupBarrier();
  // their sum, in order
  if (li == 0u) {
    var sum = 0.0;
    for (var t = 0u; t < ${THREADS}u; t++) { sum += shares[t]; }
    let at = U.${result}_at + wid.y * U.${result}_batch + head * U.${result}_head;
    if (U.accumulate > 0u) { ${result}[at] += sum; } else { ${result}[at] = sum; }
  }
}`);
}
