// Forward: softmax(q kᵀ) v, one workgroup for a tile of query rows (FlashAttention-2, algorithm 1).
//
//   m = FLOOR, l = 0, O = 0                                    rows x 1, rows x 1, rows x block
//   for each tile of keys in begin .. end
//     S = Q Kᵀ                      chunk by chunk             rows x columns, in registers
//     S = features(S), hidden pairs at HIDDEN
//     m' = max(m, rowmax S), P = exp(S - m'), l = l exp(m - m') + rowsum P, O = O exp(m - m')
//     statistics: their sums move like l
//     P = features(P)
//     O += P V                      chunk by chunk
//   out = O / l, lse = m + ln l
//
// Row sums stay with their threads and are added up once at the end.
import { type Geometry, geometry } from "../abi.ts";
import type { Side } from "../features/feature.ts";
import { PARAMS } from "../features/params.ts";
import { dropsPairs, keepTile, keptMemory, keptPairs, weighed } from "../features/probability.ts";
import {
  actsOnPairs,
  columnShares,
  hideOutsideBand,
  pairExists,
  queriesOfTile,
  rowShares,
  scoreDeclarations,
  scoresOfTile,
  stagedScale,
} from "../features/score.ts";
import { nextSeenTile, seenTileDeclarations, skipUnseenTiles } from "../features/seen_tiles.ts";
import { startState } from "../features/state.ts";
import { headOf, queryOf, rowFunctions } from "../parts/address.ts";
import { declare } from "../parts/bindings.ts";
import { INPUTS, READ_ITEM } from "../parts/item.ts";
import { keySource, pairSource } from "../parts/sources.ts";
import { rowsReader, rowsWriter } from "../parts/storage.ts";
import { statisticDeclarations, statisticRegisters, SUMS } from "../parts/statistics.ts";
import { each, LN2, tidy } from "../parts/text.ts";
import { softmaxOfTile } from "../parts/softmax.ts";
import { directives, stageResident, threadPlace, tileMemory } from "../parts/stage.ts";
import {
  columnIndices,
  dotProducts,
  products,
  scoreRegisters,
  sumRegisters,
} from "../parts/tile.ts";
import type { Variant } from "../parts/variant.ts";

const SIDE: Side = "rows are queries";

/** How results are stored: element by element where value columns do not come in fours. */
export interface ForwardOptions {
  readonly scalarOut: boolean;
}

function declarations(v: Variant, g: Geometry, { scalarOut }: ForwardOptions): string {
  return [
    PARAMS,
    scoreDeclarations(v, "vec4<f32>"),
    seenTileDeclarations(v, SIDE),
    rowsReader("q", v.kinds.q),
    rowsReader("k", v.kinds.k),
    rowsReader("v", v.kinds.v),
    rowsWriter("out", scalarOut),
    declare("lse", "f32", "read_write"),
    rowFunctions(["q", "k", "v", "out", "lse"], v.kinds),
    tileMemory(g, v.headChunks),
    keptMemory(v, g, SIDE),
    v.statistics ? statisticDeclarations() : "",
    `var<workgroup> rm: array<array<array<f32, ${g.nx + 1}>, ${g.tm}>, ${g.ny}>;`,
  ].join("\n");
}

/** Rows of this thread and where its accumulators start. */
function setUp(v: Variant, g: Geometry): string {
  const oc = v.blockChunks * g.cc;
  return `${READ_ITEM}
  let block = wid.z * ${v.blockChunks * g.c4}u;
${
    each(g.tm, (i) =>
      `  let row${i} = first + ty * ${g.tm}u + ${i}u; let query${i} = ${
        queryOf(`row${i}`, v.grouped)
      };
  let head${i} = ${headOf(`row${i}`, v.grouped)};
  var m${i} = FLOOR; var l${i} = 0.0;
${v.statistics ? `  ${statisticRegisters(i)}` : ""}
${startState(v, { m: `m${i}`, l: `l${i}`, head: `head${i}`, split: "slot", holds: "tx == 0u" })}`)
  }
${rowShares(g, v, SIDE)}
${sumRegisters(g, "o", oc)}
${scoreRegisters(g, "s")}
${queriesOfTile(g, v)}`;
}

/** P on its way to v. */
function probabilities(v: Variant, g: Geometry): string {
  if (!dropsPairs(v)) return "";
  return `  // P = features(P)
${
    each(g.tm, (i) =>
      each(g.jv, (n) =>
        `  {\n${keptPairs(v, g, SIDE, i, n)}\n    s${i}_${n} = ${weighed(v, `s${i}_${n}`)};\n  }`))
  }`;
}

