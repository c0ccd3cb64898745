// Row states: the softmax state of rows whose lse is so large that its rounding in f32 would change their weights.
// It comes from the very scores that the gradient kernels make. Tiles without such a row end at once.
//
//   stats[row] = (m, delta, log2 l, lse)       P = exp2((S - m) log2 e - log2 l)
//
//   for each tile of keys in begin .. end
//     S = features(Q Kᵀ), hidden pairs at -infinity           rows x columns
//     m' = max(m, rowmax S), l = l exp(m - m') + rowsum exp(S - m')
//
// The lse that was given may be that of more keys (attention in parts): then log2 l is what makes it that.
import { geometry } from "../abi.ts";
import type { Side } from "../features/feature.ts";
import { PARAMS } from "../features/params.ts";
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
import { logitsOf } from "../features/state.ts";
import { headOf, queryOf, rowFunctions } from "../parts/address.ts";
import { declare } from "../parts/bindings.ts";
import { FLOAT_CLASSES } from "../parts/floats.ts";
import { INPUTS, READ_ITEM } from "../parts/item.ts";
import { keySource, pairSource } from "../parts/sources.ts";
import { rowsReader } from "../parts/storage.ts";
import { each, LARGE, LN2, LOG2E, LOWEST, tidy } from "../parts/text.ts";
import { softmaxOfTile } from "../parts/softmax.ts";
import { directives, threadPlace, tileMemory } from "../parts/stage.ts";
import { columnIndices, dotProducts, scoreRegisters } from "../parts/tile.ts";
import type { Variant } from "../parts/variant.ts";

const SIDE: Side = "rows are queries";
const HIDDEN = "U.neg_inf";

/** WGSL of a variant. Dispatch (items, kv heads). */
export function rowStateShader(v: Variant): string {
  const g = geometry(v.tile);
  const body = `  // S = Q K^T
${
    dotProducts(
      g,
      "s",
      pairSource("q", "first", "row_count", v.grouped),
      keySource("k", "k0", "end"),
      v.headChunks,
    )
  }
${actsOnPairs(v) ? scoresOfTile(v, g, HIDDEN) : ""}
${hideOutsideBand(g, "s", HIDDEN)}
${softmaxOfTile(g, 0)}`;
  // what joins the row without a pair
  const joins = (i: number) =>
    logitsOf(v, `head${i}`, "0u").map((logit) =>
      `    { let s = ${logit}; if (!is_minus_infinity(s)) {
      let top = max(m${i}, s); l = l * exp2((m${i} - top) * ${LOG2E}) + exp2((s - top) * ${LOG2E}); m${i} = top;
    } }`
    ).join("\n");
  return tidy(`${directives(g)}\n${PARAMS}
${scoreDeclarations(v, "vec4<f32>")}
${seenTileDeclarations(v, SIDE)}
${rowsReader("q", v.kinds.q)}
${rowsReader("k", v.kinds.k)}
${declare("stats", "vec4<f32>", "read_write")}
${rowFunctions(["q", "k"], v.kinds)}
${FLOAT_CLASSES}
${tileMemory(g)}
var<workgroup> rm: array<array<array<f32, ${g.nx + 1}>, ${g.tm}>, ${g.ny}>;
var<workgroup> large: atomic<u32>;
var<workgroup> any_large: u32;
fn is_large(lse: f32) -> bool { return is_finite(lse) && abs(lse) > ${LARGE}; }
@compute @workgroup_size(${g.threads})
fn main(${INPUTS}) {
${threadPlace(g)}
${READ_ITEM}
  let stats_base = (batch * U.kv_heads + kv_head) * row_count;
  if (li < ${g.rows}u && first + li < row_count && is_large(stats[stats_base + first + li].w)) {
    atomicOr(&large, 1u);
  }
  workgroupBarrier();
  if (li == 0u) { any_large = atomicLoad(&large); }
  if (workgroupUniformLoad(&any_large) == 0u) { return; }
${
    each(g.tm, (i) =>
      `  let row${i} = first + ty * ${g.tm}u + ${i}u; let query${i} = ${
        queryOf(`row${i}`, v.grouped)
      };
  let head${i} = ${headOf(`row${i}`, v.grouped)};
  var m${i} = ${LOWEST}; var l${i} = 0.0;`)
  }
${rowShares(g, v, SIDE)}
${scoreRegisters(g, "s")}
${queriesOfTile(g, v)}
  let staged_scale = ${stagedScale(v)};
  for (var k0 = begin; k0 < end; k0 += ${g.columns}u) {
${nextSeenTile(v, "k0", g)}
${each(g.jv, (n) => `  let key_${n} = ${columnIndices(g, "k0", n)};`)}
${columnShares(g, v, SIDE)}
${skipUnseenTiles(g, v, SIDE, pairExists, `(k0 - begin) / ${g.columns}u`, body)}
  }
  workgroupBarrier();
${each(g.tm, (i) => `  rm[ty][${i}][tx] = l${i};`)}
  workgroupBarrier();
${
    each(g.tm, (i) =>
      `  if (row${i} < row_count && tx == 0u) {
    let at = stats_base + row${i}; let x = stats[at]; var l = 0.0;
${each(g.nx, (t) => `    l += rm[ty][${i}][${t}];`)}
${joins(i)}
    let own = abs(m${i} + log2(l) * ${LN2} - x.w) <= 5e-7 * abs(x.w);
    if (is_large(x.w) && l > 0.0) {
      stats[at] = vec4<f32>(m${i}, x.y, select((x.w - m${i}) * ${LOG2E}, log2(l), own), x.w);
    }
  }`)
  }
}`);
}
