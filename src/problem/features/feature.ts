// What a feature is: one record that validation, planning, kernels, tests and docs all read.
import type { Flag, Task } from "../../../asm/abi.ts";
import type { Complaint } from "../../tensor/errors.ts";
import type { CallOptions } from "../call_options.ts";

/** Names of the features, in the order in which they apply. */
export type FeatureName = "softcap" | "bias" | "mask" | "keyLengths" | "causal" | "window";

/** Sizes that an option is checked against. */
export interface Dims {
  readonly batch: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly lengthQ: number;
  readonly lengthK: number;
  readonly headDim: number;
  readonly valueDim: number;
}

/**
 * What the queries of one sequence may see: key j with `low <= j - i <= high` and `j < lengthK`.
 * `offset` is where the diagonal lies: j - i of the last visible key of a causal query.
 */
export interface SequenceSpan {
  readonly lengthQ: number;
  readonly lengthK: number;
  readonly offset: number;
  readonly low: number;
  readonly high: number;
}

/** Stands for "unbounded" in a span; far outside any length, and i + UNBOUNDED stays below 2^31. */
export const UNBOUNDED: number = 2 ** 30;

/** One feature. P: its checked parameters. */
export interface Feature<P = unknown> {
  readonly name: FeatureName;
  /** `score` features change scores, `mask` features remove them. */
  readonly stage: "score" | "mask";
  /** Where it comes from; for the docs. */
  readonly source: string;
  /** Undefined when off. Throws what `complaint` builds. */
  parse(options: CallOptions, dims: Dims, complaint: Complaint): P | undefined;
  /** Narrows what sequence `index` may see: how a structural mask reaches the schedule. */
  span?(params: P, span: SequenceSpan, index: number): SequenceSpan;
  /** The tensor it brings along, broadcast to [batch, queryHeads, lengthQ, lengthK]. */
  readonly operand?: "bias" | "mask";
  /** How the WASM kernels know it, when it acts on single scores; structural masks are in the spans. */
  readonly flag?: Flag;
  /** What it adds to the flags of a backward pass. */
  readonly gradientFlag?: Flag;
  /** The one scalar it brings, and the word of the task where kernels look for it. */
  readonly scalar?: { readonly word: Task; value(params: P): number };
  /** Does it change d(score)? Additive features do not. */
  readonly gradient: "identity" | "function" | "none";
}

/** A feature that is on, with its checked parameters. */
export interface FeatureUse {
  readonly name: FeatureName;
  readonly params: unknown;
}
