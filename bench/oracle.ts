/**
 * Float64 references for some rows of a problem: all columns of about sixteen rows, which is cheap
 * for any length, so that every configuration is verified in the run that times it.
 * @module
 */

import type { Case, Operands } from "./cases.ts";

const ROWS = 16;

/** A row of q (or of k, where `heads` are kv heads), counted over batch, heads and length. */
function sampledRows(heads: number, length: number): number[] {
  const rows = heads * length;
  const first = [0, length - 1, rows - 1];
  // Spread over heads and places in the tile: the multiplier is prime.
  const spread = Array.from({ length: ROWS - first.length }, (_, i) => (i + 1) * 104729 % rows);
  return [...new Set([...first, ...spread])].map((row) => Math.min(row, rows - 1));
}

function dot(a: Float32Array, at: number, b: Float32Array, bt: number, size: number): number {
  let sum = 0;
  for (let d = 0; d < size; d++) sum += a[at + d] * b[bt + d];
  return sum;
}

/** The row of keys that belongs to a row of queries, its first element, and what it may see. */
function placeOf(c: Case, row: number, causal: boolean) {
  const head = Math.floor(row / c.lengthQ), i = row % c.lengthQ;
  const kvHead = Math.floor(head / (c.queryHeads / c.kvHeads));
  const visible = causal
    ? Math.max(0, Math.min(c.lengthK, i + c.lengthK - c.lengthQ + 1))
    : c.lengthK;
  return { i, queryAt: row * c.headDim, keysAt: kvHead * c.lengthK * c.headDim, visible };
}

function probabilities(c: Case, data: Operands, row: number, causal: boolean): Float64Array {
  const { queryAt, keysAt, visible } = placeOf(c, row, causal);
  const scale = 1 / Math.sqrt(c.headDim);
  const p = new Float64Array(visible);
  let highest = -Infinity, sum = 0;
  for (let j = 0; j < visible; j++) {
    p[j] = dot(data.q, queryAt, data.k, keysAt + j * c.headDim, c.headDim) * scale;
    if (p[j] > highest) highest = p[j];
  }
  for (let j = 0; j < visible; j++) sum += p[j] = Math.exp(p[j] - highest);
  for (let j = 0; j < visible; j++) p[j] /= sum;
  return p;
}

/** A row of a result in float64. */
export interface ExactRow {
  readonly row: number;
  readonly values: Float64Array;
}

/** Sampled rows of an output. */
export function exactOutput(c: Case, data: Operands, causal: boolean): ExactRow[] {
  return sampledRows(c.batch * c.queryHeads, c.lengthQ).map((row) => {
    const { keysAt } = placeOf(c, row, causal);
    const p = probabilities(c, data, row, causal);
    const values = new Float64Array(c.headDim);
    for (let j = 0; j < p.length; j++) {
      for (let d = 0; d < c.headDim; d++) values[d] += p[j] * data.v[keysAt + j * c.headDim + d];
    }
    return { row, values };
  });
}

/** Largest absolute error of rows in a whole result. */
function rowsError(rows: readonly ExactRow[], found: Float32Array): number {
  return rows.reduce(
    (worst, { row, values }) => larger(worst, distance(found, row * values.length, values)),
    0,
  );
}

/** Largest absolute error of the sampled rows of an output. */
export function outputError(c: Case, data: Operands, causal: boolean, out: Float32Array): number {
  return rowsError(exactOutput(c, data, causal), out);
}

export interface SavedRows {
  readonly out: Float32Array;
  readonly lse: Float32Array;
}

export interface GradientRows {
  readonly dq: Float32Array;
  readonly dk: Float32Array;
  readonly dv: Float32Array;
}

/** Sampled rows of the gradients. */
export type ExactGradients = Readonly<Record<keyof GradientRows, readonly ExactRow[]>>;

/** A row of dk needs every query's softmax: those come from the saved out and lse. */
export function exactGradients(
  c: Case,
  data: Operands,
  causal: boolean,
  saved: SavedRows,
): ExactGradients {
  if (c.queryHeads !== c.kvHeads) {
    throw new RangeError("gradients are sampled without shared heads");
  }
  const dq = sampledRows(c.batch * c.queryHeads, c.lengthQ)
    .map((row) => ({ row, values: queryGradient(c, data, row, causal) }));
  const keys = sampledRows(c.batch * c.kvHeads, c.lengthK)
    .map((row) => ({ row, ...keyGradients(c, data, saved, row, causal) }));
  return {
    dq,
    dk: keys.map(({ row, dk }) => ({ row, values: dk })),
    dv: keys.map(({ row, dv }) => ({ row, values: dv })),
  };
}

/** Largest absolute value. */
export function largestOf(rows: readonly ExactRow[]): number {
  return rows.reduce(
    (most, { values }) => values.reduce((m, x) => Math.max(m, Math.abs(x)), most),
    0,
  );
}

/** Largest error of sampled rows of the gradients over the largest exact value of them. */
export function gradientError(
  c: Case,
  data: Operands,
  causal: boolean,
  saved: SavedRows,
  found: GradientRows,
): number {
  const exact = exactGradients(c, data, causal, saved);
  const names = ["dq", "dk", "dv"] as const;
  const worst = names.reduce((w, name) => larger(w, rowsError(exact[name], found[name])), 0);
  return worst / Math.max(...names.map((name) => largestOf(exact[name])));
}

function queryGradient(c: Case, data: Operands, row: number, causal: boolean): Float64Array {
  const { queryAt, keysAt } = placeOf(c, row, causal);
  const p = probabilities(c, data, row, causal);
  const size = c.headDim;
  const dp = p.map((_, j) => dot(data.dOut, queryAt, data.v, keysAt + j * size, size));
  const delta = dp.reduce((sum, x, j) => sum + x * p[j], 0);
  const dq = new Float64Array(size);
  for (let j = 0; j < p.length; j++) {
    const ds = p[j] * (dp[j] - delta) / Math.sqrt(size);
    for (let d = 0; d < size; d++) dq[d] += ds * data.k[keysAt + j * size + d];
  }
  return dq;
}

function keyGradients(
  c: Case,
  data: Operands,
  saved: SavedRows,
  row: number,
  causal: boolean,
): { dk: Float64Array; dv: Float64Array } {
  const size = c.headDim, scale = 1 / Math.sqrt(size);
  const head = Math.floor(row / c.lengthK), j = row % c.lengthK;
  const first = causal ? Math.max(0, j - c.lengthK + c.lengthQ) : 0;
  const dk = new Float64Array(size), dv = new Float64Array(size);
  for (let i = first; i < c.lengthQ; i++) {
    const query = head * c.lengthQ + i, at = query * size;
    const score = dot(data.q, at, data.k, row * size, size) * scale;
    const p = Math.exp(score - saved.lse[query]);
    const delta = dot(data.dOut, at, saved.out, at, size);
    const ds = p * (dot(data.dOut, at, data.v, row * size, size) - delta) * scale;
    for (let d = 0; d < size; d++) {
      dk[d] += ds * data.q[at + d];
      dv[d] += p * data.dOut[at + d];
    }
  }
  return { dk, dv };
}

/** Largest difference; NaN when anything is NaN or missing. */
export function distance(values: Float32Array, at: number, exact: Float64Array): number {
  let worst = 0;
  for (let d = 0; d < exact.length; d++) worst = larger(worst, Math.abs(values[at + d] - exact[d]));
  return worst;
}

/** Math.max that keeps a NaN whichever side it is on. */
export function larger(a: number, b: number): number {
  return a >= b ? a : (Number.isNaN(a) ? a : b);
}
