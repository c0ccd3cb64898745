// Late interaction: for a set of queries and each document, the sum over the queries of their largest product with a row
// of it. One product, the score tile of forward; its keys are rows of documents that lie one behind the other.
//
//   Q^T [D][8] of all panels of 8 queries
//   for each tile of rows of the item's documents           K tile [rows][D]
//     for each panel
//       S^T[row][8] = K . Q^T
//       for each document that has rows of the tile
//         m, arg = the larger of (m, arg) and each S          equal ones: the first row
//         where it ends: arg of each query is written, score[document] += the sum of m
//
// Sums are float64 and in the order of the queries, so that neither tiles nor threads change them. A document without rows
// has m = -infinity and no row. A product that is NaN is the largest, the first of them.
import { Item, Task } from "../abi";
import { Operand } from "../tables.gen";
import { packPanel } from "../micro/pack";
import { State, UPPER } from "../micro/records";
import { rowAt, rowsOf, rowStride, taskOf } from "../micro/task";
import { FORWARD_PITCH, gemm_s_6x8 } from "../micro/tiles.gen";
import { madd, prefetch } from "../micro/vmath";
import { scoreRun } from "../stages/score_run";

/** The largest products of a panel so far, and their rows: two vectors each. */
const BEST_BYTES: usize = 64, ARG: usize = 32;

// The item at hand; see forward.ts on module state.
let task: usize = 0, head: i32 = 0, tokens: i32 = 0, D: i32 = 0, panels: i32 = 0;
let documentBegin: i32 = 0, documentEnd: i32 = 0, starts: usize = 0;
// Scratch, in this order.
let q: usize = 0, scores: usize = 0, best: usize = 0, sums: usize = 0, origin: usize = 0;
// Rows behind the tile at hand that are not in the cache yet, and how much of them is brought at a time.
let ahead: usize = 0, aheadEnd: usize = 0, aheadBytes: usize = 0;

/** Bytes of scratch that an item of so many documents needs. */
export function maxSimScratch(dim: i32, queries: i32, keyTile: i32, documents: i32): usize {
  return layOut(0, dim, (queries + 7) >> 3, keyTile, documents);
}

function layOut(ws: usize, dim: i32, count: i32, keyTile: i32, documents: i32): usize {
  q = ws;
  scores = q + <usize>count * (<usize>dim << 5);
  best = scores + <usize>(keyTile + 8) * FORWARD_PITCH;
  sums = best + <usize>count * BEST_BYTES;
  origin = (sums + (<usize>documents << 3) + 15) & ~15;
  return (origin + State.Bytes + 63) & ~63;
}

/** The first row of a document. */
// @ts-ignore: decorator
@inline
function startOf(document: i32): i32 {
  return load<i32>(starts + (<usize>document << 2));
}

/** Brings some of the rows that come next into the cache: products wait less for a few lines than for many. */
// @ts-ignore: decorator
@inline
function bringAhead(): void {
  if (ahead >= aheadEnd) return;
  const bytes = min(aheadBytes, aheadEnd - ahead);
  prefetch(ahead, bytes, bytes, 1);
  ahead += bytes;
}

/** S^T[n rows][8] of a panel, as in stages/score_run.ts. */
function scoreRows(rows: usize, pitch: usize, panel: usize, n: i32): void {
  let at = 0;
  for (; at + 6 <= n; at += 6) {
    bringAhead();
    gemm_s_6x8(rows + <usize>at * pitch, panel, scores + <usize>at * FORWARD_PITCH, D, pitch, origin, 1);
  }
  if (at == n) return;
  // the last six rows, some once more; see there
  const last = <usize>max(0, n - 6);
  scoreRun(rows + last * pitch, pitch, panel, scores + last * FORWARD_PITCH, n - <i32>last, D, origin);
}

/** No row yet. */
function clear(at: usize): void {
  const least = f32x4.splat(-Infinity), none = i32x4.splat(-1);
  v128.store(at, least);
  v128.store(at, least, UPPER);
  v128.store(at, none, ARG);
  v128.store(at, none, ARG + UPPER);
}

