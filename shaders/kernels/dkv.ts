// dK and dV: one workgroup for a tile of keys, streaming the query rows of all heads of its group, so that
// the sums over the group need no atomics either. Everything is transposed:
//
//   dK = 0, dV = 0                                             rows (keys) x block
//   for each tile of query rows in begin .. end
//     dPᵀ = V dOutᵀ, Sᵀ = K Qᵀ                                 rows x columns
//     Pᵀ = exp(features(Sᵀ) - lse), dSᵀ = Pᵀ (features(dPᵀ) - delta) slope
//     dK += dSᵀ Q, dV += features(Pᵀ) dOut
//   dk = dK (Q is staged with the scale), dv = dV
//
// Where operands are halves rows of dOut, of dSᵀ and of Pᵀ go into their products with powers of two, which come off behind
// them: see parts/powers.ts. That of a row of dOut comes off in P, where it becomes a column of the sum.
//
// It can make only one of the two: where a row is too wide for the registers of both, and where the operands of
// features would be more storage buffers than a device has.
import { type Geometry, geometry } from "../abi.ts";
import type { Side } from "../features/feature.ts";
import { PARAMS } from "../features/params.ts";
import { keepTile, keptMemory, keptPairs, weighed } from "../features/probability.ts";
import {
  columnShares,
  gradientFactor,
  hidesPairs,
  rowShares,
  scoreDeclarations,
  scoreOfPairs,
  slopeFactor,
  stagedScale,
  wantsQueries,
} from "../features/score.ts";
import { lastSeenTile, seenTileDeclarations, skipUnseenTiles } from "../features/seen_tiles.ts";
import { headOf, queryOf, rowFunction } from "../parts/address.ts";
import { crossesBand, outside, queriesOf } from "../parts/band.ts";
import { declare } from "../parts/bindings.ts";
import { INPUTS, READ_ITEM } from "../parts/item.ts";
import { keySource, pairSource } from "../parts/sources.ts";
import { columnPowers, columnUndo, powerMemory, undoColumns } from "../parts/powers.ts";
import { rowsReader, rowsWriter } from "../parts/storage.ts";
import { entropyTerm, gainAt } from "../parts/statistics.ts";
import { each, EMPTY_LSE, LOG2E, tidy } from "../parts/text.ts";
import { directives, type Source, threadPlace, tileMemory } from "../parts/stage.ts";
import {
  columnIndices,
  dotProducts,
  products,
  scoreRegisters,
  sumRegisters,
} from "../parts/tile.ts";
import type { Variant } from "../parts/variant.ts";

const SIDE: Side = "rows are keys";

/** Which gradients a kernel makes. */
export type Makes = "kv" | "k" | "v";

function declarations(v: Variant, g: Geometry, makes: Makes, scalarOut: boolean): string {
  const withK = makes !== "v", withV = makes !== "k";
  return `${directives(g)}
${PARAMS}
${scoreDeclarations(v, "vec4<f32>", SIDE)}
${seenTileDeclarations(v, SIDE)}
${rowsReader("q", v.kinds.q)}
${rowsReader("k", v.kinds.k)}
${withK ? rowsReader("v", v.kinds.v) : ""}
${rowsReader("dOut", v.kinds.dOut!)}
${declare("stats", "vec4<f32>")}
${withK ? rowsWriter("dk", scalarOut) : ""}
${withV ? rowsWriter("dv", scalarOut) : ""}
${(["q", "k", "dOut"] as const).map(rowFunction).join("\n")}
${withK ? `${rowFunction("v")}\n${rowFunction("dk")}` : ""}
${withV ? rowFunction("dv") : ""}
${keptMemory(v, g, SIDE)}
${tileMemory(g)}
${powerMemory(g, g.columns, true)}`;
}

