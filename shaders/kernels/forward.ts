// Forward: softmax(q kᵀ) v, one workgroup for a tile of query rows (FlashAttention-2, algorithm 1).
//
//   m = FLOOR, l = 0, O = 0                                    rows x 1, rows x 1, rows x block
//   for each tile of keys in begin .. end
//     S = Q Kᵀ                      chunk by chunk             rows x columns, in registers
//     S = features(S), hidden pairs at HIDDEN
//     m' = max(m, rowmax S), P = exp(S - m'), l = l exp(m - m') + rowsum P, O = O exp(m - m')
//     O += P V                      chunk by chunk
//   out = O / l, lse = m + ln l
//
// Row sums stay with their threads and are added up once at the end.
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
import { each, LN2, LOG2E, tidy } from "../parts/text.ts";
import { type Geometry, geometry } from "../abi.ts";
import {
  columnIndices,
  dotProducts,
  products,
  scoreRegisters,
  type Source,
  stageResident,
  sumRegisters,
  threadPlace,
  tileMemory,
} from "../parts/tile.ts";
import { columns4, type Variant } from "../parts/variant.ts";

/** How results are stored: element by element where value columns do not come in fours. */
export interface ForwardOptions {
  readonly scalarOut: boolean;
}

function declarations(v: Variant, g: Geometry, { scalarOut }: ForwardOptions): string {
  return [
    PARAMS,
    scoreDeclarations(v, { tables: 1, bias: 7 }),
    rowsReader(2, "q", v.kinds.q, "U.head_dim"),
    rowsReader(3, "k", v.kinds.k, "U.head_dim"),
    rowsReader(4, "v", v.kinds.v, "U.value_dim"),
    rowsWriter(5, "out", scalarOut, "U.value_dim"),
    declare(6, "lse", "f32", "read_write"),
    ...["q", "k", "v", "out", "lse"].map((name) => rowFunction(name as "q")),
    v.bias ? rowFunction("bias") : "",
    v.mask ? rowFunction("mask") : "",
    tileMemory(g, v.headChunks),
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
  var m${i} = FLOOR; var l${i} = 0.0;`)
  }
${rowShares(g, v, "rows are queries")}
${sumRegisters(g, "o", oc)}
${scoreRegisters(g, "s")}
${queriesOfTile(g, v)}`;
}

function softmax(v: Variant, g: Geometry): string {
  const largest = (i: number) =>
    Array.from(
      { length: g.jv },
      (_, n) => `max(max(s${i}_${n}.x, s${i}_${n}.y), max(s${i}_${n}.z, s${i}_${n}.w))`,
    )
      .reduce((all, next) => `max(${all}, ${next})`, `m${i}`);
  return `${each(g.tm, (i) => `  rm[ty][${i}][tx] = ${largest(i)};`)}
  workgroupBarrier(); // the chunks of Q and K are free as well
${each(g.tm, (i) => `  var n${i} = m${i};`)}
${each(g.nx, (x) => each(g.tm, (i) => `  n${i} = max(n${i}, rm[ty][${i}][${x}]);`))}
${
    each(g.tm, (i) =>
      `  { let a = exp2((m${i} - n${i}) * ${LOG2E}); m${i} = n${i}; l${i} *= a;
${
        each(g.jv, (n) =>
          `    s${i}_${n} = exp2((s${i}_${n} - vec4<f32>(n${i})) * ${LOG2E}); l${i} += (s${i}_${n}.x + s${i}_${n}.y) + (s${i}_${n}.z + s${i}_${n}.w);`)
      }
${
        each(v.blockChunks * g.cc, (c) => `    o${i}_${c} *= a;`)
      }
  }`)
  }`;
}

function finish(v: Variant, g: Geometry): string {
  return `  workgroupBarrier();
${each(g.tm, (i) => `  rm[ty][${i}][tx] = l${i};`)}
  workgroupBarrier();
${
    each(g.tm, (i) =>
      `  if (row${i} < row_count) {
    var l = 0.0;
${each(g.nx, (x) => `    l += rm[ty][${i}][${x}];`)}
    let inverse = select(1.0 / l, 0.0, l == 0.0);
    let at = out_row(batch, head${i}, query${i}) + slot * U.part_rows * U.value_dim;
${
        each(v.blockChunks * g.cc, (c) =>
          `    store_out(at, block + tx + ${g.nx * c}u, o${i}_${c} * inverse);`)
      }
    if (tx == 0u && wid.z == 0u) {
      lse[lse_row(batch, head${i}, query${i}) + slot * U.part_rows] = select(m${i} + log2(l) * ${LN2}, U.neg_inf, l == 0.0);
    }
  }`)
  }`;
}

/** WGSL of a variant. Dispatch (items, kv heads, blocks of value columns). */
export function forwardShader(v: Variant, options: ForwardOptions): string {
  const g = geometry(v.tile);
  const rows: Source = {
    name: "q",
    first: "first",
    limit: "row_count",
    row: (r) => rowAddress("q", r, v.grouped),
    columns4: columns4("head_dim"),
    factor: "staged_scale",
  };
  const keys = (name: "k" | "v"): Source => ({
    name,
    first: "k0",
    limit: "end",
    row: (r) => `${name}_row(batch, kv_head, ${r})`,
    columns4: name === "k" ? columns4("head_dim") : columns4("value_dim"),
  });
  const body = `${dotProducts(g, "s", rows, keys("k"), v.headChunks)}
${
    each(g.tm, (i) =>
      each(g.jv, (n) =>
        v.softcap || hidesPairs(v)
          ? `  {\n${scoreOfPairs(v, `s${i}_${n}`, i, n)}
${hidesPairs(v) ? `    s${i}_${n} = select(s${i}_${n}, vec4<f32>(HIDDEN), hide);` : ""}\n  }`
          : ""))
  }
${hideOutsideBand(g, "s", "HIDDEN")}
${softmax(v, g)}
${products(g, "o", "s", keys("v"), { chunks: v.blockChunks, first: "block" })}`;
  return tidy(`${declarations(v, g, options)}
@compute @workgroup_size(${g.threads})
fn main(${INPUTS}) {
${threadPlace(g)}
${setUp(v, g)}
  let staged_scale = ${stagedScale(v)};
${stageResident(g, rows, v.headChunks)}
  for (var k0 = begin; k0 < end; k0 += ${g.columns}u) {
${each(g.jv, (n) => `  let key_${n} = ${columnIndices(g, "k0", n)};`)}
${columnShares(g, v, "rows are queries")}
${maskTile(g, v, pairExists, body)}
  }
${finish(v, g)}
}`);
}
