// Pair sums: the gradient of an operand that changes scores, as a sum over all pairs that read an element of it. One
// workgroup for a tile of the operand; everything is summed in a fixed order.
//
//   acc = 0                                                    rows x columns, in registers
//   for each sequence, head, tile of queries and of keys that this tile of the operand reaches
//     dP = dOut Vᵀ, S = Q Kᵀ, P = exp(features(S) - lse)       rows x columns
//     acc += term(P (features(dP) - delta) slope)                        slope: of the features that come later
//   sum acc over the rows and columns that the operand repeats
//
// Of an operand that follows heads the sum over columns is left in `row_sums`, [batch][head][query], for row_sum.ts.
//
// Pairs are summed one by one, never through a product, so what hidden pairs hold cannot get in.
import type { FeatureName } from "../../src/problem/features/feature.ts";
import { follows, shaderName } from "../../src/tensor/operands.ts";
import { type Geometry, geometry } from "../abi.ts";
import type { ShaderFeature, Side } from "../features/feature.ts";
import { gradientOfPairs, IS_TOP } from "../features/pair_gradient.ts";
import { PARAMS } from "../features/params.ts";
import { keepTile, keptMemory } from "../features/probability.ts";
import {
  columnShares,
  hidesPairs,
  pairsAt,
  rowShares,
  scoreDeclarations,
  seenPairs,
  stagedScale,
} from "../features/score.ts";
import { activeFeatures } from "../features/table.ts";
import { rowAt, rowFunction } from "../parts/address.ts";
import { missesBand } from "../parts/band.ts";
import { declare } from "../parts/bindings.ts";
import { READ_SEQUENCE } from "../parts/item.ts";
import { keySource, querySource } from "../parts/sources.ts";
import { powerMemory, rowPower, undoRows } from "../parts/powers.ts";
import { rowsReader } from "../parts/storage.ts";
import { gainAt } from "../parts/statistics.ts";
import { each, EMPTY_LSE, tidy } from "../parts/text.ts";
import { directives, threadPlace, tileMemory } from "../parts/stage.ts";
import { columnIndices, dotProducts, scoreRegisters } from "../parts/tile.ts";
import type { Variant } from "../parts/variant.ts";

const SIDE: Side = "rows are queries";

/** Which axes the operand repeats. */
export interface Broadcast {
  readonly batch: boolean;
  readonly head: boolean;
  readonly row: boolean;
  readonly column: boolean;
}

type Gradient = NonNullable<ShaderFeature["gradient"]>;

/** Stores the sum of a cell. */
function store(
  g: Geometry,
  { operand }: Gradient,
  { row, column }: Broadcast,
  [i, j]: readonly [number, number],
  value: string,
): string {
  const name = shaderName(operand);
  const r = row ? "0u" : `(i_tile + ty * ${g.tm}u + ${i}u)`;
  const c = column ? "0u" : `(j_tile + tx + ${g.nx * j}u)`;
  const inside = [!row && `${r} < U.length_q`, !column && `${c} < U.length_k`].filter(Boolean);
  const at = rowAt(operand, { batch: "sum_batch", head: "sum_head", query: r });
  const write = follows(operand) === "heads"
    ? `{ row_sums[(sum_batch * U.kv_heads * U.group + sum_head) * U.length_q + ${r}] = ${value}; }`
    : `{ let at = ${at} + ${c}; if (U.accumulate > 0u) { ${name}[at] += ${value}; } else { ${name}[at] = ${value}; } }`;
  return inside.length ? `  if (${inside.join(" && ")}) ${write}` : `  ${write}`;
}

/** Sums over the axes that the operand repeats, and stores. */
function finish(g: Geometry, gradient: Gradient, broadcast: Broadcast): string {
  const { row, column } = broadcast;
  const cell = (i: number, n: number, j: number) => `acc${i}_${n}[${j}]`;
  const rows = row ? 1 : g.tm, columns = column ? 1 : g.tn;
  // this thread's own share first: in registers
  const share = (i: number, j: number) => {
    const is = row ? Array.from({ length: g.tm }, (_, x) => x) : [i];
    const js = column ? Array.from({ length: g.tn }, (_, x) => x) : [j];
    return is.flatMap((x) => js.map((y) => cell(x, y >> 2, y & 3))).join(" + ");
  };
  if (!row && !column) {
    return each(
      rows,
      (i) => each(columns, (j) => store(g, gradient, broadcast, [i, j], share(i, j))),
    );
  }
  // then over the threads that hold the same element
  const others = row && column
    ? each(g.threads, (t) => `    x += shares[${t}];`)
    : row
    ? each(g.ny, (y) => `    x += shares[${y * g.nx}u + tx];`)
    : each(g.nx, (x) => `    x += shares[ty * ${g.nx}u + ${x}u];`);
  const first = [row && "ty == 0u", column && "tx == 0u"].filter(Boolean).join(" && ");
  return each(rows * columns, (n) => {
    const i = Math.floor(n / columns), j = n % columns;
    return `  workgroupBarrier();
  shares[li] = ${share(i, j)};
  workgroupBarrier();
  if (${first}) {
    var x = 0.0;
${others}
  ${store(g, gradient, broadcast, [i, j], "x")}
  }`;
  });
}