/** lse and delta of this thread's query rows; rows past the end get the highest lse, so P = 0. */
function statistics(v: Variant, g: Geometry, withK: boolean): string {
  const withGain = withK && v.statistics;
  return each(g.jv, (n) =>
    `  let row_${n} = ${columnIndices(g, "r0", n)};
${wantsQueries(v) ? `  let head_${n} = ${headOf(`row_${n}`, v.grouped, "vec4<u32>")};` : ""}
  let query_${n} = ${queryOf(`row_${n}`, v.grouped, "vec4<u32>")};
  var lse_${n} = vec4<f32>(${EMPTY_LSE}); var low_sum_${n} = vec4<f32>(0.0); ${
      withK ? `var delta_${n} = vec4<f32>(0.0);` : ""
    } ${withGain ? `var gain_${n} = vec4<f32>(0.0);` : ""}
${
      each(4, (j) =>
        `  if (row_${n}[${j}] < end) { let x = stats[stats_base + row_${n}[${j}]]; lse_${n}[${j}] = x.x; low_sum_${n}[${j}] = x.z; ${
          withK ? `delta_${n}[${j}] = x.y;` : ""
        }${withGain ? ` gain_${n}[${j}] = ${gainAt(`stats_base + row_${n}[${j}]`)};` : ""} }`)
    }`);
}

/** P takes the place of S, dS that of dP. */
function probabilities(v: Variant, g: Geometry, withK: boolean): string {
  const keep = (name: string, value: string) =>
    `    ${name} = ${hidesPairs(v, true) ? `select(${value}, vec4<f32>(0.0), hide)` : value};`;
  const text = each(g.tm, (i) =>
    each(g.jv, (n) =>
      `  {
${
        scoreOfPairs(v, SIDE, `s${i}_${n}`, i, n, {
          slopes: withK,
          absent: `row_${n} >= vec4<u32>(end)`,
        })
      }
${keptPairs(v, g, SIDE, i, n)}
    let log2p = fma(s${i}_${n} - lse_${n}, vec4<f32>(${LOG2E}), -low_sum_${n});
    let p = exp2(log2p);
${keep(`s${i}_${n}`, `${weighed(v, "p")}${g.halves ? ` * undo_${n}` : ""}`)}
${
        withK
          ? keep(
            `dp${i}_${n}`,
            `p * (${weighed(v, `dp${i}_${n}`)} - delta_${n}${
              entropyTerm(v.statistics, "log2p", `gain_${n}`, "vec4<f32>")
            })${slopeFactor(v)}`,
          )
          : ""
      }
  }`));
  return `  // P = exp(features(S) - lse)${withK ? ", dS = P (dP - delta) slope" : ""}\n${text}`;
}

