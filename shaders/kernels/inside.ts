// Looking inside attention: scores of a rectangle, and sums of weights over all rows. One product, that of forward, in
// tiles whose rows are the queries of one head.
//
//   scores        one workgroup for a tile: out[i][j] = S, or P = exp(S - lse); what hidden pairs have is written too
//   column sums   one workgroup for a tile of keys, which streams the rows: acc += P, then summed over its threads
//
// The largest scores of rows are in top_keys.ts.
import { shaderName } from "../../src/tensor/operands.ts";
import { type Geometry, geometry } from "../abi.ts";
import type { Side } from "../features/feature.ts";
import { PARAMS } from "../features/params.ts";
import {
  columnShares,
  hidesPairs,
  rowShares,
  scoreDeclarations,
  scoreOfPairs,
  seenPairs,
  stagedScale,
} from "../features/score.ts";
import { rowAt, rowFunctions } from "../parts/address.ts";
import { keysOf, missesBand, outside } from "../parts/band.ts";
import { declare } from "../parts/bindings.ts";
import { READ_SEQUENCE } from "../parts/item.ts";
import { keySource, querySource } from "../parts/sources.ts";
import { rowsReader } from "../parts/storage.ts";
import { each, LOG2E, tidy, XYZW } from "../parts/text.ts";
import { threadPlace, tileMemory } from "../parts/stage.ts";
import { columnIndices, dotProducts, scoreRegisters } from "../parts/tile.ts";
import type { Variant } from "../parts/variant.ts";

const SIDE: Side = "rows are queries";

/** Where the statistics of a query lie, which row_state.ts may have changed. */
export const statsAt = (query: string): string =>
  `(batch * U.kv_heads + head / U.group) * U.length_q * U.group + ${query} * U.group + head % U.group`;

/** What kernels of this kind declare; `weights`: whether they make any. */
export function insideDeclarations(v: Variant, g: Geometry, weights: boolean): string {
  return `${PARAMS}
${scoreDeclarations(v, "vec4<f32>")}
${rowsReader("q", v.kinds.q)}
${rowsReader("k", v.kinds.k)}
${weights ? `${declare("stats", "vec4<f32>")}\n${WEIGHT}` : ""}
${rowFunctions(["q", "k"], v.kinds)}
${tileMemory(g)}`;
}

/** A weight by the statistics of its row; one infinite score has all of it. */
const WEIGHT =
  `fn is_top(x: vec4<f32>) -> vec4<bool> { return bitcast<vec4<u32>>(x) == vec4<u32>(0x7f800000u); }
fn weight(s: vec4<f32>, row: vec4<f32>) -> vec4<f32> {
  let p = exp2(fma(s - vec4<f32>(row.x), vec4<f32>(${LOG2E}), vec4<f32>(-row.z)));
  return select(p, vec4<f32>(1.0), is_top(s) & is_top(vec4<f32>(row.x)));
}`;

/** Sequence and head of a workgroup, and its registers. */
export function setUp(v: Variant, g: Geometry): string {
  return `${threadPlace(g)}
  let head = wid.y; let batch = wid.z; let kv_head = head / U.group; let tile = U.item_base + wid.x;
${READ_SEQUENCE}
  let end = min(limit, U.length_k);
  let staged_scale = ${stagedScale(v)};
${scoreRegisters(g, "s")}`;
}

/** The queries of this thread in the tile from i0 on. */
export function rowsOfTile(v: Variant, g: Geometry, weights: boolean): string {
  const row = (i: number) =>
    `  let query${i} = i0 + ty * ${g.tm}u + ${i}u; let head${i} = head;
${
      weights
        ? `  var stats${i} = vec4<f32>(0.0); if (query${i} < U.length_q) { stats${i} = stats[${
          statsAt(`query${i}`)
        }]; }`
        : ""
    }`;
  return `${each(g.tm, row)}
${rowShares(g, v, SIDE)}
  let last_query = i32(min(i0 + ${g.rows}u, U.length_q)) - 1;`;
}

/** Runs `body` where the tile of queries i0 .. and keys j0 .. has a pair in the band. */
export function inBand(g: Geometry, body: string): string {
  const misses = missesBand({ first: "i32(i0)", last: "last_query" }, {
    first: "i32(j0)",
    last: `i32(j0) + ${g.columns - 1}`,
  });
  return `  if (j0 < end && !(${misses})) {\n${body}\n  }`;
}

/** Names of the keys of a tile. */
export function keysOfTile(g: Geometry): string {
  return each(g.jv, (n) => `  let key_${n} = ${columnIndices(g, "j0", n)};`);
}

/** S of a tile, and for each pair of row i and column vector n what `use` makes of it where `hidden` is not set. */
export function pairsOfTile(
  v: Variant,
  g: Geometry,
  use: (i: number, n: number) => string,
): string {
  const rows = querySource("q", "i0", "U.length_q", (r) => `q_row(batch, head, ${r})`);
  const pair = (i: number, n: number) => {
    const { least, most } = keysOf(`query${i}`, "end"), hide = hidesPairs(v) ? "hide | " : "";
    const bounds = { least: "lo", most: "hi" };
    return `  {
    let hi = ${most}; let lo = ${least};
${seenPairs(v, SIDE, i, n)}
${scoreOfPairs(v, SIDE, `s${i}_${n}`, i, n)}
    let hidden = ${hide}(${outside(`key_${n}`, bounds, "vec4<i32>")});
${use(i, n)}
  }`;
  };
  return `${columnShares(g, v, SIDE)}
  // S = Q K^T
${dotProducts(g, "s", rows, keySource("k", "j0", "end"), v.headChunks)}
${each(g.tm, (i) => each(g.jv, (n) => pair(i, n)))}`;
}