/** acc += term of the pairs (row i, column vector n). */
function pair(v: Variant, g: Geometry, of: ShaderFeature, i: number, n: number): string {
  const at = pairsAt(of, SIDE, i, n), hide = hidesPairs(v) ? "hide | " : "";
  return `  {
${gradientOfPairs(v, g, of.name, [i, n], { seen: seenPairs(v, SIDE, i, n) })}
    acc${i}_${n} += select(${
    of.gradient!.pair!("ds", at)
  }, vec4<f32>(0.0), ${hide}outside | vec4<bool>(query${i} >= U.length_q));
  }`;
}

function declarations(v: Variant, g: Geometry, { operand }: Gradient): string {
  return `${directives(g)}
${PARAMS}
${scoreDeclarations(v, "vec4<f32>")}
${rowsReader("q", v.kinds.q)}
${rowsReader("k", v.kinds.k)}
${rowsReader("v", v.kinds.v)}
${rowsReader("dOut", v.kinds.dOut!)}
${declare("stats", "vec4<f32>")}
${declare(follows(operand) === "heads" ? "rowSums" : operand, "f32", "read_write")}
${(["q", "k", "v", "dOut"] as const).map(rowFunction).join("\n")}
${IS_TOP}
${keptMemory(v, g, SIDE)}
${tileMemory(g)}
${powerMemory(g, g.rows)}
var<workgroup> shares: array<f32, ${g.threads}>;`;
}

/** dP, S and the terms of a tile of queries (i0 ..) and keys (j0 ..). */
function tile(v: Variant, g: Geometry, of: ShaderFeature): string {
  const row = (name: "q" | "dOut") => (r: string) => `${shaderName(name)}_row(batch, head, ${r})`;
  const rows = (name: "q" | "dOut") => querySource(name, "i0", "U.length_q", row(name), g.halves);
  const keys = (name: "k" | "v") => keySource(name, "j0", "end");
  return `${each(g.jv, (n) => `  let key_${n} = ${columnIndices(g, "j0", n)};`)}
${columnShares(g, v, SIDE)}
${
    keepTile(v, g, SIDE, {
      firstQuery: "i0",
      head: () => "head",
      query: (row) => row,
      firstKey: "j0",
    })
  }
  // dP = dOut V^T
${dotProducts(g, "dp", rows("dOut"), keys("v"), v.valueChunks)}
${undoRows(g)}
  // S = Q K^T
${dotProducts(g, "s", rows("q"), keys("k"), v.headChunks)}
  // acc += term(P (dP - delta))
${each(g.tm, (i) => each(g.jv, (n) => pair(v, g, of, i, n)))}`;
}

/** WGSL of a variant. Dispatch (tiles of rows x columns of the operand, its heads, its batches). */
export function pairSumShader(v: Variant, name: FeatureName, broadcast: Broadcast): string {
  const g = geometry(v.tile), of = activeFeatures(v).find((feature) => feature.name === name)!;
  const { batch, head, row, column } = broadcast;
  const misses = missesBand({ first: "i32(i0)", last: "last_query" }, {
    first: "i32(j0)",
    last: `i32(j0) + ${g.columns - 1}`,
  });
  return tidy(`${declarations(v, g, of.gradient!)}
@compute @workgroup_size(${g.threads})
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
${threadPlace(g)}
  let sum_head = wid.y; let sum_batch = wid.z; let tile = U.item_base + wid.x;
  let j_tiles = ${column ? "1u" : `(U.length_k + ${g.columns - 1}u) / ${g.columns}u`};
  let i_tile = (tile / j_tiles) * ${g.rows}u; let j_tile = (tile % j_tiles) * ${g.columns}u;
  let staged_scale = ${stagedScale(v)};
${scoreRegisters(g, "s")}
${scoreRegisters(g, "dp")}
${scoreRegisters(g, "acc")}
  for (var batch = ${batch ? "0u" : "sum_batch"}; batch < ${
    batch ? "U.batch" : "sum_batch + 1u"
  }; batch++) {
${READ_SEQUENCE}
  let end = min(limit, U.length_k);
  for (var head = ${head ? "0u" : "sum_head"}; head < ${
    head ? "U.kv_heads * U.group" : "sum_head + 1u"
  }; head++) {
  let kv_head = head / U.group;
  let stats_base = (batch * U.kv_heads + kv_head) * U.length_q * U.group + head % U.group;
  for (var i0 = i_tile; i0 < ${
    row ? "U.length_q" : "min(i_tile + 1u, U.length_q)"
  }; i0 += ${g.rows}u) {
${
    each(g.tm, (i) =>
      `  let query${i} = i0 + ty * ${g.tm}u + ${i}u; let head${i} = head; var lse${i} = ${EMPTY_LSE}; var delta${i} = 0.0; var low_sum${i} = 0.0;
  if (query${i} < U.length_q) { let x = stats[stats_base + query${i} * U.group]; lse${i} = x.x; delta${i} = x.y; low_sum${i} = x.z; }
${rowPower(g, i, `query${i} < U.length_q`, `stats_base + query${i} * U.group`)}${
        v.statistics
          ? `
  var gain${i} = 0.0; if (query${i} < U.length_q) { gain${i} = ${
            gainAt(`stats_base + query${i} * U.group`)
          }; }`
          : ""
      }`)
  }
${rowShares(g, v, SIDE)}
  let last_query = i32(min(i0 + ${g.rows}u, U.length_q)) - 1;
  for (var j0 = j_tile; j0 < ${column ? "end" : "min(j_tile + 1u, end)"}; j0 += ${g.columns}u) {
  // tiles that the band does not touch are skipped
  if (!(${misses})) {
${tile(v, g, of)}
  }
  }
  }
  }
  }
  // sum over what repeats
${finish(g, of.gradient!, broadcast)}
}`);
}
