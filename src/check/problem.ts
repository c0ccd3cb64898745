// A sampled problem: sizes, options and a seed. Its text says all of it, so that the text alone makes it again.
import { type Complaint, show } from "../tensor/errors.ts";

/** What a problem may be asked with, beside its sizes; see `CheckOptions.options`. */
export type CheckedOption =
  | "causal"
  | "causalTopLeft"
  | "window"
  | "softmaxScale"
  | "softcap"
  | "alibiSlopes"
  | "bias"
  | "mask"
  | "keyLengths"
  | "sink"
  | "dLse"
  | "largeScores";

/** All of them, in the order in which a problem names its own. */
export const CHECKED_OPTIONS: readonly CheckedOption[] = [
  ...["causal", "causalTopLeft", "window", "softmaxScale", "softcap", "alibiSlopes"] as const,
  ...["bias", "mask", "keyLengths", "sink", "dLse", "largeScores"] as const,
];

/** The sizes of a problem. */
export interface ProblemSizes {
  /** Sequences. */
  readonly batch: number;
  /** Heads of q, a multiple of `kvHeads`. */
  readonly queryHeads: number;
  /** Heads of k and v. */
  readonly kvHeads: number;
  /** Queries of a sequence. */
  readonly lengthQ: number;
  /** Keys of a sequence. */
  readonly lengthK: number;
  /** Numbers in a row of q and k. */
  readonly headDim: number;
  /** Numbers in a row of v and out. */
  readonly valueDim: number;
}

/** A problem that was sampled. */
export interface CheckedProblem extends ProblemSizes {
  /** What it is asked with. */
  readonly options: readonly CheckedOption[];
  /** Makes its numbers. */
  readonly seed: number;
}

/** `b2 h4/2 q5 k7 d8/6 causal bias #123`. */
export function problemText(problem: CheckedProblem): string {
  const { batch, queryHeads, kvHeads, lengthQ, lengthK, headDim, valueDim } = problem;
  return [
    `b${batch} h${queryHeads}/${kvHeads} q${lengthQ} k${lengthK} d${headDim}/${valueDim}`,
    ...problem.options,
    `#${problem.seed}`,
  ].join(" ");
}

const TEXT = /^b(\d+) h(\d+)\/(\d+) q(\d+) k(\d+) d(\d+)\/(\d+)((?: [a-zA-Z]+)*) #(\d+)$/;

/** The problem of a text. */
export function parseProblem(text: unknown, complaint: Complaint): CheckedProblem {
  const found = typeof text === "string" ? text.match(TEXT) : undefined;
  if (!found) {
    const wanted = `what a report says, like "b2 h4/2 q5 k7 d8/8 causal #123"`;
    throw complaint.type(`problem is ${show(text)} but must be ${wanted}`);
  }
  const [batch, queryHeads, kvHeads, lengthQ, lengthK, headDim, valueDim] = found.slice(1, 8)
    .map(Number) as [number, number, number, number, number, number, number];
  const options = found[8]!.split(" ").filter((word) => word !== "");
  const unknown = options.find((word) => !CHECKED_OPTIONS.includes(word as CheckedOption));
  if (unknown !== undefined) {
    const wanted = `one of ${CHECKED_OPTIONS.join(", ")}`;
    throw complaint.type(`problem has the option ${show(unknown)} but ${wanted} was wanted`);
  }
  const sizes = { batch, queryHeads, kvHeads, lengthQ, lengthK, headDim, valueDim };
  const empty = Object.entries(sizes).find(([, size]) => size < 1);
  if (empty) throw complaint.range(`problem has ${empty[0]} ${empty[1]} but must have 1 or more`);
  if (queryHeads % kvHeads !== 0) {
    throw complaint.range(
      `problem has ${queryHeads} query heads but must have a multiple of ${kvHeads}`,
    );
  }
  const seed = Number(found[9]);
  if (seed >= 2 ** 32) throw complaint.range(`problem has seed ${seed} but it must be below 2^32`);
  return { ...sizes, options: options as CheckedOption[], seed };
}
