// Non-finite repair: computes rows again whose result is not finite. 0 times NaN is NaN in a matrix product, so a NaN
// or infinity in a hidden pair spoils rows of its tile that may not see it; here hidden pairs are skipped, not
// multiplied by zero, and infinite scores get their limit. Also rows whose scores a feature took below the
// range of the fast path. A workgroup goes through many rows, sixteen at a time, and mostly finds nothing to do.
//
//   forward  w = softmax of the row                 out = Σ w v      partners are keys
//   dq       w = dS scale                           dq  = Σ w k      partners are keys
//   dk       w = dS scale                           dk  = Σ w q      partners are query rows of the group
//   dv       w = P                                  dv  = Σ w dOut   partners are query rows of the group
import { shaderName } from "../../src/tensor/operands.ts";
import { PARAMS } from "../features/params.ts";
import { keptOne } from "../features/probability.ts";
import { scoreDeclarations } from "../features/score.ts";
import { repairScore, seesKey } from "../features/single_pairs.ts";
import { logitsOf } from "../features/state.ts";
import { activeFeatures } from "../features/table.ts";
import { headOf, keyRow, queryOf, queryRow, rowFunctions } from "../parts/address.ts";
import { keysOf, outside } from "../parts/band.ts";
import { declare } from "../parts/bindings.ts";
import { FLOAT_CLASSES, NOT_A_NUMBER } from "../parts/floats.ts";
import { READ_SEQUENCE } from "../parts/item.ts";
import { rowsReader, type StorageKind } from "../parts/storage.ts";
import { entropyTerm, gainAt, statisticDeclarations } from "../parts/statistics.ts";
import { LN2, LOG2E, tidy } from "../parts/text.ts";
import type { RowKinds, Variant } from "../parts/variant.ts";

/** Whose result is repaired. */
export type RepairKind = "out" | "dq" | "dk" | "dv";

const THREADS = 64;
/** Rows of a workgroup: bits of one word. */
export const REPAIR_ROWS = 16;

/** By result: its columns, and the operand that is summed. */
const SUBJECT = {
  out: { columns: "value_dim", summand: "v" },
  dq: { columns: "head_dim", summand: "k" },
  dk: { columns: "head_dim", summand: "q" },
  dv: { columns: "value_dim", summand: "dOut" },
} as const;

/** `pair_score`: natural units, and whether the pair is hidden. */
function pairScore(v: Variant): string {
  return `struct Pair { score: f32, slope: f32, hidden: bool };
fn pair_score(batch: u32, kv_head: u32, head: u32, query: u32, key: u32) -> Pair {
  var pair = Pair(0.0, 1.0, true);
${READ_SEQUENCE}
  if (${outside("key", keysOf("query", "limit"), "i32")}) { return pair; }
  // S = q . k
  var sum = 0.0; let at = q_row(batch, head, query); let other = k_row(batch, kv_head, key);
  for (var c = 0u; c < (U.head_dim + 3u) / 4u; c++) {
    let x = load_q(at, c); let y = load_k(other, c);
    sum = fma(x.x, y.x, sum); sum = fma(x.y, y.y, sum); sum = fma(x.z, y.z, sum); sum = fma(x.w, y.w, sum);
  }
  // S = features(S)
${repairScore(v)}
  pair.hidden = false;
  return pair;
}`;
}

/** `sees_key`: whether a row that came out empty sees a key all the same, whose score was below all sentinels. */
function seesKeys(v: Variant): string {
  const { least, most } = keysOf("query", "limit");
  return `fn row_weight(score: f32, top: f32) -> f32 { return select(exp(score - top), 0.0, is_minus_infinity(score)); }
fn sees_key(batch: u32, head: u32, query: u32) -> bool {
${READ_SEQUENCE}
  let last = ${most};
  for (var j = max(0, ${least}); j <= last; j++) {
    let key = u32(j);
    if (${["true", ...seesKey(v)].join(" && ")}) { return true; }
  }
  return false;
}`;
}

