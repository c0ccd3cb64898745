/**
 * What contenders are checked against: the float64 reference of the tests. A small case is computed
 * whole; of a large one about sixteen rows with all their columns, which is cheap for any length, so
 * that every configuration is verified in the run that times it.
 * @module
 */

import {
  attentionBackwardF64,
  attentionF64,
  type ForwardF64,
} from "../tests/reference/attention_f64.ts";
import { allOptions, type Problem } from "../tests/reference/problem.ts";
import type { Call, Case, Operands } from "./cases.ts";

export type Arrays<Name extends string> = Readonly<Record<Name, Float32Array>>;
export type Saved = Arrays<"out" | "lse">;
export type Gradients = Arrays<"dq" | "dk" | "dv">;

/** A row of a result in float64. */
export interface ExactRow {
  readonly row: number;
  readonly values: Float64Array;
}

const ROWS = 16;

/** The reference only reads its operands, and every float is a double: no copy is needed. */
const doubles = (x: Float32Array): Float64Array => x as unknown as Float64Array;

function problemOf(c: Case, data: Pick<Operands, "q" | "k" | "v">, causal: boolean): Problem {
  const none = { softcap: undefined, alibiSlopes: undefined, bias: undefined, mask: undefined };
  return {
    ...{ ...c, valueDim: c.headDim, scale: 1 / Math.sqrt(c.headDim) },
    ...{ q: doubles(data.q), k: doubles(data.k), v: doubles(data.v) },
    ...{ ...none, sink: undefined, dropout: undefined },
    options: allOptions(causal ? { causal: true } : {}),
  };
}

/** Largest error of all results in a small case: `out`, or `dq`, `dk` and `dv`. */
export function wholeError({ c, data, causal }: Call, found: Arrays<string>): number {
  const problem = problemOf(c, data, causal), forward = attentionF64(problem);
  const { dq, dk, dv } = attentionBackwardF64(problem, forward, doubles(data.dOut));
  const exact = "dq" in found ? { dq, dk, dv } : { out: forward.out };
  return Object.entries(exact).map(([name, values]) => {
    return found[name]?.length === values.length ? distance(found[name], 0, values) : NaN;
  }).reduce(larger);
}

/** A row of q (or of k, where `heads` are kv heads), counted over batch, heads and length. */
function sampledRows(heads: number, length: number): number[] {
  const rows = heads * length;
  const first = [0, length - 1, rows - 1];
  // Spread over heads and places in the tile: the multiplier is prime.
  const spread = Array.from({ length: ROWS - first.length }, (_, i) => (i + 1) * 104729 % rows);
  return [...new Set([...first, ...spread])].map((row) => Math.min(row, rows - 1));
}

/** One row of queries with the keys that it sees, as a problem of its own. */
function rowProblem({ c, data, causal }: Call, row: number): Problem {
  const size = c.headDim, i = row % c.lengthQ;
  const kvHead = Math.floor(Math.floor(row / c.lengthQ) / (c.queryHeads / c.kvHeads));
  const last = causal ? Math.min(c.lengthK, i + c.lengthK - c.lengthQ + 1) : c.lengthK;
  const lengthK = Math.max(0, last), from = kvHead * c.lengthK * size, to = from + lengthK * size;
  const one = { ...c, batch: 1, queryHeads: 1, kvHeads: 1, lengthQ: 1, lengthK };
  const q = rowOf(data.q, row, size), k = data.k.subarray(from, to), v = data.v.subarray(from, to);
  return problemOf(one, { q, k, v }, false);
}

function rowOf(x: Float32Array, row: number, size: number): Float32Array {
  return x.subarray(row * size, (row + 1) * size);
}

/** A sampled row of queries, and all that the reference makes of it. */
interface QueryRow {
  readonly row: number;
  readonly problem: Problem;
  readonly forward: ForwardF64;
}

/** Contenders of one call, and its gradients, share the rows. */
const queryRows = new WeakMap<Call, readonly QueryRow[]>();

