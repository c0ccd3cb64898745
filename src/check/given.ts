// What the checked functions are given and what they return.
import type { Layout } from "../problem/call_options.ts";
import type { HostTensor } from "../tensor/tensor.ts";

/** Numbers that a checked function may return. */
export type GivenNumbers = ArrayLike<number>;

/** A tensor that is read, as the resident ones of this library are. */
export interface ReadableResult {
  /** Must be the wanted one. */
  readonly shape: readonly number[];
  /** The numbers, row-major. */
  read(as: "f32"): Promise<Float32Array>;
}

/** A result of a checked function: its numbers alone, or with the shape that they have. */
export type GivenResult = GivenNumbers | ReadableResult | {
  /** The numbers, row-major. */
  readonly data: GivenNumbers;
  /** Must be the wanted one. */
  readonly shape?: readonly number[] | undefined;
};

/** Options of a checked call: those of `attention`, in one form each. What the problem does not have is not there. */
export interface CheckedCallOptions {
  /** Order of the axes of q, k, v, out and their gradients. */
  readonly layout: Layout;
  /** Factor of the scores; if absent `1 / sqrt(headDim)`. */
  readonly softmaxScale?: number;
  /** `s = softcap * tanh(s / softcap)`. */
  readonly softcap?: number;
  /** `true`: the last query sees the last key; `"top-left"`: the first query sees the first key alone. */
  readonly causal?: true | "top-left";
  /** Keys to the left and to the right of the diagonal. */
  readonly window?: { readonly left?: number; readonly right?: number };
  /** [queryHeads]. */
  readonly alibiSlopes?: HostTensor<Float32Array<ArrayBuffer>>;
  /** Rank 4: axes of size 1 repeat. */
  readonly bias?: HostTensor<Float32Array<ArrayBuffer>>;
  /** Rank 4, likewise; 1 = may attend. */
  readonly mask?: { readonly data: Uint8Array<ArrayBuffer>; readonly shape: readonly number[] };
  /** [batch]. */
  readonly keyLengths?: Int32Array<ArrayBuffer>;
  /** [queryHeads]. */
  readonly sink?: HostTensor<Float32Array<ArrayBuffer>>;
}

/** Options of a checked backward call. */
export interface CheckedBackwardOptions extends CheckedCallOptions {
  /** Gradient of the loss with respect to lse, [batch, queryHeads, lengthQ]. */
  readonly dLse?: HostTensor<Float32Array<ArrayBuffer>>;
}

/** A tensor as checked functions get it. */
export type CheckedTensor = HostTensor<Float32Array<ArrayBuffer>>;

/** What a checked forward function returns, and perhaps more, for its backward function. */
export interface CheckedForwardResult {
  /** Like q with valueDim for headDim. */
  readonly out: GivenResult;
  /** [batch, queryHeads, lengthQ]. */
  readonly lse?: GivenResult | undefined;
}

/** What a checked backward function returns: gradients in the shapes of their operands. */
export interface CheckedGradients {
  /** Gradient of q. */
  readonly dq: GivenResult;
  /** Gradient of k. */
  readonly dk: GivenResult;
  /** Gradient of v. */
  readonly dv: GivenResult;
  /** Where the problem has `bias`. */
  readonly dBias?: GivenResult | undefined;
  /** Where the problem has `alibiSlopes`. */
  readonly dAlibiSlopes?: GivenResult | undefined;
  /** Where the problem has `sink`. */
  readonly dSink?: GivenResult | undefined;
}

/** The attention to check. */
export type CheckedForward<F extends CheckedForwardResult> = (
  q: CheckedTensor,
  k: CheckedTensor,
  v: CheckedTensor,
  options: CheckedCallOptions,
) => F | Promise<F>;

/** Its gradients. `saved` is what the forward function returned, with q, k and v. */
export type CheckedBackward<F extends CheckedForwardResult> = (
  dOut: CheckedTensor,
  saved: { readonly q: CheckedTensor; readonly k: CheckedTensor; readonly v: CheckedTensor } & F,
  options: CheckedBackwardOptions,
) => CheckedGradients | Promise<CheckedGradients>;
