// dK and dV: one workgroup for a tile of keys, streaming the query rows of all heads of its group, so that
// the sums over the group need no atomics either. Everything is transposed:
//
//   dK = 0, dV = 0                                             rows (keys) x block
//   for each tile of query rows in begin .. end
//     dPᵀ = V dOutᵀ, Sᵀ = K Qᵀ                                 rows x columns
//     Pᵀ = exp(features(Sᵀ) - lse), dSᵀ = Pᵀ (dPᵀ - delta) slope
//     dK += dSᵀ Q, dV += Pᵀ dOut
//   dk = dK (Q is staged with the scale), dv = dV
//
// `parts` makes only one of the two: where a row is too wide for the registers of both, and where bias would
// be the ninth storage buffer.
import { headOf, INPUTS, queryOf, READ_ITEM, rowAddress } from "../parts/item.ts";
import { PARAMS, rowFunction } from "../parts/params.ts";
import {
  columnShares,
  hidesPairs,
  maskTile,
  rowShares,
  scoreDeclarations,
  scoreOfPairs,
  stagedScale,
} from "../features/score.ts";
import { declare, rowsReader, rowsWriter } from "../parts/storage.ts";
import { each, LOG2E, tidy } from "../parts/text.ts";
import { type Geometry, geometry } from "../abi.ts";
import {
  columnIndices,
  dotProducts,
  products,
  scoreRegisters,
  type Source,
  sumRegisters,
  threadPlace,
  tileMemory,
} from "../parts/tile.ts";
import { columns4, type Variant } from "../parts/variant.ts";

/** Which gradients a kernel makes. */
export type Parts = "kv" | "k" | "v";

/** lse and delta of this thread's query rows; rows past the end get lse = 1e30, so P = 0. */
function statistics(v: Variant, g: Geometry, withK: boolean): string {
  return each(g.jv, (n) =>
    `  let row_${n} = ${columnIndices(g, "r0", n)};
${
      v.bias || v.mask
        ? `  let head_${n} = ${vectorOf(headOf(`row_${n}`, v.grouped), v.grouped)};`
        : ""
    }
  let query_${n} = ${queryOf(`row_${n}`, v.grouped).replace("U.group", "vec4<u32>(U.group)")};
  var lse_${n} = vec4<f32>(1e30); ${withK ? `var delta_${n} = vec4<f32>(0.0);` : ""}
${
      each(4, (j) =>
        `  if (row_${n}[${j}] < end) { let x = stats[stats_base + row_${n}[${j}]]; lse_${n}[${j}] = x.x; ${
          withK ? `delta_${n}[${j}] = x.y;` : ""
        } }`)
    }`);
}

/** The scalar expression of a head, for four rows at once. */
function vectorOf(expression: string, grouped: boolean): string {
  if (!grouped) return "vec4<u32>(kv_head)";
  return expression.replace("kv_head * U.group", "vec4<u32>(kv_head * U.group)")
    .replace("% U.group", "% vec4<u32>(U.group)");
}

/** P takes the place of S, dS that of dP. */
function probabilities(v: Variant, g: Geometry, withK: boolean): string {
  const keep = (name: string, value: string) =>
    `    ${name} = ${hidesPairs(v) ? `select(${value}, vec4<f32>(0.0), hide)` : value};`;
  return each(g.tm, (i) =>
    each(g.jv, (n) =>
      `  {
${
        scoreOfPairs(v, `s${i}_${n}`, i, n, {
          slope: withK,
          absent: `row_${n} >= vec4<u32>(end)`,
        })
      }
    let p = exp2((s${i}_${n} - lse_${n}) * ${LOG2E});
${keep(`s${i}_${n}`, "p")}
${withK ? keep(`dp${i}_${n}`, `p * (dp${i}_${n} - delta_${n})${v.softcap ? " * slope" : ""}`) : ""}
  }`));
}

function band(v: Variant, g: Geometry, withK: boolean): string {
  return `  let first_query = i32(${queryOf("r0", v.grouped)});
  let last_query = i32(${queryOf(`(min(r0 + ${g.columns}u, end) - 1u)`, v.grouped)});
  if (i32(last_key) > first_query + high || i32(first) < last_query + low) {
${
    each(g.tm, (i) =>
      each(g.jv, (n) =>
        `    { let hide = (vec4<i32>(query_${n}) < vec4<i32>(i32(key${i}) - high)) | (vec4<i32>(query_${n}) > vec4<i32>(i32(key${i}) - low));
      s${i}_${n} = select(s${i}_${n}, vec4<f32>(0.0), hide);
      ${withK ? `dp${i}_${n} = select(dp${i}_${n}, vec4<f32>(0.0), hide);` : ""} }`))
  }
  }`;
}

/** Chunks of columns of dK and of dV that a workgroup makes. */
interface Widths {
  readonly k: number;
  readonly v: number;
}

