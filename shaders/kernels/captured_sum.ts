// Gradients of captured arrays: dS of each pair, times what the result of the function changes by with an element, is
// added to a sum for that element. Any pair may read any element, and floats have no atomics: so a workgroup, for a
// tile of query rows, has sums of its own for all elements, and each of its threads owns every threads-th of them.
//
//   sums of this item = 0                                      elements, in `slots`
//   for each tile of keys in begin .. end
//     dP = dOut Vᵀ, S = Q Kᵀ, P = exp(features(S) - lse)       rows x columns
//     dS = P (features(dP) - delta)                            before the slope of the function itself
//     for each pair of row and column vector of a thread, each place of the function that reads an array
//       everybody writes down the element and dS term
//       everybody adds up those that are his own               in the order of the threads: the same bits every time
//   a second kernel adds up the items, in their order
import { type Geometry, geometry } from "../abi.ts";
import { gradientOfPairs, gradientRows, IS_TOP } from "../features/pair_gradient.ts";
import { PARAMS } from "../features/params.ts";
import type { Side } from "../features/feature.ts";
import { keepTile, keptMemory } from "../features/probability.ts";
import {
  columnShares,
  hidesPairs,
  learnedBy,
  pairExists,
  rowShares,
  scoreDeclarations,
  stagedScale,
} from "../features/score.ts";
import { nextSeenTile, seenTileDeclarations, skipUnseenTiles } from "../features/seen_tiles.ts";
import { headOf, queryOf, rowFunction } from "../parts/address.ts";
import { declare } from "../parts/bindings.ts";
import { INPUTS, READ_ITEM } from "../parts/item.ts";
import { keySource, pairSource } from "../parts/sources.ts";
import { powerMemory, undoRows } from "../parts/powers.ts";
import { rowsReader } from "../parts/storage.ts";
import { each, tidy, XYZW } from "../parts/text.ts";
import { directives, threadPlace, tileMemory } from "../parts/stage.ts";
import { columnIndices, dotProducts, scoreRegisters } from "../parts/tile.ts";
import type { Variant } from "../parts/variant.ts";

const SIDE: Side = "rows are queries";

/** Threads whose notes one turn of the loop reads: software adapters end long loops, and compile long texts slowly. */
const UNROLLED = 4;

/**
 * Adds to the element that this thread was at, or moves on to another one: sums of a run are one addition. A run ends with
 * what the threads wrote down at a time: one sum of all pairs of an item would grow far past its result and round with it.
 */
const ADD = `const NOWHERE: u32 = 0xffffffffu;
var<private> element: u32 = NOWHERE;
var<private> sum: f32 = 0.0;
fn end_run(at: u32) {
  if (element != NOWHERE) { slots[at + element] += sum; }
  element = NOWHERE; sum = 0.0;
}
fn add_to(at: u32, place: u32, x: f32) {
  if (place != element) { end_run(at); element = place; }
  sum += x;
}`;

/** Adds up what all threads wrote down. */
function gather(g: Geometry): string {
  const one = (n: number) =>
    `    {
      let place = places[t + ${n}u]; let mine = ((place % vec4<u32>(${g.threads}u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + ${n}u];
${
      each(
        4,
        (c) => `        if (mine.${XYZW[c]}) { add_to(sums_at, place.${XYZW[c]}, x.${XYZW[c]}); }`,
      )
    }
      }
    }`;
  const turn = Math.min(UNROLLED, g.threads);
  return `    workgroupBarrier();
    for (var t = 0u; t < ${g.threads}u; t += ${turn}u) {
${each(turn, one)}
    }
    end_run(sums_at);
    workgroupBarrier();`;
}

/** The pairs (row i, column vector n). */
function pair(v: Variant, g: Geometry, terms: number, i: number, n: number): string {
  const hide = hidesPairs(v) ? "hide | " : "";
  return `  {
${gradientOfPairs(v, g, learnedBy(v)!.name, [i, n], { learned: true })}
    let none = ${hide}outside | vec4<bool>(row${i} >= row_count) | (ds == vec4<f32>(0.0));
${
    each(terms, (t) =>
      `    shares[li] = ds * learned_share${t};
    places[li] = select(bitcast<vec4<u32>>(learned_place${t}), vec4<u32>(NOWHERE), none);
${gather(g)}`)
  }
  }`;
}