function band(v: Variant, g: Geometry, withK: boolean): string {
  return `  // hide pairs outside the band
  let first_query = i32(${queryOf("r0", v.grouped)});
  let last_query = i32(${queryOf(`(min(r0 + ${g.columns}u, end) - 1u)`, v.grouped)});
  if (${
    crossesBand({ first: "first_query", last: "last_query" }, {
      first: "i32(first)",
      last: "i32(last_key)",
    })
  }) {
${
    each(g.tm, (i) =>
      each(g.jv, (n) =>
        `    { let hide = ${outside(`query_${n}`, queriesOf(`key${i}`), "vec4<i32>")};
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

function setUp(v: Variant, g: Geometry, makes: Makes, widths: Widths): string {
  return `${READ_ITEM}
  let block = wid.z * ${v.blockChunks * g.c4}u;
  let stats_base = (batch * U.kv_heads + kv_head) * row_count;
${each(g.tm, (i) => `  let key${i} = first + ty * ${g.tm}u + ${i}u;`)}
${rowShares(g, v, SIDE)}
${makes === "v" ? "" : sumRegisters(g, "dk", widths.k * g.cc)}
${makes === "k" ? "" : sumRegisters(g, "dv", widths.v * g.cc)}
${scoreRegisters(g, "s")}
${makes === "v" ? "" : scoreRegisters(g, "dp")}
  let last_key = min(first + ${g.rows}u, limit) - 1u;`;
}

function finish(v: Variant, g: Geometry, makes: Makes, widths: Widths): string {
  const store = (name: "dk" | "dv", i: number, factor: string) =>
    each(
      widths[name === "dk" ? "k" : "v"] * g.cc,
      (c) =>
        `    store_${name}(at_${name}, block + tx + ${
          g.nx * c
        }u, select(vec4<f32>(0.0), ${name}${i}_${c}${factor}, real));`,
    );
  const withK = makes !== "v", withV = makes !== "k";
  return each(g.tm, (i) =>
    `  if (key${i} < U.length_k) {
    let real = key${i} < limit; // keys past the sequence's length have gradient 0
    ${withK ? `let at_dk = dk_row(batch, kv_head, key${i});` : ""}
    ${withV ? `let at_dv = dv_row(batch, kv_head, key${i});` : ""}
${withK ? store("dk", i, gradientFactor(v)) : ""}
${withV ? store("dv", i, "") : ""}
  }`);
}

/**
 * WGSL of a variant; with "kv" a workgroup makes whole rows, else `blockChunks` of the columns of its
 * operand. Dispatch (items, kv heads, blocks).
 */
export function dkvShader(v: Variant, makes: Makes, { scalarOut }: { scalarOut: boolean }): string {
  const g = geometry(v.tile), withK = makes !== "v", withV = makes !== "k";
  const ofK = makes === "kv" ? v.headChunks : v.blockChunks;
  const ofV = makes === "kv" ? v.valueChunks : v.blockChunks;
  const wholeK = ofK === v.headChunks, wholeV = ofV === v.valueChunks;
  const keys = (name: "k" | "v") => keySource(name, "first", "limit");
  const queries = (name: "q" | "dOut") => pairSource(name, "r0", "end", v.grouped, g.halves);
  const sums = (name: "dk" | "dv", p: string, source: Source, chunks: number, whole: boolean) =>
    products(g, name, p, source, { chunks, first: whole ? "0u" : "block", moved: true });
  const exists = (i: number, n: number) =>
    `(row_${n} < select(vec4<u32>(0u), vec4<u32>(end), key${i} < limit))`;
  const kept = keepTile(v, g, SIDE, {
    firstQuery: "r0",
    head: (row) => headOf(row, v.grouped),
    query: (row) => queryOf(row, v.grouped),
    firstKey: "first",
  });
  const body = `${kept}
${
    withK
      ? `  // dP^T = V dOut^T\n${dotProducts(g, "dp", keys("v"), queries("dOut"), v.valueChunks)}`
      : ""
  }
  // S^T = K Q^T
${dotProducts(g, "s", keys("k"), queries("q"), v.headChunks)}
${columnUndo(g)}
${withK ? undoColumns(g) : ""}
${probabilities(v, g, withK)}
${band(v, g, withK)}
${withK ? "  // dK += dS^T Q" : ""}
${withK ? sums("dk", "dp", queries("q"), ofK, wholeK) : ""}
${withV ? "  // dV += P^T dOut" : ""}
${withV ? sums("dv", "s", queries("dOut"), ofV, wholeV) : ""}`;
  return tidy(`${declarations(v, g, makes, scalarOut)}
@compute @workgroup_size(${g.threads})
fn main(${INPUTS}) {
${threadPlace(g)}
${setUp(v, g, makes, { k: ofK, v: ofV })}
  let staged_scale = ${stagedScale(v)};
  // last rows first: below a diagonal they have the smallest P, and sums that begin small round less
  for (var left = (end - begin + ${g.columns - 1}u) / ${g.columns}u; left > 0u; left--) {
${lastSeenTile(v, "left")}
  let r0 = begin + (left - 1u) * ${g.columns}u;
${statistics(v, g, withK)}
${columnPowers(g)}
${columnShares(g, v, SIDE)}
${skipUnseenTiles(g, v, SIDE, exists, "left - 1u", body)}
  }
  // dk = dK, dv = dV
${finish(v, g, makes, { k: ofK, v: ofV })}
}`);
}
