/** Calls with ALiBi and sinks: in numbers, and as tensors in the layout bshd. */

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

/** The numbers of a tensor. */
export function values(tensor: AnyTensor | undefined): ArrayLike<number> | undefined {
  if (!tensor) return undefined;
  const { data, dtype } = tensor as HostTensor;
  return data instanceof Uint16Array ? decode(data, dtype as StorageType) : data as Float32Array;
}
