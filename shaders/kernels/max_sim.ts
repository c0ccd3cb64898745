// Late interaction: for each document and set of queries, the sum over the queries of their largest product with a row of
// it; and the gradients, which go to the rows that were the largest.
//
//   max sim       one workgroup for a document and a set
//     for each tile of queries
//       for each tile of the document's rows
//         S = Q K^T                                          in registers
//         best[i], row[i] = the larger of it and S           of each thread; equal ones: the lower row
//       the largest of the threads; row of each query is written, score += the sum of best
//   dK            one workgroup for a document, which adds dS q to the rows that its queries chose, one after the other
//   dQ            one workgroup for a query, which adds dS k of all documents
//
// Every sum has one owner and one order. A product that is NaN is the largest. The buffer `source` has the first row of each
// document, and the row behind the last.
import { geometry, type TileShape } from "../abi.ts";
import { PARAMS } from "../features/params.ts";
import { rowAt, rowFunction } from "../parts/address.ts";
import { declare } from "../parts/bindings.ts";
import { NOT_A_NUMBER } from "../parts/floats.ts";
import { ORDERED } from "../parts/ordered.ts";
import { keySource, querySource } from "../parts/sources.ts";
import { threadPlace, tileMemory } from "../parts/stage.ts";
import { kindName, rowsReader, type StorageKind } from "../parts/storage.ts";
import { each, tidy, XYZW } from "../parts/text.ts";
import { columnIndices, dotProducts, scoreRegisters } from "../parts/tile.ts";

/** What the text of the search depends on. */
export interface MaxSimShape {
  readonly tile: TileShape;
  /** Chunks of a row. */
  readonly headChunks: number;
  readonly q: StorageKind;
  readonly k: StorageKind;
}

/** Equal for shapes of the same text. */
export function maxSimKey({ tile, headChunks, q, k }: MaxSimShape): string {
  return `max sim ${Object.values(tile).join(" ")} ${headChunks} ${kindName(q)} ${kindName(k)}`;
}

const INPUTS = "@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>";

/** Where the rows of a document's queries are written. */
const KEYS_AT = rowAt("documentKeys", { batch: "0u", head: "head", query: "document" });
const SCORE_AT = rowAt("documentScores", { batch: "0u", head: "head", query: "document" });

/** WGSL of the search. Dispatch (documents, sets). */
export function maxSimShader({ tile, headChunks, q, k }: MaxSimShape): string {
  const g = geometry(tile);
  const rows = querySource("q", "i0", "U.length_q", (row) => `q_row(0u, head, ${row})`);
  const products = dotProducts(g, "s", rows, keySource("k", "j0", "end"), headChunks);
  const offer = (i: number, n: number) =>
    `    { let x = ordered(s${i}_${n});
${
      each(4, (c) => {
        const key = `key_${n}.${XYZW[c]}`, value = `x.${XYZW[c]}`;
        return `      if (${key} < end && ${value} > best${i}) { best${i} = ${value}; row${i} = ${key}; }`;
      })
    }
    }`;
  return tidy(`${PARAMS}
${rowsReader("q", q)}
${rowsReader("k", k)}
${rowFunction("q")}
${rowFunction("k")}
${declare("source", "u32")}
${declare("documentScores", "f32", "read_write")}
${declare("documentKeys", "i32", "read_write")}
${tileMemory(g)}
${ORDERED}
// below minus infinity: no row yet
const LEAST: i32 = -2147483647;
var<workgroup> bests: array<array<i32, ${g.nx}>, ${g.rows}>;
var<workgroup> rows: array<array<u32, ${g.nx}>, ${g.rows}>;
@compute @workgroup_size(${g.threads})
fn main(${INPUTS}) {
${threadPlace(g)}
  let document = U.item_base + wid.x; let head = wid.y; let batch = 0u; let kv_head = 0u; let staged_scale = 1.0;
  let begin = source[document] - U.key_begin; let end = source[document + 1u] - U.key_begin;
${scoreRegisters(g, "s")}
  // of queries before these
  var total = 0.0; if (U.accumulate > 0u) { total = document_scores[${SCORE_AT}]; }
  for (var i0 = 0u; i0 < U.length_q; i0 += ${g.rows}u) {
${each(g.tm, (i) => `    var best${i} = LEAST; var row${i} = 0u;`)}
    for (var j0 = begin; j0 < end; j0 += ${g.columns}u) {
${each(g.jv, (n) => `      let key_${n} = ${columnIndices(g, "j0", n)};`)}
${products}
${each(g.tm, (i) => each(g.jv, (n) => offer(i, n)))}
    }
    workgroupBarrier();
${
    each(
      g.tm,
      (i) =>
        `    bests[ty * ${g.tm}u + ${i}u][tx] = best${i}; rows[ty * ${g.tm}u + ${i}u][tx] = row${i};`,
    )
  }
    workgroupBarrier();
    let query = i0 + li;
    if (li < ${g.rows}u && query < U.length_q) {
      var best = bests[li][0]; var row = rows[li][0];
      for (var x = 1u; x < ${g.nx}u; x++) {
        let other = bests[li][x]; let at = rows[li][x];
        if (other > best || (other == best && at < row)) { best = other; row = at; }
      }
      document_keys[${KEYS_AT} + query] = select(i32(row + U.key_begin), -1, best == LEAST);
      bests[li][0] = best;
    }
    workgroupBarrier();
    if (li == 0u) {
      for (var i = 0u; i < min(${g.rows}u, U.length_q - i0); i++) {
        let x = bests[i][0];
        total += select(bitcast<f32>(x ^ ((x >> 31u) & 0x7fffffff)), ${NOT_A_NUMBER}, x > 0x7f800000);
      }
    }
  }
  if (li == 0u) {
    document_scores[${SCORE_AT}] = select(total, U.neg_inf, begin == end && U.length_q > 0u);
  }
}`);
}

