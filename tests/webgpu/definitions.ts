/** Calls with slopes and sinks against their definitions, for features_test.ts. */

import assert from "node:assert/strict";
import type {
  AttentionGradients,
  AttentionOptions,
  AttentionResult,
  Engine,
  HostTensor,
} from "../../mod.ts";
import { decode } from "../half.ts";
import { plainTensor } from "../inputs.ts";
import type { TestTensor } from "../reference/problem.ts";
import { homes } from "./tensors.ts";

/** Sizes of a call, with what it is asked. */
export interface Problem {
  readonly batch: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly lengthQ: number;
  readonly lengthK: number;
  readonly dim: number;
  readonly options: AttentionOptions;
}

export interface Call extends Problem {
  readonly q: TestTensor;
  readonly k: TestTensor;
  readonly v: TestTensor;
  readonly dOut: TestTensor;
  readonly dLse: TestTensor;
}

/** A call of these sizes in layout "bhsd". */
export function call(sizes: Partial<Problem>): Call {
  const p: Problem = {
    ...{ batch: 2, heads: 4, kvHeads: 2, lengthQ: 21, lengthK: 37, dim: 32 },
    options: {},
    ...sizes,
  };
  const { batch, heads, kvHeads, lengthQ, lengthK, dim } = p;
  return {
    ...p,
    options: { layout: "bhsd", ...p.options },
    q: plainTensor(1, [batch, heads, lengthQ, dim]),
    k: plainTensor(2, [batch, kvHeads, lengthK, dim]),
    v: plainTensor(3, [batch, kvHeads, lengthK, dim]),
    dOut: plainTensor(4, [batch, heads, lengthQ, dim]),
    dLse: plainTensor(5, [batch, heads, lengthQ]),
  };
}

/** Values of a tensor in any storage type. */
export function values({ data, dtype = "f32" }: TestTensor): Float64Array {
  return decode(data, dtype);
}

/** Fails unless every value is within `bound` of the largest wanted one, or of 1. */
export function near(got: TestTensor, want: ArrayLike<number>, bound: number, about: string): void {
  const a = values(got);
  assert.equal(a.length, want.length, about);
  let largest = 1;
  for (let n = 0; n < want.length; n++) {
    if (Number.isFinite(want[n])) largest = Math.max(largest, Math.abs(want[n]!));
  }
  for (let n = 0; n < want.length; n++) {
    const same = Object.is(a[n], want[n]) || a[n] === want[n];
    const off = Math.abs(a[n]! - want[n]!);
    assert.ok(same || off <= bound * largest, `${about}[${n}] is ${a[n]}, wanted ${want[n]}`);
  }
}

type Results =
  & Record<string, TestTensor>
  & { readonly [name in "out" | "lse" | "dq" | "dk" | "dv"]: TestTensor };

/** Forward and backward of a call; options that say nothing else hold for both. */
export async function both(engine: Engine, c: Call, options: AttentionOptions): Promise<Results> {
  const { q, k, v, dOut, dLse } = c, all = { ...c.options, ...options };
  const forward = await engine.attention(q, k, v, all) as AttentionResult<HostTensor>;
  const saved = { q, k, v, ...forward };
  const backward = await engine.attentionBackward(dOut, saved, { ...all, dLse });
  return await homes({ ...forward, ...backward } as AttentionResult & AttentionGradients);
}

/** Where the diagonal of a sequence lies. */
function offsetOf({ options, lengthQ, lengthK }: Call, b: number): number {
  const { causal, keyLengths } = options;
  if (typeof causal === "object") {
    return typeof causal.offset === "number" ? causal.offset : causal.offset[b]!;
  }
  return causal === "top-left" ? 0 : ((keyLengths as Int32Array)?.[b] ?? lengthK) - lengthQ;
}

/** |d(i) - j| of every score. */
function distances(c: Call): Float64Array {
  const { batch, heads, lengthQ, lengthK } = c;
  const table = new Float64Array(batch * heads * lengthQ * lengthK);
  table.forEach((_, n) => {
    const j = n % lengthK, i = Math.floor(n / lengthK) % lengthQ;
    const b = Math.floor(n / (lengthK * lengthQ * heads));
    table[n] = Math.abs(i + offsetOf(c, b) - j);
  });
  return table;
}