/** Weight of a pair in backward: P, or dS times scale. */
function gradientWeight(kind: RepairKind, v: Variant): string {
  return `fn weight(batch: u32, kv_head: u32, row: u32, head: u32, query: u32, key: u32, pair: Pair) -> f32 {
  let at_stats = (batch * U.kv_heads + kv_head) * U.length_q * U.group + row; let x = stats[at_stats];
  var log2p = fma(pair.score - x.x, ${LOG2E}, -x.z); var p = exp2(log2p);
  // one infinite score: the limit of one that grows without end
  if (is_plus_infinity(pair.score) && is_plus_infinity(x.x)) { p = 1.0; log2p = 0.0; }
  ${
    kind === "dv" ? "return p;" : `let z = kept_one(batch, head, query, key); var dp = 0.0;
  let at = dout_row(batch, head, query); let other = v_row(batch, kv_head, key);
  for (var c = 0u; c < (U.value_dim + 3u) / 4u; c++) {
    let a = load_dout(at, c); let b = load_v(other, c);
    dp = fma(a.x, b.x, dp); dp = fma(a.y, b.y, dp); dp = fma(a.z, b.z, dp); dp = fma(a.w, b.w, dp);
  }
  ${v.statistics ? `let gain = ${gainAt("at_stats")};` : ""}
  return p * (select(0.0, dp * z, z > 0.0) - x.y${
      entropyTerm(v.statistics, "log2p", "gain", "f32")
    }) * pair.slope * U.scale;`
  }
}`;
}

/** Forward: the statistics of a row, whose state is known. */
function rowStatistics(): string {
  return `    // entropy, largest probability, expected key
    var statistics = vec4<f32>(0.0);
    for (var p = li; p < partners; p += ${THREADS}u) {
      let pair = pair_score(batch, kv_head, head, query, p);
      if (pair.hidden) { continue; }
      let w = ${FORWARD_WEIGHT};
      if (w != 0.0) {
        statistics = joined(statistics, vec4<f32>(-w * log(w), w, w * f32(U.key_begin + p), w));
      }
    }
    workgroupBarrier();
    shares[li] = statistics;
    workgroupBarrier();
    statistics = vec4<f32>(0.0);
    for (var t = 0u; t < ${THREADS}u; t++) { statistics = joined(statistics, shares[t]); }
    if (nan > 0.0 || infinite > 1.0) { statistics = vec4<f32>(${NOT_A_NUMBER}); }
    if (li == 0u) { row_statistics[lse_row(batch, head, query)] = statistics; }`;
}

/** Forward: P of a pair. */
const FORWARD_WEIGHT =
  "select(row_weight(pair.score, top) * inverse, select(0.0, 1.0, is_plus_infinity(pair.score)), limit_row)";

/** Forward: the largest score and the sum of a row; every thread takes each 64th key. */
function rowState(v: Variant): string {
  // what joins the row without a pair: thread 0 has it
  const joining = logitsOf(v, "head", "0u").map((logit, n) =>
    `    let joins${n} = ${logit}; let brings${n} = li == 0u && !is_minus_infinity(joins${n});
    if (brings${n}) {
      seen = 1.0;
      if (is_nan(joins${n})) { nan = 1.0; } else { top = max(top, joins${n}); }
      if (is_plus_infinity(joins${n})) { infinite += 1.0; }
    }`
  );
  return `    // m = max S
    var top = U.neg_inf; var nan = 0.0; var infinite = 0.0; var seen = 0.0;
${joining.join("\n")}
    for (var p = li; p < partners; p += ${THREADS}u) {
      let pair = pair_score(batch, kv_head, head, query, p);
      if (pair.hidden || is_minus_infinity(pair.score)) { continue; }
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
    // l = sum of exp(S - m)
    var sum = 0.0;
${joining.map((_, n) => `    if (brings${n}) { sum += exp(joins${n} - top); }`).join("\n")}
    for (var p = li; p < partners; p += ${THREADS}u) {
      let pair = pair_score(batch, kv_head, head, query, p);
      if (!pair.hidden && !is_minus_infinity(pair.score)) { sum += exp(pair.score - top); }
    }
    workgroupBarrier();
    shares[li] = vec4<f32>(sum);
    workgroupBarrier();
    sum = 0.0;
    for (var t = 0u; t < ${THREADS}u; t++) { sum += shares[t].x; }
    var inverse = 1.0 / sum; var row_lse = top + log2(sum) * ${LN2};
    if (nan > 0.0 || infinite > 1.0) { inverse = ${NOT_A_NUMBER}; row_lse = inverse; }
    if (limit_row) { row_lse = top; }
    if (seen == 0.0) { row_lse = U.neg_inf; inverse = 0.0; }
    if (li == 0u) { lse[lse_row(batch, head, query)] = row_lse; }`;
}

