// What is asked of a call and what it returns; how and where it runs is in options.ts.
import type { BlockMask } from "../expression/block_mask.ts";
import type { Captured } from "../expression/captured.ts";
import type { FloatExpression } from "../expression/expressions.ts";
import type { MaskMod, ScoreMod } from "../expression/score_mod.ts";
import type { StatisticName } from "../tensor/operands.ts";
import type { Precision } from "./precision.ts";
import type { GradientVerification, Verification } from "./verification.ts";
import type {
  AnyTensor,
  BooleanTensor,
  FloatResultOf,
  HostTensor,
  MaskTensor,
} from "../tensor/tensor.ts";

/** Order of the axes: `"bshd"` is [batch, length, heads, dim], `"bhsd"` is [batch, heads, length, dim]. */
export type Layout = "bshd" | "bhsd";

/** An integer for all sequences of a batch, or one for each. */
export type PerSequence = number | readonly number[] | Int32Array;

/**
 * Where packed sequences begin, [sequences + 1]: sequence n has the rows from entry n to before entry n + 1. The
 * first is 0, none is below the one before it, the last is at most the rows of the tensor.
 */
export type SequenceStarts = readonly number[] | Int32Array;

/**
 * Which keys a query may see, with `o = lengthK - lengthQ`: `true` and `"bottom-right"` mean
 * `j <= i + o`, `"top-left"` means `j <= i`, `{ offset: n }` means `j <= i + n` (an integer, or one for
 * each batch element).
 */
export type Causal =
  | boolean
  | "bottom-right"
  | "top-left"
  | { readonly offset: PerSequence };

/** `i + o - left <= j <= i + o + right`; a side that is missing is unbounded. */
export interface Window {
  /** Keys to the left of the diagonal. */
  readonly left?: number | undefined;
  /** Keys to the right of the diagonal. */
  readonly right?: number | undefined;
}

/**
 * Positions of the rows of a side: an Int32Array of as many as a sequence has rows, which all sequences share, or with
 * one for each row of every sequence, one sequence behind the other (of packed ones, one for each row); or a tensor of
 * these, [length] or [batch, length].
 */
export type Positions = Int32Array | HostTensor<Int32Array>;

/**
 * How pairs of columns turn: (a, b) becomes (a cos - b sin, b cos + a sin), by angles that are found in float64. Column p
 * is paired with p + dims / 2 (GPT-NeoX), or 2p with 2p + 1 (GPT-J).
 */
export interface RotaryAngles {
  /** Pair p turns by `position * base^(-2p / dims)`. Default 10000. */
  readonly base?: number | undefined;
  /** Leading columns that turn: an even number, at most the head dim, which is the default. The others stay. */
  readonly dims?: number | undefined;
  /** Whether pairs are neighbours. Default `false`: halves. */
  readonly interleaved?: boolean | undefined;
  /**
   * Cosines of each position from 0 on, [positions, dims / 2], a host tensor or its Float32Array: with `sin` in place of
   * `base`, which is not looked at then.
   */
  readonly cos?: HostTensor | Float32Array | undefined;
  /** Sines, likewise. */
  readonly sin?: HostTensor | Float32Array | undefined;
}

/** Rotary positions of q and k. */
export interface Rotary extends RotaryAngles {
  /** Default: counted so that the last query has the position of the last key, `lengthK - 1`, or `keyLengths - 1`. */
  readonly positionsQ?: Positions | undefined;
  /** Default: the number of the row in its sequence. Negative ones are legal, but for tables. */
  readonly positionsK?: Positions | undefined;
  /** `false`: k is rotated already, as in a cache, so only q is. Default `true`. */
  readonly keys?: boolean | undefined;
}

/**
 * What a call computes, beside its tensors. The options apply in this order: rotary, scale, softcap, ALiBi,
 * bias, scoreMod, masks, sink, softmax, dropout, product with v.
 */
