// Exact rows: computes rows again whose result is not finite. 0 times NaN is NaN in a matrix product, so a NaN
// or infinity behind a mask spoils rows of its tile that may not see it; here hidden pairs are skipped, not
// multiplied by zero, and infinite scores get their limit. Also rows where bias put every score below the
// range of the fast path. A workgroup goes through many rows, sixteen at a time, and
// mostly finds nothing to do.
//
//   forward  w = softmax of the row                 out = Σ w v      partners are keys
//   dq       w = dS scale                           dq  = Σ w k      partners are keys
//   dk       w = dS scale                           dk  = Σ w q      partners are query rows of the group
//   dv       w = P                                  dv  = Σ w dOut   partners are query rows of the group
import { headOf, queryOf } from "../parts/item.ts";
import { PARAMS, rowFunction } from "../parts/params.ts";
import { scoreDeclarations } from "../features/score.ts";
import { declare, rowsReader, type StorageKind } from "../parts/storage.ts";
import { LN2, LOG2E, tidy } from "../parts/text.ts";
import type { Variant } from "../parts/variant.ts";

/** What is computed again. */
export type ExactKind = "forward" | "dq" | "dk" | "dv";

const THREADS = 64;
/** Rows of a workgroup: bits of one mask. */
export const EXACT_ROWS = 16;

/** By kind: the result, its columns, and the operand that is summed. */
const SUBJECT = {
  forward: { result: "out", columns: "value_dim", summand: "v" },
  dq: { result: "dq", columns: "head_dim", summand: "k" },
  dk: { result: "dk", columns: "head_dim", summand: "q" },
  dv: { result: "dv", columns: "value_dim", summand: "dout" },
} as const;

/** Classes of floats by their bits: compilers may assume that there are no NaN. */
const CLASSES =
  `fn is_finite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }
fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }
fn is_plus_infinity(x: f32) -> bool { return bitcast<u32>(x) == 0x7f800000u; }
fn is_minus_infinity(x: f32) -> bool { return bitcast<u32>(x) == 0xff800000u; }`;

/** `pair_score`: natural units, and whether the pair is hidden. */
function pairScore(v: Variant): string {
  return `struct Pair { score: f32, slope: f32, hidden: bool };
fn pair_score(batch: u32, kv_head: u32, head: u32, query: u32, key: u32) -> Pair {
  var pair = Pair(0.0, 1.0, true);
  let sequence = U.sequence_base + 3u * batch; let distance = i32(key) - i32(query);
  if (key >= tables[sequence] || distance < bitcast<i32>(tables[sequence + 1u]) ||
      distance > bitcast<i32>(tables[sequence + 2u])) { return pair; }
  if (U.mask_byte > 0u) {
    if (!mask_byte(mask_row(batch, head, query) + key * U.mask_column)) { return pair; }
  }
  ${
    v.bias
      ? `let b = bias_at(bias_row(batch, head, query) + key * U.bias_column);
  if (is_minus_infinity(b)) { return pair; }`
      : ""
  }
  var sum = 0.0; let at = q_row(batch, head, query); let other = k_row(batch, kv_head, key);
  for (var c = 0u; c < (U.head_dim + 3u) / 4u; c++) {
    let x = load_q(at, c); let y = load_k(other, c);
    sum = fma(x.x, y.x, sum); sum = fma(x.y, y.y, sum); sum = fma(x.z, y.z, sum); sum = fma(x.w, y.w, sum);
  }
  pair.hidden = false; pair.score = sum * U.scale;
  if (U.softcap > 0.0) {
    let z = vec4<f32>(pair.score / U.softcap);
    if (!is_nan(pair.score)) { pair.score = tanh4(z).x * U.softcap; }
    pair.slope = tanh_slope4(z).x;
  }
  ${v.bias ? "pair.score += b;" : ""}
  return pair;
}`;
}

/** Weight of a pair in backward: P, or dS times scale. */
function gradientWeight(kind: ExactKind): string {
  return `fn weight(batch: u32, kv_head: u32, row: u32, head: u32, query: u32, key: u32, pair: Pair) -> f32 {
  let x = stats[(batch * U.kv_heads + kv_head) * U.length_q * U.group + row];
  var p = exp2((pair.score - x.x) * ${LOG2E});
  // one infinite score: the limit of one that grows without end
  if (is_plus_infinity(pair.score) && is_plus_infinity(x.x)) { p = 1.0; }
  ${
    kind === "dv" ? "return p;" : `var dp = 0.0;
  let at = dout_row(batch, head, query); let other = v_row(batch, kv_head, key);
  for (var c = 0u; c < (U.value_dim + 3u) / 4u; c++) {
    let a = load_dout(at, c); let b = load_v(other, c);
    dp = fma(a.x, b.x, dp); dp = fma(a.y, b.y, dp); dp = fma(a.z, b.z, dp); dp = fma(a.w, b.w, dp);
  }
  return p * (dp - x.y) * pair.slope * U.scale;`
  }
}`;
}