/** The kinds of a variant of this kernel: it is rarely taken, so every storage is read element by element. */
export function repairKinds({ q, k, v, dOut }: RowKinds): RowKinds {
  const scalar = (kind: StorageKind): StorageKind =>
    kind.dtype === "i8" ? kind : { ...kind, scalar: true };
  const kinds = { q: scalar(q), k: scalar(k), v: scalar(v) };
  return dOut ? { ...kinds, dOut: scalar(dOut) } : kinds;
}

/** Whether minus infinity is what lse of a row without a sum should be, as an expression. */
function lowest(v: Variant): string {
  const lower = activeFeatures(v).filter(({ lowers }) => lowers);
  if (lower.some(({ present }) => present === undefined)) return "false";
  return lower.map(({ present }) => `!(${present})`).join(" && ") || "true";
}

function declarations(kind: RepairKind, v: Variant): string {
  const forward = kind === "out", withV = kind !== "dv";
  const rows = [
    "q",
    "k",
    kind,
    ...(withV ? ["v"] as const : []),
    forward ? "lse" : "dOut",
  ] as const;
  return `${PARAMS}
${scoreDeclarations(v, "f32")}
${rowsReader("q", v.kinds.q)}
${rowsReader("k", v.kinds.k)}
${withV ? rowsReader("v", v.kinds.v) : ""}
${forward ? "" : rowsReader("dOut", v.kinds.dOut!)}
${forward ? declare("lse", "f32", "read_write") : declare("stats", "vec4<f32>")}
${declare(kind, "f32", "read_write")}
${rowFunctions(rows, v.kinds)}
${FLOAT_CLASSES}
${keptOne(v, true)}
${pairScore(v)}
${forward ? seesKeys(v) : gradientWeight(kind, v)}
${forward && v.statistics ? statisticDeclarations() : ""}
var<workgroup> found: atomic<u32>;
var<workgroup> bad: u32;
var<workgroup> shares: array<vec4<f32>, ${THREADS}>;
var<workgroup> weights: array<vec2<f32>, ${THREADS}>;`;
}

/** Four threads look through a row; lse of a row that a feature may have lowered is looked at too. */
function look(kind: RepairKind, v: Variant, address: string, bit: string): string {
  const perRow = THREADS / REPAIR_ROWS;
  return `    { let n = li / ${perRow}u; let item = first + n;
    if (item < count) {
      let at = ${address}; var finite = true;
      for (var c = li % ${perRow}u; c < columns; c += ${perRow}u) {
        finite = finite && is_finite(${kind}[at + c]);
      }
      ${
    kind === "out"
      ? `let x = lse[${queryRow("lse", "item", true)}];
      finite = finite && (is_finite(x) || (is_minus_infinity(x) && ${lowest(v)}));
      if (finite && is_minus_infinity(x) && li % ${perRow}u == 0u) {
        finite = !sees_key(batch, ${headOf("item", true)}, ${queryOf("item", true)});
      }`
      : ""
  }
      if (!finite) { atomicOr(&found, ${bit}); }
    } }`;
}