/** Registers as `hidden` before a tile: it stays where the tile is outside of the band. */
function results(g: Geometry, value: string): string {
  return each(g.tm, (i) => each(g.jv, (n) => `  var r${i}_${n} = vec4<f32>(${value});`));
}

/** Stores a tile of scores. */
function storeScores(g: Geometry): string {
  return each(g.tm, (i) => {
    const at = rowAt("scores", { batch: "batch", head: "head", query: `query${i}` });
    const one = (n: number) =>
      each(4, (c) => {
        const key = `key_${n}.${XYZW[c]}`;
        return `    if (${key} < U.length_k) { scores[at + ${key}] = r${i}_${n}.${XYZW[c]}; }`;
      });
    return `  if (query${i} < U.length_q) {\n    let at = ${at};\n${each(g.jv, one)}\n  }`;
  });
}

/** Queries of a workgroup that begins statistics. */
export const STATS_ROWS = 64;

/** WGSL of what weights need of each row: stats = (lse, 0, 0, lse). Dispatch (STATS_ROWS queries, heads, sequences). */
export function rowStatsShader(): string {
  return tidy(`${PARAMS}
${declare("lse", "f32")}
${declare("stats", "vec4<f32>", "read_write")}
@compute @workgroup_size(${STATS_ROWS})
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let head = wid.y; let batch = wid.z; let query = (U.item_base + wid.x) * ${STATS_ROWS}u + li;
  if (query >= U.length_q) { return; }
  let x = lse[${rowAt("lse", { batch: "batch", head: "head", query: "query" })}];
  stats[${statsAt("query")}] = vec4<f32>(x, 0.0, 0.0, x);
}`);
}

/** WGSL of scores, or of `weights`. Dispatch (tiles of rows x keys, heads, sequences). */
export function scoresShader(v: Variant, weights: boolean): string {
  const g = geometry(v.tile), hidden = weights ? "0.0" : "U.neg_inf";
  const use = (i: number, n: number) => {
    const s = `s${i}_${n}`, value = weights ? `weight(${s}, stats${i})` : s;
    return `    r${i}_${n} = select(${value}, vec4<f32>(${hidden}), hidden);`;
  };
  return tidy(`${insideDeclarations(v, g, weights)}
${declare("scores", "f32", "read_write")}
@compute @workgroup_size(${g.threads})
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
${setUp(v, g)}
  let j_tiles = (U.length_k + ${g.columns - 1}u) / ${g.columns}u;
  let i0 = (tile / j_tiles) * ${g.rows}u; let j0 = (tile % j_tiles) * ${g.columns}u;
${keysOfTile(g)}
${rowsOfTile(v, g, weights)}
${results(g, hidden)}
${inBand(g, pairsOfTile(v, g, use))}
${storeScores(g)}
}`);
}

/** WGSL of column sums. Dispatch (tiles of keys, heads, sequences). */
export function columnSumsShader(v: Variant): string {
  const g = geometry(v.tile), name = shaderName("columnSums");
  const use = (i: number, n: number) => {
    const none = `hidden | vec4<bool>(query${i} >= U.length_q)`;
    return `    acc${n} += select(weight(s${i}_${n}, stats${i}), vec4<f32>(0.0), ${none});`;
  };
  // a key's sum lies with the threads of its column
  const sum = (n: number) =>
    `  workgroupBarrier();
  shares[ty][tx] = acc${n};
  workgroupBarrier();
  if (ty == 0u) {
    var x = shares[0][tx];
${each(g.ny - 1, (y) => `    x += shares[${y + 1}][tx];`)}
${
      each(4, (c) =>
        `    { let key = key_${n}.${XYZW[c]}; if (key < U.length_k) {
      let at = U.${name}_at + batch * U.${name}_batch + head * U.${name}_head + key * U.${name}_row;
      if (U.accumulate > 0u) { ${name}[at] += x.${XYZW[c]}; } else { ${name}[at] = x.${XYZW[c]}; }
    } }`)
    }
  }`;
  return tidy(`${insideDeclarations(v, g, true)}
${declare("columnSums", "f32", "read_write")}
var<workgroup> shares: array<array<vec4<f32>, ${g.nx}>, ${g.ny}>;
@compute @workgroup_size(${g.threads})
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
${setUp(v, g)}
  let j0 = tile * ${g.columns}u;
${keysOfTile(g)}
${each(g.jv, (n) => `  var acc${n} = vec4<f32>(0.0);`)}
  for (var i0 = 0u; i0 < U.length_q; i0 += ${g.rows}u) {
${rowsOfTile(v, g, true)}
${inBand(g, pairsOfTile(v, g, use))}
  }
${each(g.jv, sum)}
}`);
}
