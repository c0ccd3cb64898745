// dQ: one workgroup for a tile of query rows (FlashAttention-2, algorithm 2, turned around so that no two
// workgroups write the same row: no atomics, every sum in a fixed order).
//
//   dQ = 0                                                     rows x block
//   for each tile of keys in begin .. end
//     dP = dOut Vᵀ, S = Q Kᵀ                                   rows x columns
//     P = exp(features(S) - lse), dS = P (features(dP) - delta) slope
//     dQ += dS K
//   dq = scale dQ
//
// Where operands are halves rows of dOut and of dS go into their products with powers of two, which come off behind them: see
// parts/powers.ts. lse, delta, P and dS are f32.
import { type Geometry, geometry } from "../abi.ts";
import type { Side } from "../features/feature.ts";
import { gradientRows } from "../features/pair_gradient.ts";
import { PARAMS } from "../features/params.ts";
import { keepTile, keptMemory, keptPairs, weighed } from "../features/probability.ts";
import {
  columnShares,
  hideOutsideBand,
  hidesPairs,
  pairExists,
  queriesOfTile,
  rowShares,
  scoreDeclarations,
  scoreOfPairs,
  slopeFactor,
  stagedScale,
} from "../features/score.ts";
import { nextSeenTile, seenTileDeclarations, skipUnseenTiles } from "../features/seen_tiles.ts";
import { headOf, queryOf, rowFunction } from "../parts/address.ts";
import { declare } from "../parts/bindings.ts";
import { INPUTS, READ_ITEM } from "../parts/item.ts";
import { keySource, pairSource } from "../parts/sources.ts";
import { powerMemory, undoRows } from "../parts/powers.ts";
import { rowsReader, rowsWriter } from "../parts/storage.ts";
import { entropyTerm } from "../parts/statistics.ts";
import { each, LOG2E, tidy } from "../parts/text.ts";
import { directives, threadPlace, tileMemory } from "../parts/stage.ts";
import {
  columnIndices,
  dotProducts,
  products,
  scoreRegisters,
  sumRegisters,
} from "../parts/tile.ts";
import type { Variant } from "../parts/variant.ts";

const SIDE: Side = "rows are queries";

/** dS of the pairs (row i, column vector n) takes the place of dP. */
function scoreGradient(v: Variant, g: Geometry): string {
  const text = each(g.tm, (i) =>
    each(g.jv, (n) =>
      `  {
${scoreOfPairs(v, SIDE, `s${i}_${n}`, i, n, { slopes: true })}
${keptPairs(v, g, SIDE, i, n)}
    let log2p = fma(s${i}_${n} - vec4<f32>(lse${i}), vec4<f32>(${LOG2E}), vec4<f32>(-low_sum${i}));
    let p = exp2(log2p);
    let ds = p * (${weighed(v, `dp${i}_${n}`)} - vec4<f32>(delta${i})${
        entropyTerm(v.statistics, "log2p", `vec4<f32>(gain${i})`, "vec4<f32>")
      })${slopeFactor(v)};
    dp${i}_${n} = ${hidesPairs(v) ? "select(ds, vec4<f32>(0.0), hide)" : "ds"};
  }`));
  return `  // P = exp(features(S) - lse), dS = P (dP - delta) slope\n${text}`;
}

function setUp(v: Variant, g: Geometry): string {
  return `${READ_ITEM}
  let block = wid.z * ${v.blockChunks * g.c4}u;
  let stats_base = (batch * U.kv_heads + kv_head) * row_count;
${gradientRows(v, g)}
${rowShares(g, v, SIDE)}
${sumRegisters(g, "dq", v.blockChunks * g.cc)}
${scoreRegisters(g, "s")}
${scoreRegisters(g, "dp")}
${queriesOfTile(g, v)}`;
}

/** WGSL of a variant; `blockChunks` counts head columns. Dispatch (items, kv heads, blocks). */
export function dqShader(v: Variant, { scalarOut }: { scalarOut: boolean }): string {
  const g = geometry(v.tile), whole = v.blockChunks === v.headChunks;
  const rows = (name: "q" | "dOut") => pairSource(name, "first", "row_count", v.grouped, g.halves);
  const keys = (name: "k" | "v") => keySource(name, "k0", "end");
  const kept = keepTile(v, g, SIDE, {
    firstQuery: "first",
    head: (row) => headOf(row, v.grouped),
    query: (row) => queryOf(row, v.grouped),
    firstKey: "k0",
  });
  const body = `${kept}
  // dP = dOut V^T
${dotProducts(g, "dp", rows("dOut"), keys("v"), v.valueChunks)}
${undoRows(g)}
  // S = Q K^T
${dotProducts(g, "s", rows("q"), keys("k"), v.headChunks)}
${scoreGradient(v, g)}
${hideOutsideBand(g, "dp", "0.0")}
  // dQ += dS K
${
    products(g, "dq", "dp", keys("k"), {
      chunks: v.blockChunks,
      first: whole ? "0u" : "block",
      moved: true,
    })
  }`;
  return tidy(`${directives(g)}
${PARAMS}
${scoreDeclarations(v, "vec4<f32>")}
${seenTileDeclarations(v, SIDE)}
${rowsReader("q", v.kinds.q)}
${rowsReader("k", v.kinds.k)}
${rowsReader("v", v.kinds.v)}
${rowsReader("dOut", v.kinds.dOut!)}
${declare("stats", "vec4<f32>")}
${rowsWriter("dq", scalarOut)}
${(["q", "k", "v", "dOut", "dq"] as const).map(rowFunction).join("\n")}
${keptMemory(v, g, SIDE)}
${tileMemory(g)}
${powerMemory(g, g.rows, true)}
@compute @workgroup_size(${g.threads})
fn main(${INPUTS}) {
${threadPlace(g)}
${setUp(v, g)}
  let staged_scale = ${stagedScale(v)};
  for (var k0 = begin; k0 < end; k0 += ${g.columns}u) {
${nextSeenTile(v, "k0", g)}
${each(g.jv, (n) => `  let key_${n} = ${columnIndices(g, "k0", n)};`)}
${columnShares(g, v, SIDE)}
${skipUnseenTiles(g, v, SIDE, pairExists, `(k0 - begin) / ${g.columns}u`, body)}
  }
  // dq = scale dQ
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
