// What is asked of calls that look inside attention, and what the largest scores are returned as.
import type {
  AnyTensor,
  FloatResultOf,
  HostTensor,
  IntegerTensor,
  Tensor,
} from "../tensor/tensor.ts";
import type { CallOptions } from "./call_options.ts";

/** A part of an axis: its first index, and one past its last. */
export type IndexRange = readonly [first: number, end: number];

/**
 * How far scores have come: `"raw"` is the scaled product, `"softcapped"` has the softcap too, `"masked"` every option, and
 * minus infinity at hidden pairs, `"probabilities"` are the weights of the softmax.
 */
export type ScoreStage = "raw" | "softcapped" | "masked" | "probabilities";

/** What `attentionScores` computes: options of the call to `attention`, a stage, and which rectangle. */
export interface ScoresCallOptions extends CallOptions {
  /** How far scores have come. */
  readonly stage: ScoreStage;
  /** Queries. Default all. */
  readonly rows?: IndexRange | undefined;
  /** Keys. Default all. */
  readonly keys?: IndexRange | undefined;
  /** The result `lse` of that call, [batch, queryHeads, lengthQ]; probabilities need it. */
  readonly lse?: AnyTensor | undefined;
}

/** What `attentionTopKeys` computes: options of the call to `attention`, how many keys, and of which queries. */
export interface TopKeysCallOptions extends CallOptions {
  /** Keys of each query, from 1 to lengthK. */
  readonly count: number;
  /** Queries. Default all. */
  readonly rows?: IndexRange | undefined;
}

/** What `attentionTopKeys` returns, [batch, queryHeads, rows, count] each, the largest first. They live where q lives. */
export interface TopKeys<T = HostTensor> {
  /** The numbers of the keys, 32-bit integers; −1 where fewer are visible. */
  readonly keys: T extends Tensor ? IntegerTensor : HostTensor<Int32Array>;
  /** Their probabilities, f32; 0 where there is no key. */
  readonly probabilities: FloatResultOf<T>;
  /** Set when the GPU was lost during the call: where it was computed again. */
  readonly recovered?: "webgpu" | "wasm" | undefined;
}