export interface CallOptions {
  /** Order of the axes of q, k, v and of the results. Default `"bshd"`. */
  readonly layout?: Layout | undefined;
  /**
   * Rotates pairs of columns of q and k by their positions as they are read (Su et al. 2021, RoFormer); `{}` is that with
   * every default. dq and dk are gradients of q and k as they were given.
   */
  readonly rotary?: Rotary | undefined;
  /** Factor of the scores. Default `1 / sqrt(headDim)`. */
  readonly softmaxScale?: number | undefined;
  /** `s = softcap * tanh(s / softcap)`, first thing after the scale (FlashAttention-2, ONNX). */
  readonly softcap?: number | undefined;
  /**
   * ALiBi slopes, f32 [queryHeads] or [batch, queryHeads]: `s -= slope * abs(i + o - j)`, where `i + o` is
   * the (causal) diagonal of query i (Press et al. 2022).
   */
  readonly alibiSlopes?: AnyTensor | undefined;
  /** Additive, broadcastable to [batch, queryHeads, lengthQ, lengthK]; minus infinity masks. */
  readonly bias?: AnyTensor | undefined;
  /** Boolean, broadcastable likewise; 1 = may attend. Bytes in host memory, or a resident tensor of dtype `"bool"`. */
  readonly mask?: MaskTensor | BooleanTensor | undefined;
  /**
   * Packed queries, sequences of any length one behind the other: q and out are [rows, queryHeads, dim], lse is
   * [queryHeads, rows], and `layout` does not concern them. Rows behind the last sequence get out 0 and lse minus
   * infinity, and take part in nothing. `batch` is then the number of sequences; `bias` and `mask` have no packed
   * shape and throw `UnsupportedError` (FlashAttention cu_seqlens_q).
   */
  readonly cuSeqlensQ?: SequenceStarts | undefined;
  /**
   * Packed keys: k and v are [rows, kvHeads, dim]. `keyLengths` then says how many rows of each sequence are in use
   * (FlashAttention cu_seqlens_k, seqused_k).
   */
  readonly cuSeqlensK?: SequenceStarts | undefined;
  /**
   * A function of scores that `scoreMod()` made, after ALiBi and bias, in natural units; its derivative follows from it
   * (FlexAttention score_mod).
   */
  readonly scoreMod?: ScoreMod | undefined;
  /** A condition that `maskMod()` made, or one of `masks`: pairs for which it is false are hidden (FlexAttention mask_mod). */
  readonly maskMod?: MaskMod | undefined;
  /**
   * A mask that `createBlockMask()` or `blockMaskFromLists()` made for these lengths: which blocks of pairs are hidden is
   * known beforehand. lengthQ and lengthK must be those that it was made for (of packed sequences each; `keyLengths` may
   * say less), and so must batch and heads where it tells those apart; else a `RangeError` is thrown. Not beside `maskMod`
   * (FlexAttention block_mask).
   */
  readonly blockMask?: BlockMask | undefined;
  /**
   * Which sequences of a KV cache the batch reads, [batch], where k and v are `cache.keys` and `cache.values`; doubled ones
   * are legal. Default all. Each has the keys that the cache holds of it, and its diagonal ends there
   * (FlashAttention cache_batch_idx).
   */
  readonly sequences?: readonly number[] | Int32Array | undefined;
  /** Causal masking. Default `false`. */
  readonly causal?: Causal | undefined;
  /** Sliding window around the (causal) diagonal. */
  readonly window?: Window | undefined;
  /** Only the first n keys of each sequence are real, one n or [batch]; the diagonal then ends at n. */
  readonly keyLengths?: PerSequence | undefined;
  /**
   * A logit of each head that joins the softmax denominator and no value, f32 [queryHeads]:
   * `lse = ln(sum of e^s + e^sink)`; minus infinity is none. A row without keys has out 0 and lse = sink. With
   * `mergeAttention`, exactly one of the parts may have it (gpt-oss, StreamingLLM).
   */
  readonly sink?: AnyTensor | undefined;
  /**
   * Drops pairs with a probability from 0 to below 1, for training: out = sum of P Z / (1 - probability) v, Z = 0 where
   * the pair is dropped and 1 where it is kept; lse is that without it. Z depends on the seed and on batch, query head,
   * row and key, counted from 0 in this call, and on nothing else: the same on every engine, and in the backward call,
   * which must be given the same option. The seed is a non-negative safe integer or a bigint below 2^64; `dropoutMask`
   * returns Z. Probability 0 is none (PyTorch `dropout_p`).
   */
  readonly dropout?: { readonly probability: number; readonly seed: number | bigint } | undefined;
  /**
   * Statistics of each row that the same pass makes: `result.stats` has those that are named here, each once. A
   * backward call takes the option and does nothing with it.
   */
  readonly stats?: readonly StatisticName[] | undefined;
  /**
   * What products are computed in. `"f16"` is for GPUs that compute two products in float16 where they do one in float32: q, k,
   * v and probabilities, in backward dOut and the gradients of scores as well, are rounded to float16, all else is float32, and
   * rows with values that float16 does not have are computed again in float32; gradients may be of any size. Give backward
   * the lse of a forward call in the same precision. `"int8"` is for `attention` on the CPU: scores are made of products of
   * bytes, q in 8 bits and k less a mean of keys in 7, all else is float32. `"int8-pv"` also makes out of them, weights in 7
   * bits and v less a mean in 8. They are not exact: `out` is off by a hundredth or two of its largest element, and by far more
   * where channels of k differ in size. On Zen 3, which has no instruction for such products, `"int8"` is 1.05 to 1.27 times as
   * fast as `"f32"`, and `"int8-pv"` 1.4 to 1.6 times; where there is one, nothing was measured. Calls that an engine has no
   * kernels for throw `UnsupportedError`; `engine.precisions` lists what it has. Default `"f32"`.
   */
  readonly precision?: Precision | undefined;
  /**
   * Tensors that `attention` and `attentionBackward` write results to, and return, instead of making new ones: host tensors
   * (strided or not), or resident or wrapped ones of the engine that computes, each of exactly the shape and storage type of
   * its result. They share no memory with inputs or with each other, and no other call may use them meanwhile. A
   * forward call takes `out` and `lse` of it, a backward call the gradients. What they hold after a call that
   * failed is unspecified.
   */
  readonly into?: ResultsInto | undefined;
}

