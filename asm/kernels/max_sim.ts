// Late interaction: for a set of queries and each document, the sum over the queries of their largest product with a row
// of it. One product, the score tile of forward; its keys are rows of documents that lie one behind the other.
//
//   Q^T [D][8] of all panels of 8 queries
//   for each document
//     for six of its rows at a time                         gemm_max_6x8
//       for each panel
//         S^T[row][8] = K . Q^T, in registers
//         m, arg = the larger of (m, arg) and each S          equal ones: the first row
//     up to three rows that are left: with the first ones of the next documents, S^T in memory
//     arg of each query is written, score[document] += the sum of m
//
// The rows are read once from memory, for all panels, which stay in the cache; the tile reads the next six on its way.
// Sums are float64 and in the order of the queries, so that neither tiles nor threads change them. A document without rows
// has m = -infinity and no row. A product that is NaN is the largest, the first of them.
import { Item, Task } from "../abi";
import { Operand } from "../tables.gen";
import { packPanel } from "../micro/pack";
import { Best, State, UPPER } from "../micro/records";
import { rowAt, rowsOf, rowStride, taskOf } from "../micro/task";
import { FORWARD_PITCH, gemm_max_6x8 } from "../micro/tiles.gen";
import { escape, madd, prefetch } from "../micro/vmath";
import { scoreRun } from "../stages/score_run";

/** Groups of six rows that are brought into the cache at once where one panel meets them. */
const FEW: i32 = 4;

// The item at hand; see forward.ts on module state.
let task: usize = 0, head: i32 = 0, tokens: i32 = 0, D: i32 = 0, panels: i32 = 0;
let documentBegin: i32 = 0, documentEnd: i32 = 0, starts: usize = 0, rowsEnd: usize = 0;
// Scratch, in this order.
let q: usize = 0, scores: usize = 0, again: usize = 0, best: usize = 0, sums: usize = 0, origin: usize = 0;

/** Bytes of scratch that an item of so many documents needs. */
export function maxSimScratch(dim: i32, queries: i32, documents: i32): usize {
  return layOut(0, dim, (queries + 7) >> 3, documents);
}

function layOut(ws: usize, dim: i32, count: i32, documents: i32): usize {
  q = ws;
  scores = q + <usize>count * (<usize>dim << 5);
  again = scores + 6 * FORWARD_PITCH;
  best = again + 6 * FORWARD_PITCH;
  sums = best + <usize>count * Best.Bytes;
  origin = (sums + (<usize>documents << 3) + 15) & ~15;
  return (origin + State.Bytes + 63) & ~63;
}

/** The first row of a document. */
// @ts-ignore: decorator
@inline
function startOf(document: i32): i32 {
  return load<i32>(starts + (<usize>document << 2));
}

/** No product yet: -infinity is one as well, so the first row is the one to beat. */
function begin(panel: i32, document: i32): void {
  const at = best + <usize>panel * Best.Bytes, least = f32x4.splat(-Infinity);
  let row = -1;
  if (document < documentEnd && startOf(document) < startOf(document + 1)) row = startOf(document);
  v128.store(at, least);
  v128.store(at, least, UPPER);
  v128.store(at, i32x4.splat(row), Best.Row);
  v128.store(at, i32x4.splat(row), Best.Row + UPPER);
  v128.store(at, f32x4.splat(0), Best.Sum);
}

/** Takes in S of n rows from `row` on. */
function scan(at: usize, sp: usize, n: i32, row: i32): void {
  let m0 = v128.load(at), m1 = v128.load(at, UPPER), key = i32x4.splat(row), sum = v128.load(at, Best.Sum);
  let x0 = v128.load(at, Best.Row), x1 = v128.load(at, Best.Row + UPPER);
  const one = i32x4.splat(1);
  for (const end = sp + <usize>n * FORWARD_PITCH; sp < end; sp += FORWARD_PITCH) {
    const s0 = v128.load(sp), s1 = v128.load(sp, UPPER);
    // rows come in their order, so the last one that was larger is the largest of them
    x0 = i32x4.max_s(x0, v128.and(key, f32x4.lt(m0, s0)));
    x1 = i32x4.max_s(x1, v128.and(key, f32x4.lt(m1, s1)));
    m0 = f32x4.pmax(m0, s0);
    m1 = f32x4.pmax(m1, s1);
    sum = f32x4.add(sum, f32x4.add(s0, s1));
    key = i32x4.add(key, one);
  }
  v128.store(at, m0);
  v128.store(at, m1, UPPER);
  v128.store(at, x0, Best.Row);
  v128.store(at, x1, Best.Row + UPPER);
  v128.store(at, sum, Best.Sum);
}

/** The same where some products are not finite. */
function scanAgain(at: usize, sp: usize, n: i32, row: i32): void {
  let m0 = v128.load(at), m1 = v128.load(at, UPPER), key = i32x4.splat(row);
  let x0 = v128.load(at, Best.Row), x1 = v128.load(at, Best.Row + UPPER);
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
  v128.store(at, x0, Best.Row);
  v128.store(at, x1, Best.Row + UPPER);
}

