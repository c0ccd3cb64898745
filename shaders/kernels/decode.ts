// Decode: few query rows against many keys, one workgroup for a range of keys of a kv head. All rows of the
// group share each byte of K and V, which are read once, straight into registers, neighbouring threads reading
// neighbouring vec4 (flash-decoding; GQA packing as in llama.cpp).
//
//   for each block of keys
//     partial[r][key][lane] = q_r . k over the columns of the lane         lanes x stride keys at once
//     score[r][key] = features(Σ partial)                                  rows x block, in workgroup memory
//     thread (column c, key group g): m, l, O[r], features of P, over the keys g, g + groups, ...
//   merge the states of the key groups
//
// Each key group keeps its own softmax state, so no maximum is exchanged inside the loop: two barriers a block.
// No subgroup operation is needed.
import { type DecodeLayout, decodeLayout, type DecodeShape } from "../abi.ts";
import { PARAMS } from "../features/params.ts";
import { dropsPairs, keptOne } from "../features/probability.ts";
import { scoreDeclarations, scoreOfPair, stagedScale } from "../features/score.ts";
import { startState } from "../features/state.ts";
import { headOf, queryOf, queryRow, rowFunctions } from "../parts/address.ts";
import { keysOf, outside } from "../parts/band.ts";
import { declare } from "../parts/bindings.ts";
import { INPUTS, READ_ITEM } from "../parts/item.ts";
import { rowsReader, rowsWriter } from "../parts/storage.ts";
import {
  LEAST,
  moveStatistics,
  statisticDeclarations,
  statisticRegisters,
  SUMS,
} from "../parts/statistics.ts";
import { each, LN2, LOG2E, tidy, XYZW } from "../parts/text.ts";
import type { Variant } from "../parts/variant.ts";

function dots({ rows, head4 }: DecodeShape, { lanes, stride, block }: DecodeLayout): string {
  const full = head4 % lanes === 0;
  return `  for (var s = 0u; s < ${block}u; s += ${stride}u) {
    let j = s + li / ${lanes}u; let key = k0 + j;
${each(rows, (r) => `    var d${r} = 0.0;`)}
    if (key < end) {
      let at = k_row(batch, kv_head, key);
${
    each(Math.ceil(head4 / lanes), (n) => {
      const c = `lane + ${n * lanes}u`;
      const body = `        let x = load_k(at, ${c});
${
        each(rows, (r) =>
          `        { let y = qs[${r}][${c}]; ${
            XYZW.map((x) => `d${r} = fma(x.${x}, y.${x}, d${r});`).join(" ")
          } }`)
      }`;
      return full || (n + 1) * lanes <= head4
        ? `      {\n${body}\n      }`
        : `      if (${c} < ${head4}u) {\n${body}\n      }`;
    })
  }
    }
${each(rows, (r) => `    partial[${r}][j][lane] = d${r};`)}
  }`;
}

function scores(
  v: Variant,
  { rows, threads }: DecodeShape,
  { lanes, block }: DecodeLayout,
): string {
  const total = rows * block;
  return `  for (var t = li; t < ${total}u; t += ${threads}u) {
    let r = t / ${block}u; let j = t % ${block}u; let key = k0 + j;
    let query = ${queryOf("r", v.grouped)};
    var s = 0.0;
${each(lanes, (x) => `    s += partial[r][j][${x}];`)}
    let head = ${headOf("r", v.grouped)};
    // hide pairs outside the band
    var hide = ${outside("key", keysOf("query", "end"), "i32")};
${scoreOfPair(v, "s", { batch: "batch", head: "head", query: "query", offset: "offset" }, "key")}
    score[r][j] = select(s, HIDDEN, hide);
${
    // the last column is there for the banks only
    dropsPairs(v) ? `    partial[r][j][${lanes}] = kept_one(batch, head, query, key);` : ""}
  }`;
}

/** The sums of statistics of row r and key k0 + j, whose P is in `p`. */
function addStatistics(r: number): string {
  return `
        ps${r} = fma(p, max(score[${r}][j] - m${r}, ${LEAST}), ps${r}); top${r} = max(top${r}, p);
        pj${r} = fma(p, f32(k0 + j), pj${r}); pairs${r} += p;`;
}

function values(
  v: Variant,
  { rows }: DecodeShape,
  { groups, block, lanes }: DecodeLayout,
): string {
  const add = (r: number) =>
    dropsPairs(v)
      ? `let z = partial[${r}][j][${lanes}]; if (z > 0.0) { o${r} = fma(vec4<f32>(p * z), x, o${r}); }`
      : `o${r} = fma(vec4<f32>(p), x, o${r});`;
  return `  if (group < ${groups}u) {
${each(rows, (r) => `    var n${r} = m${r};`)}
    for (var j = group; j < ${block}u; j += ${groups}u) {
${each(rows, (r) => `      n${r} = max(n${r}, score[${r}][j]);`)}
    }
${
    each(rows, (r) =>
      `    { let a = exp2((m${r} - n${r}) * ${LOG2E});${
        v.statistics ? ` ${moveStatistics(r, `m${r}`, `n${r}`)}` : ""
      } m${r} = n${r}; l${r} *= a; o${r} *= a; }`)
  }
    for (var j = group; j < ${block}u && k0 + j < end; j += ${groups}u) {
      let x = load_v(v_row(batch, kv_head, k0 + j), column);
${
    each(rows, (r) =>
      `      { let p = exp2((score[${r}][j] - m${r}) * ${LOG2E}); l${r} += p; ${add(r)}${
        v.statistics ? addStatistics(r) : ""
      } }`)
  }
    }
  }`;
}

