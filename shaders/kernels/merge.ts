// Merging softmax states over disjoint keys: (out, lse) is associative (FlashInfer merge_state).
//
//   m = max lse_p, w_p = exp(lse_p - m), out = Σ w_p out_p / Σ w_p, lse = m + ln Σ w_p
//
// A part with lse = -infinity saw no key: it weighs nothing, whatever its out holds. One part with lse = +infinity
// takes all; two of them are NaN, as is a part whose lse is NaN. Every other lse is a number.
import { PARAMS } from "../features/params.ts";
import { rowFunction } from "../parts/address.ts";
import { declare } from "../parts/bindings.ts";
import { FLOAT_CLASSES, NOT_A_NUMBER } from "../parts/floats.ts";
import { rowsReader, rowsWriter, type StorageKind } from "../parts/storage.ts";
import { statisticDeclarations } from "../parts/statistics.ts";
import { LN2, LOG2E, tidy } from "../parts/text.ts";

/** A part's share before it is divided by the sum of all; `m`: the largest lse. */
const WEIGHTS = `${FLOAT_CLASSES}
fn part_weight(lse: f32, m: f32) -> f32 {
  if (is_minus_infinity(lse)) { return 0.0; }
  if (lse == m || is_nan(lse)) { return 1.0; }
  return select(exp2((lse - m) * ${LOG2E}), 0.0, is_plus_infinity(m));
}
// The sum of all shares; of parts that have no sum: NaN.
fn all_weights(sum: f32, infinite: u32, nan: bool) -> f32 {
  return select(sum, ${NOT_A_NUMBER}, nan || infinite > 1u);
}
fn merged_lse(m: f32, l: f32) -> f32 {
  if (l == 0.0) { return U.neg_inf; }
  return select(m + log2(l) * ${LN2}, select(m, l, is_nan(l)), is_nan(l) || is_plus_infinity(m));
}`;

const INPUTS = `@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>`;

/** Threads of a row. */
const THREADS = 64;

/**
 * Combines the KV splits of a row: `partOut` is [split][batch][head][query][column], `partLse` likewise.
 * Dispatch (queries, query heads, batch).
 */
export function combineSplitsShader(scalarOut: boolean, statistics: boolean): string {
  return tidy(`${PARAMS}
${WEIGHTS}
${rowsReader("partOut", { dtype: "f32", scalar: scalarOut })}
${declare("partLse", "f32")}
${rowsWriter("out", scalarOut)}
${declare("lse", "f32", "read_write")}
${rowFunction("out")}
${rowFunction("lse")}
${statistics ? `${statisticDeclarations()}\n${declare("partStatistics", "vec4<f32>")}` : ""}
@compute @workgroup_size(${THREADS})
fn main(${INPUTS}) {
  let query = U.item_base + wid.x; let head = wid.y; let batch = wid.z;
  let row = (batch * U.kv_heads * U.group + head) * U.length_q + query;
  // m = max lse_p, l = sum of exp(lse_p - m)
  var m = U.neg_inf; var infinite = 0u; var nan = false; var sum = 0.0;
  for (var p = 0u; p < U.num_splits; p++) {
    let x = part_lse[p * U.split_rows + row];
    if (is_nan(x)) { nan = true; } else { m = max(m, x); }
    if (is_plus_infinity(x)) { infinite++; }
  }
  for (var p = 0u; p < U.num_splits; p++) { sum += part_weight(part_lse[p * U.split_rows + row], m); }
  let l = all_weights(sum, infinite, nan);
  // out = sum of exp(lse_p - m) out_p / l
  let inverse = select(1.0 / l, 0.0, l == 0.0);
  let columns = (U.value_dim + 3u) / 4u; let at = out_row(batch, head, query);
  for (var c = li; c < columns; c += ${THREADS}u) {
    var sum = vec4<f32>(0.0);
    for (var p = 0u; p < U.num_splits; p++) {
      let w = part_weight(part_lse[p * U.split_rows + row], m);
      if (w == 0.0) { continue; }
      sum = fma(vec4<f32>(w * inverse), load_part_out((p * U.split_rows + row) * U.value_dim, c), sum);
    }
    store_out(at, c, sum);
  }
  if (li == 0u) { lse[lse_row(batch, head, query)] = merged_lse(m, l); }
${
    statistics
      ? `  if (li == 0u) {
    var x = vec4<f32>(0.0);
    for (var p = 0u; p < U.num_splits; p++) {
      let at = p * U.split_rows + row; let w = part_weight(part_lse[at], m) * inverse;
      x = joined(x, weighted(part_statistics[at], w));
    }
    row_statistics[lse_row(batch, head, query)] = x;
  }`
      : ""
  }
}`);
}

