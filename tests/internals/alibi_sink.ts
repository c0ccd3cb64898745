/**
 * Calls with ALiBi and sinks, and what they must give: the formulas in float64, written out pair by pair in the
 * layout bshd.
 */

import type { AnyTensor, HostTensor, MaskTensor } from "../../mod.ts";
import type { CallOptions } from "../../src/problem/call_options.ts";
import { decode, encode, type StorageType } from "../half.ts";
import { normalNumbers } from "../random.ts";

/** A call in numbers; the layout is bshd. */
export interface Problem {
  readonly batch: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly lengthQ: number;
  readonly lengthK: number;
  readonly headDim: number;
  readonly valueDim: number;
  readonly dtype?: StorageType;
  readonly slopes?: "h" | "bh";
  readonly sink?: "random" | number;
  readonly bias?: boolean;
  readonly mask?: boolean;
  readonly softcap?: number;
  readonly causal?: CallOptions["causal"];
  readonly window?: CallOptions["window"];
  readonly keyLengths?: readonly number[];
}

/** A shape of several panels and tiles. */
export const small = { batch: 2, queryHeads: 4, kvHeads: 2, lengthQ: 45, lengthK: 97 };
/** Columns that fill no vector. */
export const dims = { headDim: 19, valueDim: 13 };
/** Enough work for two threads, and keys for two splits. */
export const decodeShape = { batch: 1, queryHeads: 8, kvHeads: 1, lengthQ: 1, lengthK: 3000 };

/** Each feature alone and with others, in every kernel. */
export const problems: readonly Problem[] = [
  { ...small, ...dims, slopes: "h" },
  { ...small, ...dims, slopes: "bh", causal: true, softcap: 3 },
  {
    ...small,
    ...dims,
    slopes: "bh",
    window: { left: 20, right: 4 },
    keyLengths: [60, 3],
    bias: true,
  },
  { ...small, ...dims, slopes: "h", causal: { offset: -7 }, mask: true, dtype: "f16" },
  { ...small, ...dims, sink: "random" },
  { ...small, ...dims, sink: "random", causal: { offset: -20 }, keyLengths: [97, 0] },
  { ...small, ...dims, sink: "random", softcap: 2, bias: true, mask: true, dtype: "bf16" },
  {
    ...small,
    ...dims,
    sink: "random",
    slopes: "bh",
    causal: true,
    window: { left: 9 },
    mask: true,
  },
  {
    ...small,
    ...dims,
    sink: "random",
    slopes: "h",
    softcap: 4,
    bias: true,
    kvHeads: 1,
    lengthQ: 90,
  },
  { ...small, ...dims, sink: 12, slopes: "h", causal: "top-left" },
  { ...small, ...dims, sink: -300, slopes: "h" },
  { ...small, ...dims, sink: -Infinity },
  { ...small, ...dims, sink: "random", slopes: "h", lengthK: 0 },
  { ...small, ...dims, sink: "random", slopes: "h", lengthQ: 0 },
  // decode
  { ...small, ...dims, sink: "random", slopes: "bh", lengthQ: 3, causal: true, mask: true },
  { ...small, ...dims, sink: "random", lengthQ: 2, lengthK: 0 },
  { ...small, ...dims, sink: "random", lengthQ: 1, keyLengths: [0, 40], slopes: "h" },
  { ...decodeShape, headDim: 128, valueDim: 130, sink: "random", slopes: "h" },
  { ...decodeShape, headDim: 128, valueDim: 128, sink: 5, slopes: "h", dtype: "f16" },
  { ...decodeShape, headDim: 128, valueDim: 128, sink: "random", mask: true, softcap: 3 },
  // backward in splits
  {
    ...{
      batch: 2,
      queryHeads: 2,
      kvHeads: 1,
      lengthQ: 60,
      lengthK: 800,
      headDim: 36,
      valueDim: 20,
    },
    ...{ sink: "random", slopes: "h", causal: true, softcap: 5 },
  },
  // several regions of rows
  {
    ...{
      batch: 1,
      queryHeads: 2,
      kvHeads: 1,
      lengthQ: 520,
      lengthK: 1600,
      headDim: 5,
      valueDim: 4,
    },
    ...{ sink: "random", slopes: "h", bias: true },
  },
];

/** Tensors and options of a problem. */
export interface Call {
  readonly q: HostTensor;
  readonly k: HostTensor;
  readonly v: HostTensor;
  readonly dOut: HostTensor;
  readonly dLse: HostTensor;
  readonly options: CallOptions;
}

/** Normal numbers. */
export function tensor(
  seed: number,
  shape: number[],
  dtype: StorageType = "f32",
  factor = 1,
): HostTensor {
  const n = shape.reduce((a, b) => a * b, 1);
  const data = encode(Float64Array.from(normalNumbers(seed, n, factor)), dtype, "bits");
  return { data, shape, ...(dtype === "f32" ? {} : { dtype }) } as HostTensor;
}

