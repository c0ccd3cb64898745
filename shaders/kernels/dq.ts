// dQ: one workgroup for a tile of query rows (FlashAttention-2, algorithm 2, turned around so that no two
// workgroups write the same row: no atomics, every sum in a fixed order).
//
//   dQ = 0                                                     rows x block
//   for each tile of keys in begin .. end
//     dP = dOut Vᵀ, S = Q Kᵀ                                   rows x columns
//     P = exp(features(S) - lse), dS = P (dP - delta) slope
//     dQ += dS K             its last chunk of K is still staged
//   dq = scale dQ
import { headOf, INPUTS, queryOf, READ_ITEM, rowAddress } from "../parts/item.ts";
import { PARAMS, rowFunction } from "../parts/params.ts";
import {
  columnShares,
  hideOutsideBand,
  hidesPairs,
  maskTile,
  pairExists,
  queriesOfTile,
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

/** dS of the pairs (row i, column vector n) takes the place of dP. */
function scoreGradient(v: Variant, g: Geometry): string {
  return each(g.tm, (i) =>
    each(g.jv, (n) =>
      `  {
${scoreOfPairs(v, `s${i}_${n}`, i, n, { slope: true })}
    let p = exp2((s${i}_${n} - vec4<f32>(lse${i})) * ${LOG2E});
    let ds = p * (dp${i}_${n} - vec4<f32>(delta${i}))${v.softcap ? " * slope" : ""};
    dp${i}_${n} = ${hidesPairs(v) ? "select(ds, vec4<f32>(0.0), hide)" : "ds"};
  }`));
}

function setUp(v: Variant, g: Geometry): string {
  return `${READ_ITEM}
  let block = wid.z * ${v.blockChunks * g.c4}u;
  let stats_base = (batch * U.kv_heads + kv_head) * row_count;
${
    each(g.tm, (i) =>
      `  let row${i} = first + ty * ${g.tm}u + ${i}u; let query${i} = ${
        queryOf(`row${i}`, v.grouped)
      };
  let head${i} = ${headOf(`row${i}`, v.grouped)};
  var lse${i} = 1e30; var delta${i} = 0.0;
  if (row${i} < row_count) { let x = stats[stats_base + row${i}]; lse${i} = x.x; delta${i} = x.y; }`)
  }
${rowShares(g, v, "rows are queries")}
${sumRegisters(g, "dq", v.blockChunks * g.cc)}
${scoreRegisters(g, "s")}
${scoreRegisters(g, "dp")}
${queriesOfTile(g, v)}`;
}

/** WGSL of a variant; `blockChunks` counts head columns. Dispatch (items, kv heads, blocks). */
export function dqShader(v: Variant, { scalarOut }: { scalarOut: boolean }): string {
  const g = geometry(v.tile), whole = v.blockChunks === v.headChunks;
  const rows = (name: "q" | "dout"): Source => ({
    name,
    first: "first",
    limit: "row_count",
    row: (r) => rowAddress(name, r, v.grouped),
    columns4: name === "q" ? columns4("head_dim") : columns4("value_dim"),
    factor: name === "q" ? "staged_scale" : undefined,
  });
  const keys = (name: "k" | "v"): Source => ({
    name,
    first: "k0",
    limit: "end",
    row: (r) => `${name}_row(batch, kv_head, ${r})`,
    columns4: name === "k" ? columns4("head_dim") : columns4("value_dim"),
  });
  const body = `${dotProducts(g, "dp", rows("dout"), keys("v"), v.valueChunks)}
${dotProducts(g, "s", rows("q"), keys("k"), v.headChunks)}
${scoreGradient(v, g)}
${hideOutsideBand(g, "dp", "0.0")}
${
    products(g, "dq", "dp", keys("k"), {
      chunks: v.blockChunks,
      first: whole ? "0u" : "block",
      staged: whole,
    })
  }`;
  return tidy(`${PARAMS}
${scoreDeclarations(v, { tables: 1, bias: 8 })}
${rowsReader(2, "q", v.kinds.q, "U.head_dim")}
${rowsReader(3, "k", v.kinds.k, "U.head_dim")}
${rowsReader(4, "v", v.kinds.v, "U.value_dim")}
${rowsReader(5, "dout", v.kinds.dout!, "U.value_dim")}
${declare(6, "stats", "vec2<f32>")}
${rowsWriter(7, "dq", scalarOut, "U.head_dim")}
${["q", "k", "v", "dout", "dq"].map((name) => rowFunction(name as "q")).join("\n")}
${v.bias ? rowFunction("bias") : ""}
${v.mask ? rowFunction("mask") : ""}
${tileMemory(g)}
@compute @workgroup_size(${g.threads})
fn main(${INPUTS}) {
${threadPlace(g)}
${setUp(v, g)}
  let staged_scale = ${stagedScale(v)};
  for (var k0 = begin; k0 < end; k0 += ${g.columns}u) {
${each(g.jv, (n) => `  let key_${n} = ${columnIndices(g, "k0", n)};`)}
${columnShares(g, v, "rows are queries")}
${maskTile(g, v, pairExists, body)}
  }
${
    each(g.tm, (i) =>
      `  if (row${i} < row_count) {
    let at = dq_row(batch, head${i}, query${i});
${
        each(v.blockChunks * g.cc, (c) =>
          `    store_dq(at, block + tx + ${g.nx * c}u, dq${i}_${c} * U.scale);`)
      }
  }`)
  }
}`);
}