/**
 * Merges one part into `out` and `lse`, or writes them over where U.accumulate is 0. `kept`: (m, l) of what is there
 * is kept in `stats`, at the places of lse, for more parts to come: an lse of a large size cannot hold ln l.
 * `statistics`: those of the rows are merged too. Dispatch (queries, query heads, batch).
 */
export function mergeIntoShader(
  part: StorageKind,
  scalarOut: boolean,
  { kept, statistics }: { readonly kept: boolean; readonly statistics: boolean },
): string {
  const element = scalarOut ? "f32" : "vec4<f32>";
  // scalar rows are read one column at a time: the buffer may end within a vec4
  const loop = scalarOut
    ? `for (var c = li; c < U.value_dim; c += ${THREADS}u) {
    var sum = 0.0;
    if (old_weight != 0.0) { sum = a * out[at + c]; }
    if (new_weight != 0.0) { sum = fma(b, load_part_out(source, c / 4u)[c % 4u], sum); }
    out[at + c] = sum;
  }`
    : `for (var c = li; c < U.value_dim / 4u; c += ${THREADS}u) {
    var sum = vec4<f32>(0.0);
    if (old_weight != 0.0) { sum = a * out[(at >> 2u) + c]; }
    if (new_weight != 0.0) { sum = fma(vec4<f32>(b), load_part_out(source, c), sum); }
    out[(at >> 2u) + c] = sum;
  }`;
  return tidy(`${PARAMS}
${WEIGHTS}
${rowsReader("partOut", part)}
${declare("partLse", "f32")}
${declare("out", element, "read_write")}
${declare("lse", "f32", "read_write")}
${(["partOut", "partLse", "out", "lse"] as const).map(rowFunction).join("\n")}
${kept ? declare("stats", "vec2<f32>", "read_write") : ""}
${statistics ? `${statisticDeclarations()}\n${declare("partStatistics", "vec4<f32>")}` : ""}
var<workgroup> old: vec2<f32>;
@compute @workgroup_size(${THREADS})
fn main(${INPUTS}) {
  let query = U.item_base + wid.x; let head = wid.y; let batch = wid.z;
  let at = out_row(batch, head, query); let source = part_out_row(batch, head, query);
  let x = part_lse[part_lse_row(batch, head, query)]; let place = lse_row(batch, head, query);
  if (li == 0u) {
    old = vec2<f32>(U.neg_inf, 0.0);
    if (U.accumulate > 0u) { old = ${kept ? "stats[place]" : "vec2<f32>(lse[place], 1.0)"}; }
  }
  let there = workgroupUniformLoad(&old); let y = there.x;
  // weights of what is there and of the part
  var m = select(x, y, is_nan(x)); if (!is_nan(x) && !is_nan(y)) { m = max(x, y); }
  let new_weight = part_weight(x, m); let old_weight = part_weight(y, m) * there.y;
  let infinite = select(0u, 2u, is_plus_infinity(x) && is_plus_infinity(y));
  let l = all_weights(new_weight + old_weight, infinite, is_nan(x) || is_nan(y) || is_nan(there.y));
  let inverse = select(1.0 / l, 0.0, l == 0.0); let a = old_weight * inverse; let b = new_weight * inverse;
  ${loop}
  if (li == 0u) { lse[place] = merged_lse(m, l); ${kept ? "stats[place] = vec2<f32>(m, l);" : ""} }
${
    statistics
      ? `  if (li == 0u) {
    let part_place = part_lse_row(batch, head, query);
    row_statistics[place] = joined(weighted(row_statistics[place], a), weighted(part_statistics[part_place], b));
  }`
      : ""
  }
}`);
}