function finish(v: Variant, g: Geometry): string {
  return `  // out = O / l, lse = m + ln l; a row's sum lies with its threads
  workgroupBarrier();
${each(g.tm, (i) => `  rm[ty][${i}][tx] = l${i};`)}
  workgroupBarrier();
${v.statistics ? each(g.tm, (i) => `  var l_${i} = 0.0;`) : ""}
${
    each(g.tm, (i) =>
      `  if (row${i} < row_count) {
    var l = 0.0;
${each(g.nx, (x) => `    l += rm[ty][${i}][${x}];`)}
    let inverse = select(1.0 / l, 0.0, l == 0.0);
    let at = out_row(batch, head${i}, query${i}) + slot * U.split_rows * U.value_dim;
${
        each(v.blockChunks * g.cc, (c) =>
          `    store_out(at, block + tx + ${g.nx * c}u, o${i}_${c} * inverse);`)
      }
    ${v.statistics ? `l_${i} = l;` : ""}
    if (tx == 0u && wid.z == 0u) {
      lse[lse_row(batch, head${i}, query${i}) + slot * U.split_rows] = select(m${i} + log2(l) * ${LN2}, U.neg_inf, l == 0.0);
    }
  }`)
  }
${v.statistics ? statistics(g) : ""}`;
}

/** Adds up the sums of statistics, which lie with the threads of a row like l. */
function statistics(g: Geometry): string {
  const sums = SUMS.map((sum) => {
    const join = (i: number, x: number) =>
      sum === "top"
        ? `  all_top${i} = max(all_top${i}, rm[ty][${i}][${x}]);`
        : `  all_${sum}${i} += rm[ty][${i}][${x}];`;
    return `  workgroupBarrier();
${each(g.tm, (i) => `  rm[ty][${i}][tx] = ${sum}${i}; var all_${sum}${i} = 0.0;`)}
  workgroupBarrier();
${each(g.tm, (i) => each(g.nx, (x) => join(i, x)))}`;
  });
  return `  // entropy, largest probability, expected key
${sums.join("\n")}
${
    each(g.tm, (i) =>
      `  if (row${i} < row_count && tx == 0u && wid.z == 0u) {
    let pj = fma(f32(U.key_begin), all_pairs${i}, all_pj${i}); // keys count in the whole sequence
    row_statistics[lse_row(batch, head${i}, query${i}) + slot * U.split_rows] =
      row_of(all_ps${i}, all_top${i}, pj, all_pairs${i}, l_${i});
  }`)
  }`;
}

/** WGSL of a variant. Dispatch (items, kv heads, blocks of value columns). */
export function forwardShader(v: Variant, options: ForwardOptions): string {
  const g = geometry(v.tile);
  const rows = pairSource("q", "first", "row_count", v.grouped);
  const keys = (name: "k" | "v") => keySource(name, "k0", "end");
  const kept = keepTile(v, g, SIDE, {
    firstQuery: "first",
    head: (row) => headOf(row, v.grouped),
    query: (row) => queryOf(row, v.grouped),
    firstKey: "k0",
  });
  const body = `${kept}
  // S = Q K^T
${dotProducts(g, "s", rows, keys("k"), v.headChunks)}
${actsOnPairs(v) ? scoresOfTile(v, g, "HIDDEN") : ""}
${hideOutsideBand(g, "s", "HIDDEN")}
${softmaxOfTile(g, v.blockChunks * g.cc, v.statistics)}
${probabilities(v, g)}
  // O += P V
${products(g, "o", "s", keys("v"), { chunks: v.blockChunks, first: "block" })}`;
  return tidy(`${directives(g)}
${declarations(v, g, options)}
@compute @workgroup_size(${g.threads})
fn main(${INPUTS}) {
${threadPlace(g)}
${setUp(v, g)}
  let staged_scale = ${stagedScale(v)};
${g.resident ? "  // Q stays" : ""}
${stageResident(g, rows, v.headChunks)}
  for (var k0 = begin; k0 < end; k0 += ${g.columns}u) {
${nextSeenTile(v, "k0", g)}
${each(g.jv, (n) => `  let key_${n} = ${columnIndices(g, "k0", n)};`)}
${columnShares(g, v, SIDE)}
${skipUnseenTiles(g, v, SIDE, pairExists, `(k0 - begin) / ${g.columns}u`, body)}
  }
${finish(v, g)}
}`);
}
