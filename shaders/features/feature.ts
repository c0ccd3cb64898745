// What a feature is to a shader: pieces of text for the places where it acts, one record a feature. Kernels fold over
// the records that a variant has and know none of them by name. Hooks are called like the stages of a feature
// (src/problem/features/feature.ts).
import type { FeatureName } from "../../src/problem/features/feature.ts";
import type { OperandName } from "../../src/tensor/operands.ts";
import type { FeatureText, Program } from "../parts/variant.ts";

/** Scores that a kernel looks at together: one, or four that lie side by side. */
export type ScoreType = "f32" | "vec4<f32>";

/** Which axis of the tile the queries are on. */
export type Side = "rows are queries" | "rows are keys";

/** A query row as expressions: of four rows (vec4<u32>) where `type` is a vector, else one. `offset` is i32. */
export interface QueryAt {
  readonly type: ScoreType;
  readonly batch: string;
  readonly head: string;
  readonly query: string;
  readonly offset: string;
}

/** A key, or four of them, likewise. */
export interface KeyAt {
  readonly type: ScoreType;
  readonly batch: string;
  readonly key: string;
}

/** The pairs of a score. */
export interface PairAt {
  readonly type: ScoreType;
  /** A value that `perQuery` made; it may be one number where the score is four. */
  ofQuery(name: string): string;
  /** ... and `perKey`. */
  ofKey(name: string): string;
}

/** A row as `stats` has it: f32 expressions. */
export interface RowStats {
  readonly head: string;
  readonly lse: string;
  /** A weight of the row is exp2((score - m) log2 e - log2l). */
  readonly m: string;
  readonly log2l: string;
  readonly delta: string;
}

/** One feature. */
export interface ShaderFeature {
  readonly name: FeatureName;
  /** Where it is a function that a caller wrote: the record of that function. */
  of?(program: Program): ShaderFeature;
  /**
   * A condition that holds where it is on. The repair kernel has such features in all of its texts and asks: it is
   * hardly ever busy, so there should be few texts.
   */
  readonly present?: string;
  /** Whether it may take rows below the range of the fast path: the repair kernel then looks at those again. */
  readonly lowers?: boolean;
  /** Whether it may make anything of the score of a row that is not there. */
  readonly anyValue?: boolean;
  /** What its hooks need outside of `main`, for scores of a type. `text`: how its operand is stored. */
  declare?(type: ScoreType, text: FeatureText, side: Side): string;

  /** load: the factor of q as it is staged, and what dK must be multiplied with to undo that. */
  readonly load?: { factor(scale: string): string; readonly undo: string };

  /** What depends on the query alone, and on the key alone: made once a row or column of a tile, by name. */
  perQuery?(at: QueryAt): Readonly<Record<string, string>>;
  perKey?(at: KeyAt): Readonly<Record<string, string>>;

  /** score: statements before the score changes, and the change of `s`. */
  read?(at: PairAt): string;
  score?(s: string, at: PairAt): string;
  /** d(score after) / d(score before), from the score before. */
  slope?(s: string, at: PairAt): string;

  /**
   * What captured arrays learn from pairs: for each place that reads one the derivative of the score by the element,
   * from the score before, and which element it is, of all that learn.
   */
  readonly learned?: readonly {
    share(s: string, at: PairAt): string;
    place(at: PairAt): string;
  }[];

  /** hide: whether a pair is hidden, once `read` has run. */
  hide?(at: PairAt): string;
  /** ... or whether it is seen: without a look at its score, so that tiles without a seen pair are skipped. */
  sees?(at: PairAt): string;
  /**
   * ... and where the schedule has verdicts about the tiles of items. They are about all heads together: `differs` is
   * a condition that holds where heads may differ, so that a mixed tile is looked at.
   */
  readonly verdicts?: {
    readonly at: "verdicts_at" | "classified_at";
    readonly differs?: string;
  };

  /**
   * state: a logit that joins the denominator of a row and brings no value; minus infinity is none. It must join
   * once: in KV split 0 of the region that has the first keys of the row.
   */
  logit?(head: string, split: string): string;

  /**
   * probability: pairs keep their P, times `scale`, or lose it on its way to v. `kept`: a bit for each of eight keys,
   * 8 group and up; all of its arguments count in the whole call.
   */
  readonly probability?: {
    readonly declare: string;
    kept(
      at: {
        readonly batch: string;
        readonly head: string;
        readonly query: string;
        readonly group: string;
      },
    ): string;
    readonly scale: string;
  };

  /** The gradient of its operand: a sum over pairs (of dS before its own score), or over rows. */
  readonly gradient?: {
    readonly operand: OperandName;
    pair?(dS: string, at: PairAt): string;
    row?(row: RowStats): string;
  };
}