function finish(v: Variant, { rows, value4 }: DecodeShape, { groups }: DecodeLayout): string {
  return `  if (group < ${groups}u && column == 0u) {
${each(rows, (r) => `    state[${r}][group] = vec2<f32>(m${r}, l${r});`)}
  }
${
    each(rows, (r) =>
      `  workgroupBarrier();
  {
    var m = FLOOR;
${each(groups, (x) => `    m = max(m, state[${r}][${x}].x);`)}
    var l = 0.0;
${each(groups, (x) => `    l += state[${r}][${x}].y * exp2((state[${r}][${x}].x - m) * ${LOG2E});`)}
    if (group < ${groups}u) { sums[group][column] = o${r} * exp2((m${r} - m) * ${LOG2E}); }
    workgroupBarrier();
    if (li < ${value4}u) {
      var x = sums[0][li];
${each(groups - 1, (x) => `      x += sums[${x + 1}][li];`)}
      let head = ${headOf(`${r}u`, v.grouped)}; let query = ${queryOf(`${r}u`, v.grouped)};
      store_out(out_row(batch, head, query) + slot * U.split_rows * U.value_dim, li, x * select(1.0 / l, 0.0, l == 0.0));
      if (li == 0u) {
        lse[lse_row(batch, head, query) + slot * U.split_rows] = select(m + log2(l) * ${LN2}, U.neg_inf, l == 0.0);
      }
    }
${v.statistics ? statistics(v, r, groups) : ""}
  }`)
  }`;
}

/** Joins the sums of statistics of the key groups, in the place of those of O. */
function statistics(v: Variant, r: number, groups: number): string {
  return `    workgroupBarrier();
    if (group < ${groups}u && column == 0u) {
      let a = exp2((m${r} - m) * ${LOG2E}); ${moveStatistics(r, `m${r}`, "m")}
      sums[group][0] = vec4<f32>(${SUMS.map((sum) => sum + r).join(", ")});
    }
    workgroupBarrier();
    if (li == 0u) {
      var x = vec4<f32>(0.0);
${each(groups, (t) => `      x = joined(x, sums[${t}][0]);`)}
      let pj = fma(f32(U.key_begin), x.w, x.z); // keys count in the whole sequence
      row_statistics[lse_row(batch, ${headOf(`${r}u`, v.grouped)}, ${
    queryOf(`${r}u`, v.grouped)
  }) + slot * U.split_rows] = row_of(x.x, x.y, pj, x.w, l);
    }`;
}

/** WGSL of a variant. Dispatch (items, kv heads). */
export function decodeShader(
  v: Variant,
  shape: DecodeShape,
  { scalarOut }: { scalarOut: boolean },
): string {
  const { rows, head4, value4, threads } = shape, l = decodeLayout(shape);
  return tidy(`${PARAMS}
${scoreDeclarations(v, "f32")}
${keptOne(v)}
${v.statistics ? statisticDeclarations() : ""}
${rowsReader("q", v.kinds.q)}
${rowsReader("k", v.kinds.k)}
${rowsReader("v", v.kinds.v)}
${rowsWriter("out", scalarOut)}
${declare("lse", "f32", "read_write")}
${rowFunctions(["q", "k", "v", "out", "lse"], v.kinds)}
var<workgroup> qs: array<array<vec4<f32>, ${head4}>, ${rows}>;
var<workgroup> partial: array<array<array<f32, ${l.lanes + 1}>, ${l.block}>, ${rows}>;
var<workgroup> score: array<array<f32, ${l.block}>, ${rows}>;
var<workgroup> state: array<array<vec2<f32>, ${l.groups}>, ${rows}>;
var<workgroup> sums: array<array<vec4<f32>, ${value4}>, ${l.groups}>;
@compute @workgroup_size(${threads})
fn main(${INPUTS}) {
${READ_ITEM}
  let lane = li % ${l.lanes}u; let column = li % ${value4}u; let group = li / ${value4}u;
  for (var t = li; t < ${rows * head4}u; t += ${threads}u) {
    let r = t / ${head4}u; let c = t % ${head4}u;
    qs[r][c] = load_q(${queryRow("q", "r", v.grouped)}, c) * ${stagedScale(v)};
  }
${
    each(rows, (r) => {
      const head = headOf(`${r}u`, v.grouped), start = { m: `m${r}`, l: `l${r}`, head };
      return `  var m${r} = FLOOR; var l${r} = 0.0; var o${r} = vec4<f32>(0.0);
${v.statistics ? `  ${statisticRegisters(r)}` : ""}
${startState(v, { ...start, split: "slot", holds: "group == 0u" })}`;
    })
  }
  workgroupBarrier();
  for (var k0 = begin; k0 < end; k0 += ${l.block}u) {
  // partial = q . k
${dots(shape, l)}
  workgroupBarrier();
  // score = features(sum of partial)
${scores(v, shape, l)}
  workgroupBarrier();
  // P = exp(score - m), l += P, O += P v
${values(v, shape, l)}
  }
  // merge the states of the key groups: out = O / l, lse = m + ln l
${finish(v, shape, l)}
}`);
}