function sampledQueries(call: Call): readonly QueryRow[] {
  const known = queryRows.get(call);
  if (known) return known;
  const rows = sampledRows(call.c.batch * call.c.queryHeads, call.c.lengthQ).map((row) => {
    const problem = rowProblem(call, row);
    return { row, problem, forward: attentionF64(problem) };
  });
  queryRows.set(call, rows);
  return rows;
}

/** Sampled rows of an output. */
export function exactOutput(call: Call): ExactRow[] {
  return sampledQueries(call).map(({ row, forward }) => ({ row, values: forward.out }));
}

/** Largest absolute error of the sampled rows of an output. */
export function outputError(call: Call, out: Float32Array): number {
  return rowsError(exactOutput(call), out);
}

/** Sampled rows of the gradients. A row of dk needs every query's softmax: from the saved out and lse. */
export function exactGradients(
  call: Call,
  saved: Saved,
): Record<keyof Gradients, readonly ExactRow[]> {
  const { c, data } = call;
  if (c.queryHeads !== c.kvHeads) {
    throw new RangeError("gradients are sampled without shared heads");
  }
  const dq = sampledQueries(call).map(({ row, problem, forward }) => {
    const dOut = doubles(rowOf(data.dOut, row, c.headDim));
    return { row, values: attentionBackwardF64(problem, forward, dOut).dq };
  });
  const keys = sampledRows(c.batch * c.kvHeads, c.lengthK)
    .map((row) => ({ row, ...keyGradients(call, saved, row) }));
  const dk = keys.map(({ row, dk }) => ({ row, values: dk }));
  return { dq, dk, dv: keys.map(({ row, dv }) => ({ row, values: dv })) };
}

function keyGradients({ c, data, causal }: Call, saved: Saved, row: number) {
  const size = c.headDim, scale = 1 / Math.sqrt(size);
  const head = Math.floor(row / c.lengthK), j = row % c.lengthK;
  const first = causal ? Math.max(0, j - c.lengthK + c.lengthQ) : 0;
  const dk = new Float64Array(size), dv = new Float64Array(size);
  for (let i = first; i < c.lengthQ; i++) {
    const query = head * c.lengthQ + i, at = query * size;
    const p = Math.exp(dot(data.q, at, data.k, row * size, size) * scale - saved.lse[query]!);
    const delta = dot(data.dOut, at, saved.out, at, size);
    const ds = p * (dot(data.dOut, at, data.v, row * size, size) - delta) * scale;
    for (let d = 0; d < size; d++) {
      dk[d]! += ds * data.q[at + d]!;
      dv[d]! += p * data.dOut[at + d]!;
    }
  }
  return { dk, dv };
}

function dot(a: Float32Array, at: number, b: Float32Array, bt: number, size: number): number {
  let sum = 0;
  for (let d = 0; d < size; d++) sum += a[at + d]! * b[bt + d]!;
  return sum;
}

/** Largest error of sampled rows of the gradients over the largest exact value of them. */
export function gradientError(call: Call, saved: Saved, found: Gradients): number {
  const exact = exactGradients(call, saved), names = ["dq", "dk", "dv"] as const;
  const worst = names.map((name) => rowsError(exact[name], found[name])).reduce(larger);
  return worst / Math.max(...names.map((name) => largestOf(exact[name])));
}

/** Largest absolute error of rows in a whole result. */
export function rowsError(rows: readonly ExactRow[], found: Float32Array): number {
  return rows.map(({ row, values }) => distance(found, row * values.length, values)).reduce(larger);
}

/** Largest absolute value. */
export function largestOf(rows: readonly ExactRow[]): number {
  return Math.max(
    ...rows.map(({ values }) => values.reduce((m, x) => Math.max(m, Math.abs(x)), 0)),
  );
}

/** Largest difference; NaN when anything is NaN or missing. */
function distance(values: Float32Array, at: number, exact: Float64Array): number {
  let worst = 0;
  for (let d = 0; d < exact.length; d++) {
    worst = larger(worst, Math.abs(values[at + d]! - exact[d]!));
  }
  return worst;
}

/** Math.max that keeps a NaN whichever side it is on. */
export function larger(a: number, b: number): number {
  return a >= b ? a : (Number.isNaN(a) ? a : b);
}