/** Mostly positive, as they are in models: scores of hundreds leave a float32 few digits. */
function slopesOf(shape: number[]): HostTensor {
  const { data } = tensor(7, shape, "f32", 0.1);
  return { data: (data as Float32Array).map((x, n) => n === 1 ? -0.01 : Math.abs(x)), shape };
}

/** The call that a problem describes. */
export function callOf(p: Problem): Call {
  const { batch, queryHeads, kvHeads, lengthQ, lengthK, headDim, valueDim, dtype } = p;
  const slopes = { h: [queryHeads], bh: [batch, queryHeads] };
  const sink = tensor(6, [queryHeads]);
  if (typeof p.sink === "number") (sink.data as Float32Array).fill(p.sink);
  const pairs = [1, queryHeads, lengthQ, lengthK];
  const mask: MaskTensor = {
    data: new Uint8Array(lengthQ * lengthK).map((_, n) => (n * 7919) % 13 < 8 ? 1 : 0),
    shape: [lengthQ, lengthK],
  };
  return {
    q: tensor(1, [batch, lengthQ, queryHeads, headDim], dtype),
    k: tensor(2, [batch, lengthK, kvHeads, headDim], dtype),
    v: tensor(3, [batch, lengthK, kvHeads, valueDim], dtype),
    dOut: tensor(4, [batch, lengthQ, queryHeads, valueDim], dtype),
    dLse: tensor(5, [batch, queryHeads, lengthQ]),
    options: {
      ...(p.slopes ? { alibiSlopes: slopesOf(slopes[p.slopes]) } : {}),
      ...(p.sink === undefined ? {} : { sink }),
      ...(p.bias ? { bias: tensor(8, pairs) } : {}),
      ...(p.mask ? { mask } : {}),
      ...(p.softcap ? { softcap: p.softcap } : {}),
      ...(p.causal ? { causal: p.causal } : {}),
      ...(p.window ? { window: p.window } : {}),
      ...(p.keyLengths ? { keyLengths: Int32Array.from(p.keyLengths) } : {}),
    },
  };
}

/** Results by name. */
export type Arrays = Record<string, Float64Array>;

/** The numbers of a tensor. */
export function values(tensor: AnyTensor | undefined): ArrayLike<number> | undefined {
  if (!tensor) return undefined;
  const { data, dtype } = tensor as HostTensor;
  return data instanceof Uint16Array ? decode(data, dtype as StorageType) : data as Float32Array;
}

/** Results and gradients by the definition. */
export class Reference {
  readonly want: Arrays;
  /** Sums of the magnitudes that were added up: what errors are compared with. */
  readonly size: Arrays;
  readonly #p: Problem;
  readonly #options: CallOptions;
  readonly #inputs: Readonly<Record<"q" | "k" | "v" | "dOut" | "dLse", ArrayLike<number>>>;
  readonly #slopes: ArrayLike<number> | undefined;
  readonly #sinks: ArrayLike<number> | undefined;
  readonly #biases: ArrayLike<number> | undefined;

