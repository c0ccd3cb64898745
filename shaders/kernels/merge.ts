// Merging softmax states over disjoint keys: (out, lse) is associative (FlashInfer merge_state).
//
//   m = max lse_p, w_p = exp(lse_p - m), out = Σ w_p out_p / Σ w_p, lse = m + ln Σ w_p
import { PARAMS } from "../features/params.ts";
import { rowFunction } from "../parts/address.ts";
import { declare } from "../parts/bindings.ts";
import { rowsReader, rowsWriter, type StorageKind } from "../parts/storage.ts";
import { LN2, LOG2E, SENTINELS, tidy } from "../parts/text.ts";

const INPUTS = `@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>`;

/** Threads of a row. */
const THREADS = 64;

/**
 * Combines the KV splits of a row: `partOut` is [split][batch][head][query][column], `partLse` likewise.
 * Dispatch (queries, query heads, batch).
 */
export function combineSplitsShader(scalarOut: boolean): string {
  return tidy(`${PARAMS}
${SENTINELS}
${rowsReader("partOut", { dtype: "f32", scalar: scalarOut })}
${declare("partLse", "f32")}
${rowsWriter("out", scalarOut)}
${declare("lse", "f32", "read_write")}
${rowFunction("out")}
${rowFunction("lse")}
@compute @workgroup_size(${THREADS})
fn main(${INPUTS}) {
  let query = U.item_base + wid.x; let head = wid.y; let batch = wid.z;
  let row = (batch * U.kv_heads * U.group + head) * U.length_q + query;
  // m = max lse_p, l = sum of exp(lse_p - m)
  var m = FLOOR;
  for (var p = 0u; p < U.num_splits; p++) { m = max(m, part_lse[p * U.split_rows + row]); }
  var l = 0.0;
  for (var p = 0u; p < U.num_splits; p++) {
    l += exp2((part_lse[p * U.split_rows + row] - m) * ${LOG2E});
  }
  // out = sum of exp(lse_p - m) out_p / l
  let inverse = select(1.0 / l, 0.0, l == 0.0);
  let columns = (U.value_dim + 3u) / 4u; let at = out_row(batch, head, query);
  for (var c = li; c < columns; c += ${THREADS}u) {
    var sum = vec4<f32>(0.0);
    for (var p = 0u; p < U.num_splits; p++) {
      let w = exp2((part_lse[p * U.split_rows + row] - m) * ${LOG2E}) * inverse;
      sum = fma(vec4<f32>(w), load_part_out((p * U.split_rows + row) * U.value_dim, c), sum);
    }
    store_out(at, c, sum);
  }
  if (li == 0u) { lse[lse_row(batch, head, query)] = select(m + log2(l) * ${LN2}, U.neg_inf, l == 0.0); }
}`);
}

/**
 * Merges one part into `out` and `lse`, or writes them over where U.accumulate is 0. Dispatch (queries, query heads,
 * batch).
 */
export function mergeIntoShader(part: StorageKind, scalarOut: boolean): string {
  const element = scalarOut ? "f32" : "vec4<f32>";
  // scalar rows are read one column at a time: the buffer may end within a vec4
  const loop = scalarOut
    ? `for (var c = li; c < U.value_dim; c += ${THREADS}u) {
    var old = 0.0; if (U.accumulate > 0u) { old = out[at + c]; }
    out[at + c] = a * old + b * load_part_out(source, c / 4u)[c % 4u];
  }`
    : `for (var c = li; c < U.value_dim / 4u; c += ${THREADS}u) {
    var old = vec4<f32>(0.0); if (U.accumulate > 0u) { old = out[(at >> 2u) + c]; }
    out[(at >> 2u) + c] = a * old + b * load_part_out(source, c);
  }`;
  return tidy(`${PARAMS}
${SENTINELS}
${rowsReader("partOut", part)}
${declare("partLse", "f32")}
${declare("out", element, "read_write")}
${declare("lse", "f32", "read_write")}
${(["partOut", "partLse", "out", "lse"] as const).map(rowFunction).join("\n")}
var<workgroup> old_lse: f32;
@compute @workgroup_size(${THREADS})
fn main(${INPUTS}) {
  let query = U.item_base + wid.x; let head = wid.y; let batch = wid.z;
  let at = out_row(batch, head, query); let source = part_out_row(batch, head, query);
  let x = part_lse[part_lse_row(batch, head, query)]; let place = lse_row(batch, head, query);
  if (li == 0u) { if (U.accumulate > 0u) { old_lse = lse[place]; } else { old_lse = U.neg_inf; } }
  let y = workgroupUniformLoad(&old_lse);
  // weights of what is there and of the part
  let m = max(FLOOR, max(x, y));
  let new_weight = exp2((x - m) * ${LOG2E}); let old_weight = exp2((y - m) * ${LOG2E});
  let l = new_weight + old_weight; let inverse = select(1.0 / l, 0.0, l == 0.0);
  let a = old_weight * inverse; let b = new_weight * inverse;
  ${loop}
  if (li == 0u) { lse[place] = select(m + log2(l) * ${LN2}, U.neg_inf, l == 0.0); }
}`);
}
