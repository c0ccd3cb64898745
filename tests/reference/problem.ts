/**
 * What the references compute on: operands as packed float64 in one order, [batch, head, row, dim], whatever layout,
 * strides and storage the tensors had. Independent of everything in `src/`.
 */

import { keptPairs } from "./dropout.ts";
import { decode, type StorageArray, type StorageType } from "../half.ts";
import type { BlockMaskFunction, MaskFunction, ScoreFunction } from "./functions.ts";

/** The part of the library's HostTensor that tests use. */
export interface TestTensor {
  readonly data: StorageArray;
  readonly shape: readonly number[];
  readonly dtype?: StorageType;
  readonly strides?: readonly number[];
}

/** A shape, or strides, of rank 4. */
export type Shape4 = [number, number, number, number];

/** A boolean mask as the library takes it. */
export interface MaskTensor {
  readonly data: Uint8Array<ArrayBuffer>;
  readonly shape: readonly number[];
}

export type Layout = "bshd" | "bhsd";
/** Keys to the left and to the right of the diagonal. */
export interface Window {
  readonly left?: number | undefined;
  readonly right?: number | undefined;
}
export type Causal =
  | true
  | "bottom-right"
  | "top-left"
  | { readonly offset: number | Int32Array<ArrayBuffer> };

/** Statistics of a row. */
export type StatisticName = "entropy" | "maxProbability" | "expectedKey";
export const STATISTICS: readonly StatisticName[] = ["entropy", "maxProbability", "expectedKey"];

/** The options of a call that the references know. */
export interface ReferenceOptions {
  readonly layout?: Layout;
  readonly softmaxScale?: number;
  readonly softcap?: number;
  /** [queryHeads] or [batch, queryHeads]. */
  readonly alibiSlopes?: TestTensor;
  readonly bias?: TestTensor;
  readonly mask?: MaskTensor;
  readonly scoreMod?: ScoreFunction;
  readonly maskMod?: MaskFunction;
  readonly blockMask?: BlockMaskFunction;
  readonly causal?: Causal;
  readonly window?: Window;
  readonly keyLengths?: Int32Array<ArrayBuffer>;
  /** [queryHeads]. */
  readonly sink?: TestTensor;
  readonly dropout?: { readonly probability: number; readonly seed: number | bigint };
  readonly stats?: readonly StatisticName[];
  readonly rotary?: RotaryOptions;
}

/** Rotary positions; see rotary.ts. */
export interface RotaryOptions {
  readonly base?: number;
  readonly dims?: number;
  readonly interleaved?: boolean;
  /** One for each row of a sequence, or for each row of every sequence. */
  readonly positionsQ?: Int32Array<ArrayBuffer>;
  readonly positionsK?: Int32Array<ArrayBuffer>;
  /** [positions, dims / 2]. */
  readonly cos?: TestTensor;
  readonly sin?: TestTensor;
  readonly keys?: boolean;
}

/** An array that broadcasts to [batch, queryHeads, lengthQ, lengthK]. */
export interface Broadcast {
  readonly values: Float64Array | Uint8Array;
  /** The shape with the missing leading axes written as 1. */
  readonly shape: readonly [number, number, number, number];
}

/** One attention problem in canonical form. */
export interface Problem {
  readonly batch: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly lengthQ: number;
  readonly lengthK: number;
  readonly headDim: number;
  readonly valueDim: number;
  readonly q: Float64Array;
  readonly k: Float64Array;
  readonly v: Float64Array;
  readonly scale: number;
  readonly softcap: number | undefined;
  /** Slopes as [batch or 1, queryHeads, 1, 1]. */
  readonly alibiSlopes: Broadcast | undefined;
  readonly bias: Broadcast | undefined;
  readonly mask: Broadcast | undefined;
  /** A logit for each query head. */
  readonly sink: Float64Array | undefined;
  /** Which pairs are kept, [batch, head, query, key], and what their probabilities are multiplied with. */
  readonly dropout: { readonly kept: Uint8Array; readonly scale: number } | undefined;
  readonly options: AllOptions;
}