/** Forward: the largest score and the sum of a row; every thread takes each 64th key. */
const ROW_STATE = `    var top = U.neg_inf; var nan = 0.0; var infinite = 0.0; var seen = 0.0;
    for (var p = li; p < partners; p += ${THREADS}u) {
      let pair = pair_score(batch, kv_head, head, query, p);
      if (pair.hidden) { continue; }
      seen = 1.0;
      if (is_nan(pair.score)) { nan = 1.0; } else { top = max(top, pair.score); }
      if (is_plus_infinity(pair.score)) { infinite += 1.0; }
    }
    workgroupBarrier();
    shares[li] = vec4<f32>(top, nan, infinite, seen);
    workgroupBarrier();
    for (var t = 0u; t < ${THREADS}u; t++) {
      let x = shares[t]; top = max(top, x.x); nan = max(nan, x.y); seen = max(seen, x.w);
    }
    infinite = 0.0;
    for (var t = 0u; t < ${THREADS}u; t++) { infinite += shares[t].z; }
    let limit_row = infinite == 1.0 && nan == 0.0;
    var sum = 0.0;
    for (var p = li; p < partners; p += ${THREADS}u) {
      let pair = pair_score(batch, kv_head, head, query, p);
      if (!pair.hidden) { sum += exp(pair.score - top); }
    }
    workgroupBarrier();
    shares[li] = vec4<f32>(sum);
    workgroupBarrier();
    sum = 0.0;
    for (var t = 0u; t < ${THREADS}u; t++) { sum += shares[t].x; }
    var inverse = 1.0 / sum; var row_lse = top + log2(sum) * ${LN2};
    // a NaN by its bits: an expression that makes one may be folded away
    if (nan > 0.0 || infinite > 1.0) { inverse = bitcast<f32>(not_a_number); row_lse = inverse; }
    if (limit_row) { row_lse = top; }
    if (seen == 0.0) { row_lse = U.neg_inf; }
    if (li == 0u) { lse[lse_row(batch, head, query)] = row_lse; }`;

/**
 * What of a variant matters here: this path is rarely taken, so features are looked up at run time and every
 * storage is read element by element; there are few texts to compile.
 */
export function exactVariant(v: Variant): Variant {
  const scalar = (kind: StorageKind): StorageKind => ({ ...kind, scalar: true });
  const { q, k, v: values, dout } = v.kinds;
  const kinds = { q: scalar(q), k: scalar(k), v: scalar(values) };
  return {
    ...v,
    kinds: dout ? { ...kinds, dout: scalar(dout) } : kinds,
    grouped: true,
    softcap: true,
    mask: true,
  };
}