/** Takes in S of n rows from `row` on. */
function scan(at: usize, sp: usize, n: i32, row: i32): void {
  let m0 = v128.load(at), m1 = v128.load(at, UPPER), key = i32x4.splat(row), sum0 = f32x4.splat(0), sum1 = sum0;
  const zero = i32x4.splat(0), one = i32x4.splat(1), end = sp + <usize>n * FORWARD_PITCH;
  let x0 = v128.load(at, ARG), x1 = v128.load(at, ARG + UPPER);
  // -infinity is a product as well: where there is no row yet, it is the first
  x0 = v128.bitselect(key, x0, i32x4.lt_s(x0, zero));
  x1 = v128.bitselect(key, x1, i32x4.lt_s(x1, zero));
  v128.store(at, x0, ARG);
  v128.store(at, x1, ARG + UPPER);
  for (let p = sp; p < end; p += FORWARD_PITCH) {
    const s0 = v128.load(p), s1 = v128.load(p, UPPER);
    // rows come in their order, so the last one that was larger is the largest of them
    x0 = i32x4.max_s(x0, v128.and(key, f32x4.lt(m0, s0)));
    x1 = i32x4.max_s(x1, v128.and(key, f32x4.lt(m1, s1)));
    m0 = f32x4.pmax(m0, s0);
    m1 = f32x4.pmax(m1, s1);
    sum0 = f32x4.add(sum0, s0);
    sum1 = f32x4.add(sum1, s1);
    key = i32x4.add(key, one);
  }
  // the sums say whether there may be a NaN, which comparisons pass by; m may be one from the rows before
  sum0 = f32x4.add(f32x4.add(sum0, m0), f32x4.add(sum1, m1));
  if (v128.any_true(f32x4.ne(sum0, sum0))) return scanAgain(at, sp, n, row);
  v128.store(at, m0);
  v128.store(at, m1, UPPER);
  v128.store(at, x0, ARG);
  v128.store(at, x1, ARG + UPPER);
}

/** The same where some products are not finite. */
function scanAgain(at: usize, sp: usize, n: i32, row: i32): void {
  let m0 = v128.load(at), m1 = v128.load(at, UPPER), key = i32x4.splat(row);
  let x0 = v128.load(at, ARG), x1 = v128.load(at, ARG + UPPER);
  const one = i32x4.splat(1);
  for (const end = sp + <usize>n * FORWARD_PITCH; sp < end; sp += FORWARD_PITCH) {
    const s0 = v128.load(sp), s1 = v128.load(sp, UPPER);
    // NaN is not below anything, and nothing is above it
    const keep0 = v128.or(f32x4.le(s0, m0), f32x4.ne(m0, m0)), keep1 = v128.or(f32x4.le(s1, m1), f32x4.ne(m1, m1));
    m0 = v128.bitselect(m0, s0, keep0);
    m1 = v128.bitselect(m1, s1, keep1);
    x0 = v128.bitselect(x0, key, keep0);
    x1 = v128.bitselect(x1, key, keep1);
    key = i32x4.add(key, one);
  }
  v128.store(at, m0);
  v128.store(at, m1, UPPER);
  v128.store(at, x0, ARG);
  v128.store(at, x1, ARG + UPPER);
}

/** The end of a document for a panel: rows are written, products added up. */
function finish(panel: i32, document: i32): void {
  const at = best + <usize>panel * BEST_BYTES, lanes = min(8, tokens - (panel << 3));
  const sum = sums + (<usize>(document - documentBegin) << 3);
  let out = rowAt(task, Operand.DocumentKeys, 0, head, document) + (<usize>panel << 5), total = load<f64>(sum);
  for (let lane: usize = 0; lane < <usize>lanes; ++lane, out += 4) {
    total += <f64>load<f32>(at + (lane << 2));
    store<i32>(out, load<i32>(at + (lane << 2), ARG));
  }
  store<f64>(sum, total);
  clear(at);
}