function setUp(v: Variant, g: Geometry, parts: Parts, widths: Widths): string {
  return `${READ_ITEM}
  let block = wid.z * ${v.blockChunks * g.c4}u;
  let stats_base = (batch * U.kv_heads + kv_head) * row_count;
${each(g.tm, (i) => `  let key${i} = first + ty * ${g.tm}u + ${i}u;`)}
${rowShares(g, v, "rows are keys")}
${parts === "v" ? "" : sumRegisters(g, "dk", widths.k * g.cc)}
${parts === "k" ? "" : sumRegisters(g, "dv", widths.v * g.cc)}
${scoreRegisters(g, "s")}
${parts === "v" ? "" : scoreRegisters(g, "dp")}
  let last_key = min(first + ${g.rows}u, limit) - 1u;`;
}

/**
 * WGSL of a variant; with parts "kv" a workgroup makes whole rows, else `blockChunks` of the columns of its
 * operand. Dispatch (items, kv heads, blocks).
 */
export function dkvShader(v: Variant, parts: Parts, { scalarOut }: { scalarOut: boolean }): string {
  const g = geometry(v.tile), withK = parts !== "v", withV = parts !== "k";
  const ofK = parts === "kv" ? v.headChunks : v.blockChunks;
  const ofV = parts === "kv" ? v.valueChunks : v.blockChunks;
  const wholeK = ofK === v.headChunks, wholeV = ofV === v.valueChunks;
  const head = columns4("head_dim"), value = columns4("value_dim");
  const keys = (name: "k" | "v"): Source => ({
    name,
    first: "first",
    limit: "limit",
    row: (r) => `${name}_row(batch, kv_head, ${r})`,
    columns4: name === "k" ? head : value,
  });
  const queries = (name: "q" | "dout"): Source => ({
    name,
    first: "r0",
    limit: "end",
    row: (r) => rowAddress(name, r, v.grouped),
    columns4: name === "q" ? head : value,
    factor: name === "q" ? "staged_scale" : undefined,
  });
  const sums = (name: "dk" | "dv", p: string, source: Source, chunks: number, whole: boolean) =>
    products(g, name, p, source, {
      chunks,
      first: whole ? "0u" : "block",
      staged: name === "dk" && whole,
    });
  const exists = (i: number, n: number) =>
    `(row_${n} < select(vec4<u32>(0u), vec4<u32>(end), key${i} < limit))`;
  const body = `${withK ? dotProducts(g, "dp", keys("v"), queries("dout"), v.valueChunks) : ""}
${dotProducts(g, "s", keys("k"), queries("q"), v.headChunks)}
${probabilities(v, g, withK)}
${band(v, g, withK)}
${withK ? sums("dk", "dp", queries("q"), ofK, wholeK) : ""}
${withV ? sums("dv", "s", queries("dout"), ofV, wholeV) : ""}`;
  return tidy(`${PARAMS}
${scoreDeclarations(v, { tables: 1, bias: 9 })}
${rowsReader(2, "q", v.kinds.q, "U.head_dim")}
${rowsReader(3, "k", v.kinds.k, "U.head_dim")}
${withK ? rowsReader(4, "v", v.kinds.v, "U.value_dim") : ""}
${rowsReader(5, "dout", v.kinds.dout!, "U.value_dim")}
${declare(6, "stats", "vec2<f32>")}
${withK ? rowsWriter(7, "dk", scalarOut, "U.head_dim") : ""}
${withV ? rowsWriter(8, "dv", scalarOut, "U.value_dim") : ""}
${["q", "k", "dout"].map((name) => rowFunction(name as "q")).join("\n")}
${withK ? `${rowFunction("v")}\n${rowFunction("dk")}` : ""}
${withV ? rowFunction("dv") : ""}
${v.bias ? rowFunction("bias") : ""}
${v.mask ? rowFunction("mask") : ""}
${tileMemory(g)}
@compute @workgroup_size(${g.threads})
fn main(${INPUTS}) {
${threadPlace(g)}
${setUp(v, g, parts, { k: ofK, v: ofV })}
  let staged_scale = ${stagedScale(v)};
  // last rows first: with a causal mask they have the smallest P, and sums that begin small round less
  for (var left = (end - begin + ${g.columns - 1}u) / ${g.columns}u; left > 0u; left--) {
  let r0 = begin + (left - 1u) * ${g.columns}u;
${statistics(v, g, withK)}
${columnShares(g, v, "rows are keys")}
${maskTile(g, v, exists, body)}
  }
${
    each(g.tm, (i) =>
      `  if (key${i} < U.length_k) {
    let real = key${i} < limit; // keys past the sequence's length have gradient 0
    ${withK ? `let at_k = dk_row(batch, kv_head, key${i});` : ""}
    ${withV ? `let at_v = dv_row(batch, kv_head, key${i});` : ""}
${
        withK
          ? each(ofK * g.cc, (c) =>
            `    store_dk(at_k, block + tx + ${g.nx * c}u, select(vec4<f32>(0.0), dk${i}_${c}${
              v.softcap ? " * U.softcap" : ""
            }, real));`)
          : ""
      }
${
        withV
          ? each(ofV * g.cc, (c) =>
            `    store_dv(at_v, block + tx + ${
              g.nx * c
            }u, select(vec4<f32>(0.0), dv${i}_${c}, real));`)
          : ""
      }
  }`)
  }
}`);
}
