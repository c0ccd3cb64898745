// What a feature is: one record that validation, planning, kernels, tests and docs all read.
import type { Complaint } from "../../tensor/errors.ts";
import type { Rectangle } from "../../expression/rectangle.ts";
import type { Traced } from "../../expression/traced.ts";
import type { AxisSizes, InputName } from "../../tensor/operands.ts";
import type { CallOptions } from "../call_options.ts";
import type { ExactCall, ExactFeature } from "./exact.ts";
import type { Rotations } from "./row_rotation.ts";

/** Names of the features: each is the option of that name. */
export type FeatureName = Exclude<
  keyof CallOptions,
  "layout" | "softmaxScale" | "stats" | "into" | "precision"
>;

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

/** What the queries `rows` of a sequence see of `keys`, both counted from where they begin. */
export function partOfSpan(
  span: SequenceSpan,
  rows: readonly [first: number, end: number],
  keys: readonly [first: number, end: number],
): SequenceSpan {
  const shift = keys[0] - rows[0], lengthQ = rows[1] - rows[0], lengthK = keys[1] - keys[0];
  const clamp = (n: number) => Math.max(-UNBOUNDED, Math.min(UNBOUNDED, n));
  return {
    lengthQ,
    lengthK: Math.max(0, Math.min(lengthK, span.lengthK - keys[0])),
    offset: clamp(span.offset - shift),
    // an unbounded side stays unbounded
    low: span.low <= -UNBOUNDED ? -UNBOUNDED : clamp(span.low - shift),
    high: span.high >= UNBOUNDED ? UNBOUNDED : clamp(span.high - shift),
  };
}

/**
 * Where a feature acts on its way from q, k to the result; the names of the hooks of both backends.
 *
 * | stage | acts on | gradient |
 * | --- | --- | --- |
 * | `load` | rows of an operand as they are read | of the same rows, as they are written |
 * | `score` | the value of a score | a factor of dS (`slope`), and sums of dS over pairs |
 * | `hide` | whether a pair exists | none |
 * | `state` | the softmax state of a row | from lse and delta of the row |
 * | `probability` | P on its way to the product with v | the same on the way back |
 */
export type Stage = "load" | "score" | "hide" | "state" | "probability";

/** An option of a call that brings a tensor: its name is that of the operand. */
export type OptionOperand = InputName & keyof CallOptions;

/**
 * One feature. P: its checked parameters. Kernels of both backends know it by its name. The comment on a record, one
 * line, is what docs/features.md says that it is.
 */
export interface Feature<P = unknown> {
  readonly name: FeatureName;
  readonly stage: Stage;
  /** Where it comes from; for the docs. */
  readonly source: string;
  /** What the option is called elsewhere (PyTorch, FlashAttention, ONNX, JAX): errors point from there to here. */
  readonly elsewhere?: readonly string[];
  /** The feature as which everything behind the options knows it, which takes the same parameters. */
  readonly runsAs?: FeatureName;
  /** Undefined when off. Throws what `complaint` builds. */
  parse(options: CallOptions, dims: AxisSizes, complaint: Complaint): P | undefined;
  /** What can be checked only once every feature has had its say about what sequences see. */
  check?(
    params: P,
    spans: readonly SequenceSpan[],
    dims: AxisSizes,
    complaint: Complaint,
  ): void;
  /**
   * Its parameters, made whole by what is known only then; `hidden`: pairs that no sequence sees are looked at too. Throws
   * what `complaint` builds.
   */
  settle?(
    params: P,
    spans: readonly SequenceSpan[],
    dims: AxisSizes,
    hidden: boolean,
    complaint: Complaint,
  ): P;
  /** load: how the rows of operands turn as they are read, and those of their gradients back. */
  readonly rotations?: (params: P) => Rotations;
  /** Narrows what sequence `index` may see: how a structural mask reaches the schedule. */
  span?(params: P, span: SequenceSpan, index: number): SequenceSpan;
  /** The tensors that it brings: rows of the operand table, which also says which have a gradient. */
  readonly operands?: readonly OptionOperand[];
  /** The numbers that it brings, by the names by which kernels know them: float32. */
  readonly scalars?: Readonly<Record<string, (params: P) => number>>;
  /** ... and those that are integers of 32 bits without a sign. */
  readonly words?: Readonly<Record<string, (params: P) => number>>;
  /** The function that it is, where a caller wrote it: kernels run it as a program, or have it in their text. */
  readonly traced?: (params: P) => Traced;
  /** Whether what that function captured may want a gradient. */
  readonly learns?: boolean;
  /** Its parameters for a rectangle of a call, whose queries and keys count from its begin. */
  readonly within?: (params: P, rectangle: Rectangle) => P;
  /** What it means at single pairs, in float64: what `verify` computes. Functions of callers say it by themselves. */
  readonly exact?: (params: P, call: ExactCall) => ExactFeature;
  /** Whether kernels act on single scores for it; structural masks are in the spans. */
  readonly perScore: boolean;
  /** The first stage of `attentionScores` that has it, unless that is `"masked"`. */
  readonly shown?: "raw" | "softcapped";
  /** Whether no gradient is possible with it. */
  readonly forwardOnly?: boolean;
  /** Score features: whether some scores may become minus infinity, which hides them. */
  readonly hides?: boolean;
  /** Score features: whether d(score) changes on its way back. Those that add leave it alone. */
  readonly slope?: boolean;
}

/** A feature that is on, with its checked parameters. */
export interface FeatureUse {
  readonly name: FeatureName;
  readonly params: unknown;
}