/** WGSL of a variant. Dispatch (any number, kv heads, batch). */
export function exactShader(kind: ExactKind, v: Variant): string {
  const { result, columns, summand } = SUBJECT[kind];
  const forward = kind === "forward", byKey = kind === "dk" || kind === "dv";
  const partnerRow = byKey ? "p" : "row";
  const address = byKey
    ? `${result}_row(batch, kv_head, item)`
    : `${result}_row(batch, ${headOf("item", v.grouped)}, ${queryOf("item", v.grouped)})`;
  const pairOf = `pair_score(batch, kv_head, ${headOf(partnerRow, v.grouped)}, ${
    queryOf(partnerRow, v.grouped)
  }, ${byKey ? "row" : "p"})`;
  const summandRow = byKey
    ? `${summand}_row(batch, ${headOf("p", v.grouped)}, ${queryOf("p", v.grouped)})`
    : `${summand}_row(batch, kv_head, p)`;
  const w = forward
    ? "select(exp(pair.score - top) * inverse, select(0.0, 1.0, is_plus_infinity(pair.score)), limit_row)"
    : `weight(batch, kv_head, ${partnerRow}, ${headOf(partnerRow, v.grouped)}, ${
      queryOf(partnerRow, v.grouped)
    }, ${byKey ? "row" : "p"}, pair)`;
  const perRow = THREADS / EXACT_ROWS;
  const blocks =
    `var first = wid.x * ${EXACT_ROWS}u; first < count; first += groups.x * ${EXACT_ROWS}u`;
  // four threads look through a row; where bias may hide all, minus infinity is looked at too
  const look = (bit: string) =>
    `    { let n = li / ${perRow}u; let item = first + n;
    if (item < count) {
      let at = ${address}; var finite = true;
      for (var c = li % ${perRow}u; c < columns; c += ${perRow}u) {
        finite = finite && is_finite(${result}[at + c]);
      }
      ${
      forward
        ? `let x = lse[lse_row(batch, ${headOf("item", v.grouped)}, ${queryOf("item", v.grouped)})];
      finite = finite && (is_finite(x)${v.bias ? "" : " || is_minus_infinity(x)"});`
        : ""
    }
      if (!finite) { atomicOr(&found, ${bit}); }
    } }`;
  return tidy(`${PARAMS}
${scoreDeclarations(v, { tables: 1, bias: 8 })}
${rowsReader(2, "q", v.kinds.q, "U.head_dim")}
${rowsReader(3, "k", v.kinds.k, "U.head_dim")}
${kind === "dv" ? "" : rowsReader(4, "v", v.kinds.v, "U.value_dim")}
${forward ? "" : rowsReader(5, "dout", v.kinds.dout!, "U.value_dim")}
${forward ? declare(6, "lse", "f32", "read_write") : declare(6, "stats", "vec2<f32>")}
${declare(7, result, "f32", "read_write")}
${["q", "k", result].map((name) => rowFunction(name as "q")).join("\n")}
${kind === "dv" ? "" : rowFunction("v")}
${forward ? rowFunction("lse") : rowFunction("dout")}
${v.bias ? rowFunction("bias") : ""}
${rowFunction("mask")}
${CLASSES}
${pairScore(v)}
${forward ? "" : gradientWeight(kind)}
var<workgroup> found: atomic<u32>;
var<workgroup> bad: u32;
var<workgroup> shares: array<vec4<f32>, ${THREADS}>;
var<workgroup> weights: array<vec2<f32>, ${THREADS}>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>,
        @builtin(num_workgroups) groups: vec3<u32>) {
  let kv_head = wid.y; let batch = wid.z;
  let rows = U.length_q * U.group;
  let count = ${byKey ? "U.length_k" : "rows"}; let partners = ${byKey ? "rows" : "U.length_k"};
  let not_a_number = bitcast<u32>(U.neg_inf) | 0x400000u;
  let columns = U.${columns};
  // one look at all rows without a barrier: mostly that is all
  for (${blocks}) {
${look("1u")}
  }
  workgroupBarrier();
  if (li == 0u) { bad = atomicLoad(&found); }
  if (workgroupUniformLoad(&bad) == 0u) { return; }
  for (${blocks}) {
  if (li == 0u) { atomicStore(&found, 0u); }
  workgroupBarrier();
${look("1u << n")}
  workgroupBarrier();
  if (li == 0u) { bad = atomicLoad(&found); }
  var left = workgroupUniformLoad(&bad);
  for (var n = 0u; n < ${EXACT_ROWS}u; n++) {
    if ((left & (1u << n)) == 0u) { continue; }
    let item = first + n; let row = item; let at = ${address};
${
    forward
      ? `    let head = ${headOf("row", v.grouped)}; let query = ${
        queryOf("row", v.grouped)
      };\n${ROW_STATE}`
      : ""
  }
    for (var c0 = 0u; c0 < columns; c0 += ${THREADS}u) {
      var acc = 0.0; let c = c0 + li;
      for (var p0 = 0u; p0 < partners; p0 += ${THREADS}u) {
        workgroupBarrier();
        weights[li] = vec2<f32>(0.0);
        let p = p0 + li;
        if (p < partners) {
          let pair = ${pairOf};
          if (!pair.hidden) { weights[li] = vec2<f32>(${w}, 1.0); }
        }
        workgroupBarrier();
        if (c < columns) {
          for (var t = 0u; t < ${THREADS}u; t++) {
            let x = weights[t]; let p = p0 + t;
            if (x.y > 0.0) { acc = fma(x.x, load_${summand}(${summandRow}, c / 4u)[c % 4u], acc); }
          }
        }
      }
      if (c < columns) { ${result}[at + c] = acc; }
    }
  }
  workgroupBarrier(); // bad and found are read
  }
}`);
}