/** Slopes against the same call with a bias table that holds them. */
export async function checkSlopes(engine: Engine, c: Call, perBatch: boolean): Promise<void> {
  const { batch, heads, lengthQ, lengthK, options } = c, plane = lengthQ * lengthK;
  const shape = perBatch ? [batch, heads] : [heads];
  const slopes = plainTensor(6, shape, 0.2), far = distances(c);
  const slopeOf = (n: number) => {
    const plane0 = Math.floor(n / plane);
    return perBatch ? plane0 : plane0 % heads;
  };
  const given = options.bias && values(options.bias as TestTensor);
  const table = Float32Array.from(
    far,
    (x, n) => (given ? given[n % plane]! : 0) - slopes.data[slopeOf(n)]! * x,
  );
  const bias = { data: table, shape: [batch, heads, lengthQ, lengthK] };
  const got = await both(engine, c, { alibiSlopes: slopes as HostTensor });
  const want = await both(engine, c, { bias });
  for (const name of ["out", "lse", "dq", "dk", "dv"]) {
    near(got[name]!, values(want[name]!), 2e-5, name);
  }
  const dBias = values(want.dBias!), sums = new Float64Array(slopes.data.length);
  dBias.forEach((x, n) => sums[slopeOf(n)]! -= x * far[n]!);
  near(got.dAlibiSlopes!, sums, 1e-4, "dAlibiSlopes");
  assert.deepEqual([...got.dAlibiSlopes!.shape], shape);
  if (!given) return;
  const own = new Float64Array(plane);
  dBias.forEach((x, n) => own[n % plane]! += x);
  near(got.dBias!, own, 1e-4, "dBias");
}

/** A sink from the same call without it: `lse' = ln(e^lse + e^sink)`, and what follows from that. */
export async function checkSink(
  engine: Engine,
  c: Call,
  sink: Float32Array,
  tolerance = 1,
): Promise<void> {
  const { heads, lengthQ, dim, q, k, v, dOut, dLse, options } = c;
  const got = await both(engine, c, { sink: { data: sink, shape: [heads] } });
  const plain = await homes(await engine.attention(q, k, v, options));
  const headOf = (row: number) => Math.floor(row / lengthQ) % heads;
  const lse = values(plain.lse).map((x, row) => {
    const s = sink[headOf(row)]!, top = Math.max(x, s);
    return top === -Infinity ? top : top + Math.log(Math.exp(x - top) + Math.exp(s - top));
  });
  const share = values(plain.lse).map((x, row) => x === -Infinity ? 0 : Math.exp(x - lse[row]!));
  const out = values(plain.out).map((x, n) => x * share[Math.floor(n / dim)]!);
  near(got.lse!, lse, 1e-5 * tolerance, "lse");
  near(got.out!, out, 1e-5 * tolerance, "out");
  // gradients of the plain call are those of this one when out and lse are this one's: P is made from lse
  const saved = { q, k, v, out: got.out, lse: got.lse } as never;
  const want = await homes(
    await engine.attentionBackward(dOut as HostTensor, saved, { ...options, dLse } as never),
  );
  for (const name of ["dq", "dk", "dv"]) near(got[name]!, values(want[name]!), 1e-6, name);
  const dSink = new Float64Array(heads), grad = values(dOut), dl = values(dLse);
  lse.forEach((x, row) => {
    let delta = -dl[row]!;
    for (let d = 0; d < dim; d++) delta += grad[row * dim + d]! * out[row * dim + d]!;
    const s = sink[headOf(row)]!;
    if (s !== -Infinity) dSink[headOf(row)]! -= Math.exp(s - x) * delta;
  });
  near(got.dSink!, dSink, 2e-5 * tolerance, "dSink");
}

/** Sinks of `n` heads: small, low, none, high. */
export const sinks = (n: number): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: n }, (_, h) => [0.7, -2, -Infinity, 5][h % 4]!);