/** Gives the S of rows [row, row + n) to the documents from `document` on; returns the first that has more rows. */
function visit(panel: i32, document: i32, row: i32, n: i32): i32 {
  const at = best + <usize>panel * BEST_BYTES, end = row + n;
  for (let from = row; document < documentEnd; ++document) {
    const next = startOf(document + 1), to = min(next, end);
    if (to > from) scan(at, scores + <usize>(from - row) * FORWARD_PITCH, to - from, from);
    if (next > end) break;
    finish(panel, document);
    from = to;
  }
  return document;
}

export function maxSimItem(item: usize, ws: usize): void {
  task = taskOf(item);
  head = load<i32>(item, Item.Head);
  documentBegin = load<i32>(item, Item.RowBegin);
  documentEnd = load<i32>(item, Item.RowEnd);
  tokens = load<i32>(task, Task.LengthQ);
  D = load<i32>(task, Task.HeadDim);
  panels = (tokens + 7) >> 3;
  starts = rowsOf(task, Operand.Documents, 0, 0);
  const tile = load<i32>(task, Task.Tile), pitch = <usize>D << 2, panelBytes = <usize>D << 5;
  layOut(ws, D, panels, tile, documentEnd - documentBegin);
  memory.fill(origin, 0, State.Bytes);
  memory.fill(sums, 0, <usize>(documentEnd - documentBegin) << 3);
  for (let v: usize = 0; v < 32; v += UPPER) v128.store(origin + v, f32x4.splat(1), State.L);
  for (let p = 0; p < panels; ++p) {
    const first = p << 3;
    packPanel(rowAt(task, Operand.Q, 0, head, first), rowStride(task, Operand.Q), q + <usize>p * panelBytes, tokens - first, D, origin + State.L);
    clear(best + <usize>p * BEST_BYTES);
  }
  let document = documentBegin, row = startOf(documentBegin);
  const end = startOf(documentEnd);
  do { // once where there are no rows: the documents end nevertheless
    const n = min(tile, end - row), rows = rowAt(task, Operand.K, 0, 0, row);
    const blocks = max(1, n / 6 * panels);
    ahead = rows + <usize>n * pitch;
    aheadEnd = ahead + <usize>min(tile, end - row - n) * pitch;
    aheadBytes = ((aheadEnd - ahead) / <usize>blocks + 64) & ~63;
    let next = document;
    for (let p = 0; p < panels; ++p) {
      if (n > 0) scoreRows(rows, pitch, q + <usize>p * panelBytes, n);
      next = visit(p, document, row, n);
    }
    document = next;
    row += n;
  } while (row < end);
  for (let d = documentBegin; d < documentEnd; ++d) {
    store<f32>(rowAt(task, Operand.DocumentScores, 0, head, d), <f32>load<f64>(sums + (<usize>(d - documentBegin) << 3)));
  }
}

/** y += x times a number, of n numbers. */
function addScaled(y: usize, x: usize, factor: f32, n: i32): void {
  const f = f32x4.splat(factor), end4 = y + (<usize>(n & ~3) << 2), end = y + (<usize>n << 2);
  for (; y < end4; y += 16, x += 16) v128.store(y, madd(f, v128.load(x), v128.load(y)));
  for (; y < end; y += 4, x += 4) store<f32>(y, load<f32>(y) + factor * load<f32>(x));
}

/**
 * Adds the gradients of one set of queries: dQ[i] += dS k, dK[row] += dS q[i], where a query has a row, in the order of
 * documents and queries. Rows are n numbers, one behind the other; `keys`: [document][query]. A gradient of 0 adds nothing.
 */
export function maxSimGradient(q: usize, k: usize, keys: usize, dScores: usize, dq: usize, dk: usize, documents: i32, queries: i32, n: i32): void {
  const pitch = <usize>n << 2;
  for (let d = 0; d < documents; ++d, dScores += 4) {
    const ds = load<f32>(dScores);
    for (let i = 0; i < queries; ++i, keys += 4) {
      const row = load<i32>(keys);
      if (row < 0 || ds == 0) continue;
      addScaled(dq + <usize>i * pitch, k + <usize>row * pitch, ds, n);
      addScaled(dk + <usize>row * pitch, q + <usize>i * pitch, ds, n);
    }
  }
}
