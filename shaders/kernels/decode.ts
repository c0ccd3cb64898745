// Decode: few query rows against many keys, one workgroup for a range of keys of a kv head. All rows of the
// group share each byte of K and V, which are read once, straight into registers, neighbouring threads reading
// neighbouring vec4 (flash-decoding; GQA packing as in llama.cpp).
//
//   for each block of keys
//     partial[r][key][lane] = q_r . k over the columns of the lane         lanes x stride x keys at once
//     score[r][key] = features(Σ partial)                                  rows x block, in workgroup memory
//     row r, key group g: m, l, weight[key][r] = features(exp(score - m))   over the keys g, g + groups, ...
//     thread (column c, key group g): O[r] += weight[key][r] v[key][c]      over the same keys
//   merge the states of the key groups
//
// Each key group keeps its own softmax state, so no maximum is exchanged but among the threads that share a row of it.
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

/** Partial products: the keys of a thread meet each vec4 of q that it reads. Keys past the end are the last one again. */
function dots({ rows, head4, keys }: DecodeShape, { lanes, stride, block }: DecodeLayout): string {
  const key = (u: number) => `j${u ? ` + ${u * stride}u` : ""}`;
  return `  for (var j = li / ${lanes}u; j < ${block}u; j += ${stride * keys}u) {
${each(keys, (u) => `    let at${u} = k_row(batch, kv_head, min(k0 + ${key(u)}, end - 1u));`)}
${each(rows, (r) => each(keys, (u) => `    var d${r}_${u} = 0.0;`))}
${
    each(Math.ceil(head4 / lanes), (n) => {
      const c = `lane + ${n * lanes}u`;
      const body = `${each(keys, (u) => `      let x${u} = load_k(at${u}, ${c});`)}
${
        each(rows, (r) =>
          `      { let y = qs[${r}][${c}];
${
            each(keys, (u) =>
              `        ${
                XYZW.map((x) => `d${r}_${u} = fma(x${u}.${x}, y.${x}, d${r}_${u});`).join(" ")
              }`)
          }
      }`)
      }`;
      return (n + 1) * lanes <= head4
        ? `    {\n${body}\n    }`
        : `    if (${c} < ${head4}u) {\n${body}\n    }`;
    })
  }
${each(rows, (r) => each(keys, (u) => `    partial[${r}][${key(u)}][lane] = d${r}_${u};`))}
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

/** Adds key k0 + j, whose P is in `p`, to the sums of statistics at hand. */
const ADD_STATISTICS = `
      ps0 = fma(p, max(score[r][j] - n, ${LEAST}), ps0); top0 = max(top0, p);
      pj0 = fma(p, f32(k0 + j), pj0); pairs0 += p;`;

/** How many turns of a loop of \`n\` are written side by side. */
const sideBySide = (n: number): number => [8, 4, 2].find((side) => n % side === 0) ?? 1;

/** Softmax: the threads that share a row and key group find its maximum, and the weights of their own keys. */
function weights(
  v: Variant,
  { rows, threads }: DecodeShape,
  { groups, shares, block, lanes }: DecodeLayout,
): string {
  const total = rows * groups * shares, z = `partial[r][j][${lanes}]`;
  const weight = dropsPairs(v) ? `select(0.0, p * ${z}, ${z} > 0.0)` : "p";
  const sums = SUMS.map((sum, n) => `${sum}0 = row_sums[r][g][share].${XYZW[n]};`).join(" ");
  const most = sideBySide(block / groups),
    own = v.statistics ? 1 : sideBySide(block / (groups * shares));
  const key = (u: number, step: number) => u ? `j + ${u * step}u` : "j";
  return `  for (var t = li; t < ${total}u; t += ${threads}u) {
    let r = t / ${
    groups * shares
  }u; let g = t / ${shares}u % ${groups}u; let share = t % ${shares}u;
    let old = state[r][g][share]; var n = old.x;
    for (var j = g; j < ${block}u; j += ${groups * most}u) {
${each(most, (u) => `      n = max(n, score[r][${key(u, groups)}]);`)}
    }
    let a = exp2((old.x - n) * ${LOG2E}); var l = old.y * a;
${v.statistics ? `    ${statisticRegisters(0)} ${sums} ${moveStatistics(0, "old.x", "n")}` : ""}
    for (var j0 = g + share * ${groups}u; j0 < ${block}u; j0 += ${groups * shares * own}u) {
${
    each(own, (u) =>
      `      { let j = j0 + ${
        u * groups * shares
      }u; let p = exp2((score[r][j] - n) * ${LOG2E}); l += p;${v.statistics ? ADD_STATISTICS : ""}
        weight[j][r] = ${weight}; }`)
  }
    }
    state[r][g][share] = vec2<f32>(n, l);
    if (share == 0u) { alpha[g][r] = a; }
${
    v.statistics
      ? `    row_sums[r][g][share] = vec4<f32>(${SUMS.map((sum) => `${sum}0`).join(", ")});`
      : ""
  }
  }
  workgroupBarrier();`;
}

/** Keys of V whose loads are under way at the same time. */
const V_LOADS = 8;

function values({ rows, keys }: DecodeShape, { groups, block }: DecodeLayout): string {
  const loads = keys > 1 ? Math.min(V_LOADS, sideBySide(block / groups)) : 1;
  const key = (u: number) => `j${u ? ` + ${u * groups}u` : ""}`;
  return `  if (group < ${groups}u) {
${each(rows, (r) => `    o${r} *= alpha[group][${r}];`)}
    for (var j = group; j < ${block}u && k0 + j < end; j += ${groups * loads}u) {
${
    each(loads, (u) =>
      `      let x${u} = load_v(v_row(batch, kv_head, min(k0 + ${key(u)}, end - 1u)), column);`)
  }
${
    each(loads, (u) =>
      each(rows, (r) =>
        `      o${r} = fma(vec4<f32>(weight[${key(u)}][${r}]), x${u}, o${r});`))
  }
    }
  }`;
}

function finish(
  v: Variant,
  { rows, value4 }: DecodeShape,
  { groups, shares }: DecodeLayout,
): string {
  const sum = (r: number, x: number) =>
    Array.from({ length: shares }, (_, s) => `state[${r}][${x}][${s}].y`).join(" + ");
  return each(rows, (r) =>
    `  workgroupBarrier();
  {
    var m = FLOOR;
${each(groups, (x) => `    m = max(m, state[${r}][${x}][0].x);`)}
    var l = 0.0;
${each(groups, (x) => `    l += (${sum(r, x)}) * exp2((state[${r}][${x}][0].x - m) * ${LOG2E});`)}
    if (group < ${groups}u) { sums[group][column] = o${r} * exp2((state[${r}][group][0].x - m) * ${LOG2E}); }
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
${v.statistics ? statistics(v, r, groups, shares) : ""}
  }`);
}

/** Joins the sums of statistics of all threads of row r. */
function statistics(v: Variant, r: number, groups: number, shares: number): string {
  const parts = Array.from(
    { length: groups * shares },
    (_, n) => [Math.floor(n / shares), n % shares],
  );
  return `    if (li == 0u) {
      var x = vec4<f32>(0.0);
${
    parts.map(([g, s]) =>
      `      { let part = row_sums[${r}][${g}][${s}]; let old = state[${r}][${g}][${s}].x; let a = exp2((old - m) * ${LOG2E});
        ${SUMS.map((sum, n) => `var ${sum}0 = part.${XYZW[n]};`).join(" ")}
        ${moveStatistics(0, "old", "m")} x = joined(x, vec4<f32>(${
        SUMS.map((sum) => `${sum}0`).join(", ")
      })); }`
    ).join("\n")
  }
      let pj = fma(f32(U.key_begin), x.w, x.z); // keys count in the whole sequence
      row_statistics[lse_row(batch, ${headOf(`${r}u`, v.grouped)}, ${
    queryOf(`${r}u`, v.grouped)
  }) + slot * U.split_rows] = row_of(x.x, x.y, pj, x.w, l);
    }`;
}

/** What a row starts with, of all threads that will share it. */
function startRows(
  v: Variant,
  { rows, threads }: DecodeShape,
  { groups, shares }: DecodeLayout,
): string {
  const start = { m: "m", l: "l", head: "head", split: "slot" };
  const holds = `t % ${groups * shares}u == 0u`;
  return `  for (var t = li; t < ${rows * groups * shares}u; t += ${threads}u) {
    let r = t / ${groups * shares}u; let head = ${
    headOf("r", v.grouped)
  }; var m = FLOOR; var l = 0.0;
${startState(v, { ...start, holds })}
    state[r][t / ${shares}u % ${groups}u][t % ${shares}u] = vec2<f32>(m, l);
${
    v.statistics
      ? `    row_sums[r][t / ${shares}u % ${groups}u][t % ${shares}u] = vec4<f32>(0.0);`
      : ""
  }
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
var<workgroup> weight: array<array<f32, ${rows}>, ${l.block}>;
var<workgroup> alpha: array<array<f32, ${rows}>, ${l.groups}>;
var<workgroup> state: array<array<array<vec2<f32>, ${l.shares}>, ${l.groups}>, ${rows}>;
${
    v.statistics
      ? `var<workgroup> row_sums: array<array<array<vec4<f32>, ${l.shares}>, ${l.groups}>, ${rows}>;`
      : ""
  }
var<workgroup> sums: array<array<vec4<f32>, ${value4}>, ${l.groups}>;
@compute @workgroup_size(${threads})
fn main(${INPUTS}) {
${READ_ITEM}
  let lane = li % ${l.lanes}u; let column = li % ${value4}u; let group = li / ${value4}u;
  for (var t = li; t < ${rows * head4}u; t += ${threads}u) {
    let r = t / ${head4}u; let c = t % ${head4}u;
    qs[r][c] = load_q(${queryRow("q", "r", v.grouped)}, c) * ${stagedScale(v)};
  }
${each(rows, (r) => `  var o${r} = vec4<f32>(0.0);`)}
${startRows(v, shape, l)}
  workgroupBarrier();
  for (var k0 = begin; k0 < end; k0 += ${l.block}u) {
  // partial = q . k
${dots(shape, l)}
  workgroupBarrier();
  // score = features(sum of partial)
${scores(v, shape, l)}
  workgroupBarrier();
  // P = exp(score - m), l += P
${weights(v, shape, l)}
  // O += P v
${values(shape, l)}
  }
  // merge the states of the key groups: out = O / l, lse = m + ln l
${finish(v, shape, l)}
}`);
}