/** Where results go: the option `into`. */
export interface ResultsInto {
  /** Of `attention`. */
  readonly out?: AnyTensor | undefined;
  /** Of `attention`, f32. */
  readonly lse?: AnyTensor | undefined;
  /** Of `attentionBackward`. */
  readonly dq?: AnyTensor | undefined;
  /** Of `attentionBackward`. */
  readonly dk?: AnyTensor | undefined;
  /** Of `attentionBackward`. */
  readonly dv?: AnyTensor | undefined;
  /** Of `attentionBackward` with `bias`. */
  readonly dBias?: AnyTensor | undefined;
  /** Of `attentionBackward` with `alibiSlopes`. */
  readonly dAlibiSlopes?: AnyTensor | undefined;
  /** Of `attentionBackward` with `sink`. */
  readonly dSink?: AnyTensor | undefined;
}

/** The same of a backward call: the options of the forward call, and gradients of lse and of the entropy. */
export interface BackwardCallOptions extends CallOptions {
  /** Gradient of the loss with respect to lse, [batch, queryHeads, lengthQ], where lse was used too. */
  readonly dLse?: AnyTensor | undefined;
  /**
   * Gradient of the loss with respect to `result.stats.entropy`, in its shape, for entropy regularisation. Needs
   * `saved.stats.entropy`.
   */
  readonly dEntropy?: AnyTensor | undefined;
}

/**
 * Statistics of the probabilities p of each row over its keys, before dropout: f32 [batch, queryHeads, lengthQ], of
 * packed queries [queryHeads, rows]. Rows without keys have 0. With a sink the p of a row add up to less than 1.
 */
export interface AttentionStatistics<T = HostTensor> {
  /** `-sum of p ln p`, in nats. */
  readonly entropy?: FloatResultOf<T> | undefined;
  /** The largest p. */
  readonly maxProbability?: FloatResultOf<T> | undefined;
  /** `sum of p j`, j the number of the key in its sequence. */
  readonly expectedKey?: FloatResultOf<T> | undefined;
}

/** What `attention` returns. Tensors live where q lives. */
export interface AttentionResult<T = HostTensor> {
  /** Like q with valueDim for headDim, and q's storage type. */
  readonly out: T;
  /** Natural logarithm of the softmax denominator, f32 [batch, queryHeads, lengthQ]. */
  readonly lse: FloatResultOf<T>;
  /** What the option `stats` asked for. */
  readonly stats?: AttentionStatistics<T> | undefined;
  /** What the option `verify` measured. */
  readonly verified?: Verification | undefined;
  /** Set when the GPU was lost during the call: where it was computed again. */
  readonly recovered?: "webgpu" | "wasm" | undefined;
}

/** What `attentionBackward` needs of the forward call: its inputs and its results. */
export interface SavedForBackward<
  Q extends AnyTensor = AnyTensor,
  K extends AnyTensor = AnyTensor,
  V extends AnyTensor = AnyTensor,
> {
  /** Queries. */
  readonly q: Q;
  /** Keys. */
  readonly k: K;
  /** Values. */
  readonly v: V;
  /** The result `out`. */
  readonly out: AnyTensor;
  /** The result `lse`. */
  readonly lse: AnyTensor;
  /** The result `stats`; its entropy is read where the options have `dEntropy`. */
  readonly stats?: { readonly entropy?: AnyTensor | undefined } | undefined;
}

/** What `attentionBackward` returns: each gradient has its operand's shape and type, and lives beside it. */
export interface AttentionGradients<Q = HostTensor, K = HostTensor, V = HostTensor> {
  /** Gradient of q. */
  readonly dq: Q;
  /** Gradient of k. */
  readonly dk: K;
  /** Gradient of v. */
  readonly dv: V;
  /** Gradient of `bias`, when the call had one: summed over the axes that it broadcasts. */
  readonly dBias?: AnyTensor | undefined;
  /** Gradient of `alibiSlopes`, when the call had some, in their shape. */
  readonly dAlibiSlopes?: AnyTensor | undefined;
  /** Gradient of `sink`, when the call had one, [queryHeads]. */
  readonly dSink?: AnyTensor | undefined;
  /**
   * Gradients of the arrays that `scoreMod` captured with `gradient: true`, each in its shape: host tensors, as the
   * arrays are the host's.
   */
  readonly dCaptured?: ReadonlyMap<Captured<FloatExpression>, HostTensor<Float32Array>> | undefined;
  /** What the option `verify` measured. */
  readonly verified?: GradientVerification | undefined;
  /** Set when the GPU was lost during the call: where it was computed again. */
  readonly recovered?: "webgpu" | "wasm" | undefined;
}
