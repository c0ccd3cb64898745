// The largest scores of rows and their keys. One workgroup for a tile of queries of one head, which streams the keys; a
// thread for each row offers the scores of a tile to the row's heap, whose root is the least.
//
//   for each tile of keys
//     S = features(Q K^T), into workgroup memory              rows x columns, as integers of the same order
//     where S is above the root of its row: it takes its place
//   in the end, by another kernel: the heaps in their order, P = exp(S - lse)
//
// Heaps lie where the results will be: keys, and in place of probabilities the scores as integers. Regions of keys follow
// each other on the same heaps.
import { geometry } from "../abi.ts";
import { PARAMS } from "../features/params.ts";
import { rowAt } from "../parts/address.ts";
import { declare } from "../parts/bindings.ts";
import { NOT_A_NUMBER } from "../parts/floats.ts";
import { ORDERED } from "../parts/ordered.ts";
import { each, LOG2E, tidy, XYZW } from "../parts/text.ts";
import type { Variant } from "../parts/variant.ts";
import {
  inBand,
  insideDeclarations,
  keysOfTile,
  pairsOfTile,
  rowsOfTile,
  setUp,
  statsAt,
} from "./inside.ts";

/** Rows of a workgroup that sorts. */
export const SORT_ROWS = 64;

/** The heap of a row: `keys` and `places` are where its words begin. Of equal scores the lower key is the larger. */
const HEAP = `${declare("topKeys", "i32", "read_write")}
${declare("topProbabilities", "i32", "read_write")}
// minus infinity, below which no score is
const NONE: i32 = -2139095041;
fn less(a: i32, a_key: i32, b: i32, b_key: i32) -> bool { return a < b || (a == b && a_key > b_key); }
fn sift(keys: u32, places: u32, n: u32, score: i32, key: i32) {
  var at = 0u;
  for (var child = 1u; child < n; child = 2u * at + 1u) {
    var least = child; var x = top_probabilities[places + child]; var x_key = top_keys[keys + child];
    if (child + 1u < n) {
      let y = top_probabilities[places + child + 1u]; let y_key = top_keys[keys + child + 1u];
      if (less(y, y_key, x, x_key)) { least = child + 1u; x = y; x_key = y_key; }
    }
    if (!less(x, x_key, score, key)) { break; }
    top_probabilities[places + at] = x; top_keys[keys + at] = x_key; at = least;
  }
  top_probabilities[places + at] = score; top_keys[keys + at] = key;
}`;

const heapOf = (query: string) => {
  const at = { batch: "batch", head: "head", query };
  return `let keys = ${rowAt("topKeys", at)}; let places = ${rowAt("topProbabilities", at)};`;
};

/** WGSL of the search. Dispatch (tiles of rows, heads, sequences). */
export function topKeysShader(v: Variant): string {
  const g = geometry(v.tile);
  const use = (i: number, n: number) =>
    `    let x = select(ordered(s${i}_${n}), vec4<i32>(NONE), hidden);
${each(4, (c) => `    found[ty * ${g.tm}u + ${i}u][tx + ${g.nx * (4 * n + c)}u] = x.${XYZW[c]};`)}`;
  const offer = `  workgroupBarrier();
  if (own) {
    var root = top_probabilities[places];
    for (var c = 0u; c < ${g.columns}u; c++) {
      let x = found[li][c];
      if (x > root) {
        sift(keys, places, U.count, x, i32(U.key_begin + j0 + c));
        root = top_probabilities[places];
      }
    }
  }`;
  return tidy(`${insideDeclarations(v, g, false)}
${HEAP}
// Scores as integers of the same order; -0 is 0, and NaN is above all numbers.
${ORDERED}
var<workgroup> found: array<array<i32, ${g.columns + 1}>, ${g.rows}>;
@compute @workgroup_size(${g.threads})
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
${setUp(v, g)}
  let i0 = tile * ${g.rows}u; let own_query = i0 + li; let own = li < ${g.rows}u && own_query < U.length_q;
  ${heapOf("own_query")}
  if (own && U.accumulate == 0u) {
    for (var n = 0u; n < U.count; n += 8u) {
${
    each(8, (n) =>
      `      if (n + ${n}u < U.count) { top_keys[keys + n + ${n}u] = -1; top_probabilities[places + n + ${n}u] = NONE; }`)
  }
    }
  }
${rowsOfTile(v, g, false)}
  for (var j0 = 0u; j0 < end; j0 += ${g.columns}u) {
${keysOfTile(g)}
${inBand(g, `${pairsOfTile(v, g, use)}\n${offer}`)}
  }
}`);
}

/**
 * WGSL of the end: places `source_at` down to `target_at` of each heap are put in order, and where that is all of them
 * weights are made. Dispatch (SORT_ROWS queries, heads, sequences).
 */
export function sortKeysShader(): string {
  const store = `let key = top_keys[keys + at]; let x = top_probabilities[places + at];
        let s = bitcast<f32>(x ^ ((x >> 31u) & 0x7fffffff));
        var p = exp2(fma(s - row.x, ${LOG2E}, -row.z));
        if (x == 0x7f800000 && bitcast<i32>(row.x) == x) { p = 1.0; }
        if (x > 0x7f800000) { p = ${NOT_A_NUMBER}; }
        top_probabilities[places + at] = select(bitcast<i32>(p), 0, key < 0);`;
  return tidy(`${PARAMS}
${HEAP}
${declare("stats", "vec4<f32>")}
@compute @workgroup_size(${SORT_ROWS})
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let head = wid.y; let batch = wid.z; let query = (U.item_base + wid.x) * ${SORT_ROWS}u + li;
  if (query >= U.length_q) { return; }
  ${heapOf("query")}
  for (var last = U.source_at; last >= U.target_at && last > 0u; last--) {
    let key = top_keys[keys + last]; let score = top_probabilities[places + last];
    top_keys[keys + last] = top_keys[keys]; top_probabilities[places + last] = top_probabilities[places];
    sift(keys, places, last, score, key);
  }
  if (U.target_at == 0u) {
    let row = stats[${statsAt("query")}];
    for (var n = 0u; n < U.count; n += 4u) {
${each(4, (n) => `      { let at = n + ${n}u; if (at < U.count) {\n        ${store}\n      } }`)}
    }
  }
}`);
}