/** Threads of a workgroup that adds gradients: each has some of the columns. */
const THREADS = 64;

const GRADIENT_AT = rowAt("dDocumentScores", { batch: "0u", head: "head", query: "document" });

/** The row that query i of a document chose, and the gradient of the score; in the range of rows that is bound. */
const CHOSEN = `    let ds = ddocument_scores[${GRADIENT_AT}];
    let row = document_keys[${KEYS_AT} + i] - i32(U.key_begin);
    if (ds == 0.0 || row < 0 || row >= i32(U.length_k)) { continue; }`;

/** Adds a row of one operand to a row of the gradient of the other. */
function addRow(target: "dq" | "dk", source: "q" | "k", at: string): string {
  return `      let x = ds * load_${source}(${at}, c);
${
    each(4, (e) =>
      `      if (4u * c + ${e}u < U.head_dim) { ${target}[to + 4u * c + ${e}u] += x[${e}]; }`)
  }`;
}

/** What both gradients declare; `of`: the operand that is read. */
function gradientText(target: "dq" | "dk", of: "q" | "k", kind: StorageKind, body: string): string {
  return tidy(`${PARAMS}
${rowsReader(of, kind)}
${rowFunction(of)}
${declare("dDocumentScores", "f32")}
${declare("documentKeys", "i32")}
${declare(target, "f32", "read_write")}
${rowFunction(target)}
@compute @workgroup_size(${THREADS})
fn main(${INPUTS}) {
${body}
}`);
}

/** WGSL of dK of the rows that are bound, which hold zeros or what was added before. Dispatch (documents). */
export function maxSimKeyGradientShader(q: StorageKind): string {
  return gradientText(
    "dk",
    "q",
    q,
    `  let document = U.item_base + wid.x;
  for (var head = 0u; head < U.group; head++) {
  for (var i = 0u; i < U.length_q; i++) {
${CHOSEN}
    let to = dk_row(0u, 0u, u32(row)); let at = q_row(0u, head, i);
    for (var c = li; 4u * c < U.head_dim; c += ${THREADS}u) {
${addRow("dk", "q", "at")}
    }
  }
  }`,
  );
}

/** WGSL of dQ, of the rows that are bound; zeros were there, or what was added before. Dispatch (queries, sets). */
export function maxSimQueryGradientShader(k: StorageKind): string {
  return gradientText(
    "dq",
    "k",
    k,
    `  let i = U.item_base + wid.x; let head = wid.y; let to = dq_row(0u, head, i);
  for (var document = 0u; document < U.count; document++) {
${CHOSEN}
    let at = k_row(0u, 0u, u32(row));
    for (var c = li; 4u * c < U.head_dim; c += ${THREADS}u) {
${addRow("dq", "k", "at")}
    }
  }`,
  );
}