/** Computes row `item` of the result again. */
function repairRow(kind: RepairKind, v: Variant): string {
  const forward = kind === "out", byKey = kind === "dk" || kind === "dv";
  const { summand } = SUBJECT[kind], row = byKey ? "p" : "row", key = byKey ? "row" : "p";
  const pair = `${headOf(row, true)}, ${queryOf(row, true)}, ${key}`;
  const w = forward ? FORWARD_WEIGHT : `weight(batch, kv_head, ${row}, ${pair}, pair)`;
  // what P loses on its way to v is as if it were hidden
  const weigh = kind === "out" || kind === "dv"
    ? `let z = kept_one(batch, ${pair});
          if (!pair.hidden && z > 0.0) { weights[li] = vec2<f32>(${w} * z, 1.0); }`
    : `if (!pair.hidden) { weights[li] = vec2<f32>(${w}, 1.0); }`;
  const other = byKey ? queryRow(summand, "p", true) : keyRow(summand, "p");
  return `${
    forward
      ? `    let head = ${headOf("row", true)}; let query = ${queryOf("row", true)};\n${
        rowState(v)
      }\n${v.statistics ? rowStatistics() : ""}`
      : ""
  }
    // result = sum of w * ${shaderName(summand)}
    for (var c0 = 0u; c0 < columns; c0 += ${THREADS}u) {
      var acc = 0.0; let c = c0 + li;
      for (var p0 = 0u; p0 < partners; p0 += ${THREADS}u) {
        workgroupBarrier();
        weights[li] = vec2<f32>(0.0);
        let p = p0 + li;
        if (p < partners) {
          let pair = pair_score(batch, kv_head, ${pair});
          ${weigh}
        }
        workgroupBarrier();
        if (c < columns) {
          for (var t = 0u; t < ${THREADS}u; t++) {
            let x = weights[t]; let p = p0 + t;
            if (x.y > 0.0) { acc = fma(x.x, load_${
    shaderName(summand)
  }(${other}, c / 4u)[c % 4u], acc); }
          }
        }
      }
      if (c < columns) { ${kind}[at + c] = acc; }
    }`;
}

/** WGSL of a variant. Dispatch (any number, kv heads, batch). */
export function repairShader(kind: RepairKind, v: Variant): string {
  const byKey = kind === "dk" || kind === "dv";
  const address = byKey ? keyRow(kind, "item") : queryRow(kind, "item", true);
  const blocks =
    `var first = wid.x * ${REPAIR_ROWS}u; first < count; first += groups.x * ${REPAIR_ROWS}u`;
  return tidy(`${declarations(kind, v)}
@compute @workgroup_size(${THREADS})
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>,
        @builtin(num_workgroups) groups: vec3<u32>) {
  let kv_head = wid.y; let batch = wid.z;
  let rows = U.length_q * U.group;
  let count = ${byKey ? "U.length_k" : "rows"}; let partners = ${byKey ? "rows" : "U.length_k"};
  let columns = U.${SUBJECT[kind].columns};
  // one look at all rows without a barrier: mostly that is all
  for (${blocks}) {
${look(kind, v, address, "1u")}
  }
  workgroupBarrier();
  if (li == 0u) { bad = atomicLoad(&found); }
  if (workgroupUniformLoad(&bad) == 0u) { return; }
  for (${blocks}) {
  if (li == 0u) { atomicStore(&found, 0u); }
  workgroupBarrier();
${look(kind, v, address, "1u << n")}
  workgroupBarrier();
  if (li == 0u) { bad = atomicLoad(&found); }
  var left = workgroupUniformLoad(&bad);
  for (var n = 0u; n < ${REPAIR_ROWS}u; n++) {
    if ((left & (1u << n)) == 0u) { continue; }
    let item = first + n; let row = item; let at = ${address};
${repairRow(kind, v)}
  }
  workgroupBarrier(); // bad and found are read
  }
}`);
}