function declarations(v: Variant, g: Geometry): string {
  return `${directives(g)}
${PARAMS}
${scoreDeclarations(v, "vec4<f32>")}
${seenTileDeclarations(v, SIDE)}
${(["q", "k", "v", "dOut"] as const).map((name) => rowsReader(name, v.kinds[name]!)).join("\n")}
${declare("stats", "vec4<f32>")}
${declare("slots", "f32", "read_write")}
${(["q", "k", "v", "dOut"] as const).map(rowFunction).join("\n")}
${IS_TOP}
${keptMemory(v, g, SIDE)}
${tileMemory(g)}
${powerMemory(g, g.rows)}
var<workgroup> shares: array<vec4<f32>, ${g.threads}>;
var<workgroup> places: array<vec4<u32>, ${g.threads}>;
${ADD}`;
}

/** WGSL of a variant. Dispatch (items, kv heads); U.count: elements; U.target_at: the item of slot 0. */
export function capturedSumShader(v: Variant): string {
  const g = geometry(v.tile), { terms } = learnedBy(v)!;
  const queries = (name: "q" | "dOut") =>
    pairSource(name, "first", "row_count", v.grouped, g.halves);
  const keys = (name: "k" | "v") => keySource(name, "k0", "end");
  const kept = keepTile(v, g, SIDE, {
    firstQuery: "first",
    head: (row) => headOf(row, v.grouped),
    query: (row) => queryOf(row, v.grouped),
    firstKey: "k0",
  });
  const body = `${kept}
  // dP = dOut V^T
${dotProducts(g, "dp", queries("dOut"), keys("v"), v.valueChunks)}
${undoRows(g)}
  // S = Q K^T
${dotProducts(g, "s", queries("q"), keys("k"), v.headChunks)}
  // sums += dS term
${each(g.tm, (i) => each(g.jv, (n) => pair(v, g, terms, i, n)))}`;
  return tidy(`${declarations(v, g)}
@compute @workgroup_size(${g.threads})
fn main(${INPUTS}) {
${threadPlace(g)}
${READ_ITEM}
  let stats_base = (batch * U.kv_heads + kv_head) * row_count;
  let sums_at = ((U.item_base + wid.x - U.target_at) * U.kv_heads + kv_head) * U.count;
  for (var e = li; e < U.count; e += ${g.threads}u) { slots[sums_at + e] = 0.0; }
${gradientRows(v, g)}
${rowShares(g, v, SIDE)}
${scoreRegisters(g, "s")}
${scoreRegisters(g, "dp")}
  let staged_scale = ${stagedScale(v)};
  for (var k0 = begin; k0 < end; k0 += ${g.columns}u) {
${nextSeenTile(v, "k0", g)}
${each(g.jv, (n) => `  let key_${n} = ${columnIndices(g, "k0", n)};`)}
${columnShares(g, v, SIDE)}
${skipUnseenTiles(g, v, SIDE, pairExists, `(k0 - begin) / ${g.columns}u`, body)}
  }
}`);
}

const SUM_THREADS = 64;

/** WGSL of the sums over all slots: U.num_splits of them. Dispatch (elements / 64). */
export function slotSumShader(): string {
  return tidy(`${PARAMS}
${declare("slots", "f32")}
${declare("dCaptured", "f32", "read_write")}
@compute @workgroup_size(${SUM_THREADS})
fn main(${INPUTS}) {
  let e = (U.item_base + wid.x) * ${SUM_THREADS}u + li;
  if (e >= U.count) { return; }
  var sum = 0.0;
  for (var slot = 0u; slot < U.num_splits; slot++) { sum += slots[slot * U.count + e]; }
  let at = U.dcaptured_at + e;
  if (U.accumulate > 0u) { dcaptured[at] += sum; } else { dcaptured[at] = sum; }
}`);
}

/** Workgroups of that. */
export function slotSumGroups(elements: number): number {
  return Math.ceil(elements / SUM_THREADS);
}
