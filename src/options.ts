// Options of the public calls: what is asked (call_options.ts), and how and where it runs.
import type { AbortSignalLike } from "./backend/backend.ts";
import type { BackwardCallOptions, CallOptions } from "./problem/call_options.ts";
import type { ScoresCallOptions, TopKeysCallOptions } from "./problem/inside_options.ts";
import type { Engine } from "./engine/engine.ts";
import type { MaxSimCallOptions } from "./problem/max_sim.ts";
import type { RotaryCallOptions } from "./problem/features/apply_rotary.ts";
import type { MergeCallOptions } from "./problem/merge.ts";
import type { VerifyCallOptions } from "./problem/verification.ts";

/** How a call runs, whatever it computes. */
export interface RunChoice {
  /** An engine other than the default one. */
  readonly engine?: Engine | undefined;
  /** Stops the call between pieces of work; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignalLike | undefined;
}

/**
 * Options of `attention` and `attentionBackward`. They apply in this order: scale, softcap, ALiBi,
 * bias, masks, sink, softmax, dropout, product with v.
 *
 * @example
 * ```ts
 * import { attention, type AttentionOptions } from "@flashtile/attention";
 *
 * const options: AttentionOptions = { causal: true, window: { left: 128 }, softcap: 30 };
 * const q = { data: new Float32Array(64), shape: [1, 4, 2, 8] };
 * await attention(q, q, q, options);
 * ```
 */
export interface AttentionOptions extends CallOptions, RunChoice, VerifyCallOptions {}

/** Options of `attentionBackward`: those of the forward call, and gradients of lse and of the entropy. */
export interface AttentionBackwardOptions
  extends BackwardCallOptions, RunChoice, VerifyCallOptions {}

/** Options of `attentionScores`: those of the forward call, and what is wanted of it. */
export interface AttentionScoresOptions extends ScoresCallOptions, RunChoice {}

/** Options of `attentionTopKeys`: those of the forward call, and what is wanted of it. */
export interface AttentionTopKeysOptions extends TopKeysCallOptions, RunChoice {}

/** Options of `maxSim`. */
export interface MaxSimOptions extends MaxSimCallOptions, RunChoice {}

/** Options of `maxSimBackward`. */
export interface MaxSimBackwardOptions extends RunChoice {}

/** Options of `mergeAttention`. */
export interface MergeOptions extends MergeCallOptions {
  /** An engine other than the default one; needed when parts are resident on it. */
  readonly engine?: Engine | undefined;
}

/** Options of `applyRotary`. */
export interface ApplyRotaryOptions extends RotaryCallOptions {
  /** An engine other than the default one, or that of a resident x. */
  readonly engine?: Engine | undefined;
}