/** Every option has its place, given or not: objects of one form, which engines of JavaScript read many times faster. */
export type AllOptions = {
  readonly [Name in keyof ReferenceOptions]-?: ReferenceOptions[Name] | undefined;
};

/** Reads a tensor of any strides into packed row-major float64. */
export function readPacked(tensor: TestTensor): Float64Array<ArrayBuffer> {
  const { shape } = tensor;
  const strides = tensor.strides ?? packedStrides(shape);
  const source = decode(tensor.data, tensor.dtype ?? "f32");
  const packed = new Float64Array(shape.reduce((product, size) => product * size, 1));
  const index = shape.map(() => 0);
  for (let n = 0, from = 0; n < packed.length; n++) {
    packed[n] = source[from]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return packed;
}

/** Reads a rank 4 operand into [batch, head, row, dim] order. */
export function readOperand(tensor: TestTensor, layout: Layout): Float64Array<ArrayBuffer> {
  if (layout === "bhsd") return readPacked(tensor);
  const strides = inOrder(tensor.strides ?? packedStrides(tensor.shape), layout);
  return readPacked({ ...tensor, shape: inOrder(tensor.shape, layout), strides });
}

/** Sizes or strides of a rank 4 operand in [batch, head, row, dim] order. */
function inOrder(axes: readonly number[], layout: Layout): Shape4 {
  const [a, b, c, d] = axes as Shape4;
  return layout === "bshd" ? [a, c, b, d] : [a, b, c, d];
}

/** Strides of a tensor without gaps, in elements. */
export function packedStrides(shape: readonly number[]): number[] {
  const strides = shape.map(() => 1);
  for (let axis = shape.length - 2; axis >= 0; axis--) {
    strides[axis] = strides[axis + 1]! * shape[axis + 1]!;
  }
  return strides;
}

/** Brings tensors and options into canonical form. */
export function describeProblem(
  q: TestTensor,
  k: TestTensor,
  v: TestTensor,
  options: ReferenceOptions,
): Problem {
  const layout = options.layout ?? "bshd";
  const [batch, queryHeads, lengthQ, headDim] = inOrder(q.shape, layout);
  const [, kvHeads, lengthK] = inOrder(k.shape, layout),
    [, , , valueDim] = inOrder(v.shape, layout);
  return {
    batch,
    queryHeads,
    kvHeads,
    lengthQ,
    lengthK,
    headDim,
    valueDim,
    q: readOperand(q, layout),
    k: readOperand(k, layout),
    v: readOperand(v, layout),
    scale: options.softmaxScale ?? 1 / Math.sqrt(headDim),
    softcap: options.softcap,
    alibiSlopes: options.alibiSlopes && {
      values: readPacked(options.alibiSlopes),
      shape: rank4([...options.alibiSlopes.shape, 1, 1]),
    },
    bias: options.bias && { values: readPacked(options.bias), shape: rank4(options.bias.shape) },
    mask: options.mask && { values: options.mask.data, shape: rank4(options.mask.shape) },
    sink: options.sink && readPacked(options.sink),
    dropout: options.dropout && {
      kept: keptPairs(options.dropout, [batch, queryHeads, lengthQ, lengthK]),
      scale: 1 / (1 - options.dropout.probability),
    },
    options: allOptions(options),
  };
}

/** Options with a place for each. */
export function allOptions(given: ReferenceOptions): AllOptions {
  const none: AllOptions = {
    ...{ layout: undefined, softmaxScale: undefined, softcap: undefined, alibiSlopes: undefined },
    ...{ bias: undefined, mask: undefined, scoreMod: undefined, maskMod: undefined },
    ...{ blockMask: undefined, causal: undefined, window: undefined, keyLengths: undefined },
    ...{ sink: undefined, dropout: undefined, stats: undefined, rotary: undefined },
  };
  return { ...none, ...given };
}

function rank4(shape: readonly number[]): [number, number, number, number] {
  const [key = 1, query = 1, head = 1, batch = 1] = shape.toReversed();
  return [batch, head, query, key];
}