  constructor(p: Problem, { q, k, v, dOut, dLse, options }: Call) {
    this.#p = p;
    this.#options = options;
    this.#inputs = {
      ...{ q: values(q)!, k: values(k)!, v: values(v)! },
      ...{ dOut: values(dOut)!, dLse: values(dLse)! },
    };
    this.#slopes = values(options.alibiSlopes);
    this.#sinks = values(options.sink);
    this.#biases = values(options.bias);
    this.want = this.#make();
    this.size = this.#make();
    for (let b = 0; b < p.batch; b++) {
      for (let h = 0; h < p.queryHeads; h++) {
        for (let i = 0; i < p.lengthQ; i++) this.#row(b, h, i);
      }
    }
  }

  #make(): Arrays {
    const { q, k, v, dOut, dLse } = this.#inputs;
    const like = { out: dOut, lse: dLse, dq: q, dk: k, dv: v };
    const sums = { dBias: this.#biases, dAlibiSlopes: this.#slopes, dSink: this.#sinks };
    const all = Object.entries({ ...like, ...sums }).filter(([, input]) => input !== undefined);
    return Object.fromEntries(all.map(([name, x]) => [name, new Float64Array(x!.length)]));
  }

  #add(name: string, at: number, x: number, magnitude: number = Math.abs(x)): void {
    this.want[name][at] += x;
    this.size[name][at] += magnitude;
  }

  /** The diagonal of query i, and whether it sees key j. */
  #visible(b: number, i: number): { d: number; sees: (j: number) => boolean } {
    const { lengthQ, lengthK, keyLengths } = this.#p, { causal, window, mask } = this.#options;
    const keys = keyLengths?.[b] ?? lengthK;
    const offset = typeof causal === "object"
      ? causal.offset as number
      : causal === "top-left"
      ? 0
      : keys - lengthQ;
    const d = i + offset, { left = Infinity, right = Infinity } = window ?? {};
    const sees = (j: number) =>
      j < keys && !(causal && j > d) && j >= d - left && j <= d + right &&
      !(mask && !mask.data[i * lengthK + j]);
    return { d, sees };
  }

  /** Index of an element for head h and, with a slope for each sequence, sequence b. */
  #slopeAt(b: number, h: number): number {
    const { queryHeads } = this.#p;
    return this.#slopes!.length > queryHeads ? b * queryHeads + h : h;
  }

  #row(b: number, h: number, i: number): void {
    const { queryHeads, kvHeads, lengthQ, lengthK, headDim } = this.#p, { softcap } = this.#options;
    const { q, k } = this.#inputs, { d, sees } = this.#visible(b, i);
    const pairs: { s: number; slope: number; j: number; key: number }[] = [];
    const query = (b * lengthQ + i) * queryHeads + h;
    for (let j = 0; j < lengthK; j++) {
      if (!sees(j)) continue;
      const key = (b * lengthK + j) * kvHeads + Math.floor(h / (queryHeads / kvHeads));
      let s = 0, slope = 1;
      for (let x = 0; x < headDim; x++) s += q[query * headDim + x] * k[key * headDim + x];
      s /= Math.sqrt(headDim);
      if (softcap) {
        slope = 1 - Math.tanh(s / softcap) ** 2;
        s = softcap * Math.tanh(s / softcap);
      }
      if (this.#slopes) s -= this.#slopes[this.#slopeAt(b, h)] * Math.abs(d - j);
      if (this.#biases) s += this.#biases[(h * lengthQ + i) * lengthK + j];
      pairs.push({ s, slope, j, key });
    }
    const logit = this.#sinks ? this.#sinks[h] : -Infinity;
    const m = pairs.reduce((most, { s }) => Math.max(most, s), logit);
    const l = pairs.reduce((sum, { s }) => sum + Math.exp(s - m), Math.exp(logit - m));
    const lse = m === -Infinity ? -Infinity : m + Math.log(l),
      row = (b * queryHeads + h) * lengthQ + i;
    this.want.lse[row] = lse;
    const weighed = pairs.map((pair) => ({ ...pair, p: Math.exp(pair.s - lse) }));
    const { delta, most } = this.#output(weighed, query, row);
    if (logit > -Infinity) {
      this.#add("dSink", h, -Math.exp(logit - lse) * delta, Math.exp(logit - lse) * most);
    }
    for (const pair of weighed) {
      const { ds, size } = this.#gradients(pair, query, delta, most),
        distance = Math.abs(d - pair.j);
      if (this.#biases) this.#add("dBias", (h * lengthQ + i) * lengthK + pair.j, ds, size);
      if (!this.#slopes) continue;
      this.#add("dAlibiSlopes", this.#slopeAt(b, h), -ds * distance, size * distance);
    }
  }

  /** Adds a row of out; returns its delta and the magnitude of that. */
  #output(
    pairs: readonly { p: number; key: number }[],
    query: number,
    row: number,
  ): { delta: number; most: number } {
    const { valueDim } = this.#p, { v, dOut, dLse } = this.#inputs;
    let delta = -dLse[row], most = Math.abs(dLse[row]);
    for (const { p, key } of pairs) {
      for (let x = 0; x < valueDim; x++) {
        const y = p * v[key * valueDim + x], g = dOut[query * valueDim + x];
        this.#add("out", query * valueDim + x, y);
        delta += y * g;
        most += Math.abs(y * g);
      }
    }
    return { delta, most };
  }

  /** Adds what a pair gives to dq, dk and dv; returns its dS after all features, and the magnitude of that. */
  #gradients(
    { p, slope, key }: { p: number; slope: number; key: number },
    query: number,
    delta: number,
    most: number,
  ): { ds: number; size: number } {
    const { headDim, valueDim } = this.#p, { q, k, v, dOut } = this.#inputs;
    let dp = 0, size = most;
    for (let x = 0; x < valueDim; x++) {
      const g = dOut[query * valueDim + x], y = g * v[key * valueDim + x];
      dp += y;
      size += Math.abs(y);
      this.#add("dv", key * valueDim + x, p * g);
    }
    const ds = p * (dp - delta), scale = 1 / Math.sqrt(headDim);
    size *= p;
    for (let x = 0; x < headDim; x++) {
      const [byQ, byK] = [k[key * headDim + x], q[query * headDim + x]];
      this.#add("dq", query * headDim + x, ds * slope * scale * byQ, size * scale * Math.abs(byQ));
      this.#add("dk", key * headDim + x, ds * slope * scale * byK, size * scale * Math.abs(byK));
    }
    return { ds, size };
  }
}