/** A document once more for a panel, some of whose products are not finite. */
function repeat(panel: i32, document: i32): void {
  const pitch = <usize>D << 2, end = startOf(document + 1), at = best + <usize>panel * Best.Bytes;
  begin(panel, document);
  for (let row = startOf(document); row < end; row += 6) {
    const n = min(6, end - row);
    scoreRun(rowAt(task, Operand.K, 0, 0, row), pitch, q + <usize>panel * (<usize>D << 5), again, n, D, origin);
    scanAgain(at, again, n, row);
  }
}

/** The end of a document for a panel: rows are written, products added up. */
function finish(panel: i32, document: i32): void {
  const at = best + <usize>panel * Best.Bytes, lanes = min(8, tokens - (panel << 3)), check = v128.load(at, Best.Sum);
  // comparisons pass by what is NaN
  if (v128.any_true(f32x4.ne(check, check))) repeat(panel, document);
  const sum = sums + (<usize>(document - documentBegin) << 3);
  let out = rowAt(task, Operand.DocumentKeys, 0, head, document) + (<usize>panel << 5), total = load<f64>(sum);
  for (let lane: usize = 0; lane < <usize>lanes; ++lane, out += 4) {
    total += <f64>load<f32>(at + (lane << 2));
    store<i32>(out, load<i32>(at + (lane << 2), Best.Row));
  }
  store<f64>(sum, total);
  begin(panel, document + 1);
}

/** Gives the S of rows [row, row + n) at sp to the documents from `document` on; returns the first that has more rows. */
function visit(panel: i32, document: i32, row: i32, n: i32, sp: usize): i32 {
  const at = best + <usize>panel * Best.Bytes, end = row + n;
  for (let from = row; document < documentEnd; ++document) {
    const next = startOf(document + 1), to = min(next, end);
    if (to > from) scan(at, sp + <usize>(from - row) * FORWARD_PITCH, to - from, from);
    if (next > end) break;
    finish(panel, document);
    from = to;
  }
  return document;
}

/** Takes in groups of six rows of one document. */
function takeIn(row: i32, groups: i32): void {
  const pitch = <usize>D << 2, six = 6 * pitch;
  // what is read ahead are the next six rows, or the item's last
  const last = rowsEnd - six - 4, ahead = six / <usize>max(1, panels * (D >> 3));
  // one panel has too few turns to read a line in each
  const several = panels > 1 ? groups : FEW;
  for (; groups > 0; groups -= several, row += 6 * several) {
    const n = min(groups, several), rows = rowAt(task, Operand.K, 0, 0, row);
    if (panels == 1) prefetch(rows, pitch, pitch, 6 * n);
    escape(gemm_max_6x8(rows, q, best, D, pitch, panels, row, n, last, ahead));
  }
}

/** Takes in n rows from `row` on, at most six and of several documents; returns as `visit`. */
function takeInApart(document: i32, row: i32, n: i32): i32 {
  const pitch = <usize>D << 2, end = startOf(documentEnd);
  // the last six rows of the item, some once more: cheaper than up to five single rows
  const first = max(startOf(documentBegin), min(row, end - 6)), rows = rowAt(task, Operand.K, 0, 0, first);
  prefetch(rowAt(task, Operand.K, 0, 0, row + n), pitch, pitch, min(6, end - row - n));
  let next = document;
  for (let p = 0; p < panels; ++p) {
    scoreRun(rows, pitch, q + <usize>p * (<usize>D << 5), scores, row + n - first, D, origin);
    next = visit(p, document, row, n, scores + <usize>(row - first) * FORWARD_PITCH);
  }
  return next;
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
  const panelBytes = <usize>D << 5;
  layOut(ws, D, panels, documentEnd - documentBegin);
  memory.fill(origin, 0, State.Bytes);
  memory.fill(sums, 0, <usize>(documentEnd - documentBegin) << 3);
  for (let v: usize = 0; v < 32; v += UPPER) v128.store(origin + v, f32x4.splat(1), State.L);
  for (let p = 0; p < panels; ++p) {
    const first = p << 3;
    packPanel(rowAt(task, Operand.Q, 0, head, first), rowStride(task, Operand.Q), q + <usize>p * panelBytes, tokens - first, D, origin + State.L);
    begin(p, documentBegin);
  }
  const end = startOf(documentEnd);
  rowsEnd = rowAt(task, Operand.K, 0, 0, end);
  let document = documentBegin, row = startOf(document);
  while (document < documentEnd) {
    const next = startOf(document + 1), groups = (next - row) / 6;
    if (groups > 0) takeIn(row, groups);
    row += 6 * groups;
    const left = next - row;
    if (left > 3 && next - startOf(document) >= 6) takeIn(next - 6, 1); // six rows, some once more
    else if (left > 0) {
      const n = min(6, end - row);
      document = takeInApart(document, row, n);
      row += n;
      continue;
    }
    for (let p = 0; p < panels; ++p) finish(p, document);
    ++document;
    row = next;
  }
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
