/**
 * Long sequences of which little is visible: lists of blocks beside no mask at all, a window with global tokens that
 * should be linear in the length, and a million tokens. One head, one thread, host tensors.
 * @module
 */

import { type AttentionOptions, createEngine, type HostTensor, masks } from "../../mod.ts";
import type { Context } from "../context.ts";
import type { Measured } from "../goals.ts";
import { BLOCK, randomBlocks } from "../random_blocks.ts";
import { mebibytes, milliseconds, printTable, times } from "../measure/table.ts";

const DIM = 64;
/** Above the number of blocks in a row. */
const PRIME = 1048573;
/** Calls of which the fastest counts; what takes long has one. */
const CALLS = 3;

type Operand = HostTensor<Float32Array<ArrayBuffer>>;

/** Times of the passes in milliseconds, of whole calls on host tensors, and the memory of the engine. */
interface Measurement {
  readonly forward: number;
  readonly backward?: number;
  readonly wasmBytes: number;
  readonly out: Float32Array;
}

/** Unit normals would take a minute for a million tokens: these are uniform, of the same variance. */
function operand(length: number, seed: number): Operand {
  const data = new Float32Array(length * DIM);
  let state = seed;
  for (let n = 0; n < data.length; n++) {
    state = Math.imul(state, 1664525) + 1013904223 >>> 0;
    data[n] = (state / 2 ** 31 - 1) * Math.sqrt(3);
  }
  return { data, shape: [1, length, 1, DIM] };
}

/** A row of the result from its visible blocks in float64: the largest difference. */
function rowError(
  { q, k, v }: { q: Operand; k: Operand; v: Operand },
  out: Float32Array,
  i: number,
  columns: readonly number[],
): number {
  const keys = columns.flatMap((b) => Array.from({ length: BLOCK }, (_, j) => b * BLOCK + j));
  const dot = (j: number) => {
    let sum = 0;
    for (let d = 0; d < DIM; d++) sum += q.data[i * DIM + d]! * k.data[j * DIM + d]!;
    return sum / Math.sqrt(DIM);
  };
  const scores = keys.map(dot), most = Math.max(...scores);
  const weights = scores.map((s) => Math.exp(s - most));
  const total = weights.reduce((a, b) => a + b);
  let error = 0;
  for (let d = 0; d < DIM; d++) {
    const want = keys.reduce((sum, j, n) => sum + weights[n]! * v.data[j * DIM + d]!, 0) / total;
    error = Math.max(error, Math.abs(want - out[i * DIM + d]!));
  }
  return error;
}

async function measure(
  operands: { q: Operand; k: Operand; v: Operand },
  options: AttentionOptions,
  { backward = true, calls = CALLS }: { backward?: boolean; calls?: number } = {},
): Promise<Measurement> {
  const engine = await createEngine({ backend: "wasm", threads: 1 }), { q, k, v } = operands;
  let best: Measurement | undefined;
  for (let n = 0; n < calls; n++) {
    const start = performance.now(), { out, lse } = await engine.attention(q, k, v, options);
    const middle = performance.now();
    if (backward) await engine.attentionBackward(q, { q, k, v, out, lse }, options);
    const end = performance.now(), { total: wasmBytes } = engine.memory;
    best = {
      ...{ forward: Math.min(best?.forward ?? Infinity, middle - start), wasmBytes },
      ...(backward && { backward: Math.min(best?.backward ?? Infinity, end - middle) }),
      out: out.data,
    };
  }
  engine.dispose();
  return best!;
}

export async function sparseSection(context: Context): Promise<Measured[]> {
  const scale = context.quick ? 16 : 1, rows: string[][] = [];
  const add = (pattern: string, length: number, found: Measurement, more: object = {}) => {
    const { forward, backward, wasmBytes } = found;
    const row = { pattern, length, forward, backward: backward ?? null, wasmBytes, ...more };
    context.results.add("sparse", row);
    const perToken = `${(1000 * forward / length).toFixed(2)} µs`;
    const back = backward === undefined ? "" : milliseconds(backward);
    rows.push([
      ...[pattern, `${length}`, milliseconds(forward), perToken, back, mebibytes(wasmBytes)],
      Object.entries(more).map(([name, value]) => `${name} ${value}`).join(", "),
    ]);
  };
  const inputs = (length: number) => ({
    ...{ q: operand(length, 1), k: operand(length, 2), v: operand(length, 3) },
  });
  const long = 65536 / scale,
    operands = inputs(long),
    dense = await measure(operands, {}, { calls: 1 });
  add("no mask", long, dense);
  const sparse = await measure(operands, { blockMask: randomBlocks(long, 0.01, PRIME).mask });
  add("blocks, 1 %", long, sparse, {
    forwardOver: times(dense.forward / sparse.forward),
    backwardOver: times(dense.backward! / sparse.backward!),
  });
  const local = masks.window(255, 0).or(masks.globalTokens(4)).and(masks.causal());
  for (const length of [16384, 65536, 262144, 1048576].map((n) => n / scale)) {
    const settings = { backward: length < 2 ** 20, calls: length < 2 ** 20 ? CALLS : 1 };
    const found = await measure(inputs(length), { maskMod: local }, settings);
    add("window and global tokens", length, found);
  }
  const million = 2 ** 20 / scale,
    far = inputs(million),
    blocks = randomBlocks(million, 0.001, PRIME);
  const found = await measure(far, { blockMask: blocks.mask }, { backward: false, calls: 1 });
  const sampled = Array.from({ length: 16 }, (_, n) => (n * 104729 * 7 + 5) % million);
  const errors = sampled.map((i) =>
    rowError(far, found.out, i, blocks.rows[Math.floor(i / BLOCK)]!)
  );
  add("blocks, 0.1 %", million, found, { rowError: Math.max(...errors).toExponential(1) });
  const head = ["pattern", "length", "forward", "a token", "backward", "wasm memory", ""];
  printTable("Sparse, one head, D 64, one thread", head, rows);
  return [];
}
