// The options of checkGradients, checked.
import type { AbortSignalLike } from "../backend/backend.ts";
import type { Layout } from "../problem/call_options.ts";
import { type Complaint, show } from "../tensor/errors.ts";
import { CHECKED_OPTIONS, type CheckedOption, parseProblem } from "./problem.ts";
import type { ProblemReport } from "./report.ts";
import type { CheckSizes, Settings, StorageName } from "./settings.ts";

/** Options of `checkGradients`. */
export interface CheckOptions {
  /** Sizes to draw from. */
  readonly sizes?: CheckSizes | undefined;
  /**
   * What problems are asked with: each alone, then several at once. Default `["causal", "largeScores"]`. `"largeScores"`
   * are some hundreds, where exp overflows without the row's maximum; `"dLse"` needs a forward function that returns lse.
   */
  readonly options?: readonly CheckedOption[] | undefined;
  /** What every problem is asked with: `["causal"]` for an attention that is always causal. Default none. */
  readonly always?: readonly CheckedOption[] | undefined;
  /** How many problems. Default 8, and 4 for each of the options. */
  readonly problems?: number | undefined;
  /** One problem alone: its text, as a report says it. */
  readonly problem?: string | undefined;
  /** Chooses the problems and their numbers. Default 1. */
  readonly seed?: number | undefined;
  /** How many times the error of the plain formula in float32 is allowed. Default 16. */
  readonly tolerance?: number | undefined;
  /** Order of the axes. Default `"bshd"`. */
  readonly layout?: Layout | undefined;
  /** The storage type of the attention: inputs are rounded to it, and results may be. Default `"f32"`. */
  readonly storage?: StorageName | undefined;
  /** Whether queries may come up that see no key: out 0, lse −∞, gradients 0 are wanted then. Default true. */
  readonly emptyRows?: boolean | undefined;
  /** Whether gradients are also held against finite differences of the forward function. Default true. */
  readonly finiteDifferences?: boolean | undefined;
  /** Stops after so many problems that fail. Default all are asked. */
  readonly maxFailures?: number | undefined;
  /** Rejects with a `GradientCheckError` where something is off, instead of returning the report. Default false. */
  readonly throws?: boolean | undefined;
  /** Is told of each problem once it is done. */
  readonly onProblem?:
    | ((problem: ProblemReport, done: number, of: number) => void)
    | undefined;
  /** Stops between calls. */
  readonly signal?: AbortSignalLike | undefined;
}

const DEFAULT_SIZES: Settings["sizes"] = {
  batch: [1, 2],
  kvHeads: [1, 2, 3],
  groups: [1, 2],
  lengthQ: [1, 5, 16, 33, 70],
  lengthK: [3, 16, 37, 65, 130],
  headDim: [8, 15, 16, 20],
  valueDim: "headDim",
};
const DEFAULT_OPTIONS: readonly CheckedOption[] = ["causal", "largeScores"];
/** What stands for an axis that follows another one. */
const FOLLOWS: Readonly<Record<string, string>> = { lengthK: "lengthQ", valueDim: "headDim" };
const LARGEST_SIZE = 2 ** 16;
/** Problems of a run: they are drawn before the first is asked. */
const MOST_PROBLEMS = 100_000;
/** Most entries of a list. */
const MOST_NAMED = 1000;

const NAMES: readonly (keyof CheckOptions)[] = [
  ...["sizes", "options", "always", "problems", "problem", "seed", "tolerance", "layout"] as const,
  ...["storage", "emptyRows", "finiteDifferences", "maxFailures", "throws"] as const,
  ...["onProblem", "signal"] as const,
];

function checkObject(name: string, given: unknown, known: readonly string[], complaint: Complaint) {
  if (typeof given !== "object" || given === null) {
    throw complaint.type(`${name} is ${show(given)} but must be an object`);
  }
  const unknown = Object.keys(given).find((key) => !known.includes(key));
  if (unknown !== undefined) {
    const wanted = known.join(", ");
    throw complaint.type(`${name} has the unknown name ${show(unknown)}, wanted one of ${wanted}`);
  }
}

function checkSizes(given: CheckSizes, complaint: Complaint): Settings["sizes"] {
  checkObject("sizes", given, Object.keys(DEFAULT_SIZES), complaint);
  const entries = Object.entries(DEFAULT_SIZES).map(([axis, standard]) => {
    const values: unknown = given[axis as keyof CheckSizes] ?? standard;
    if (values === FOLLOWS[axis]) return [axis, values];
    const or = FOLLOWS[axis] ? `, or ${show(FOLLOWS[axis])}` : "";
    const wanted = `a list of integers from 1 to ${LARGEST_SIZE}${or}`;
    if (!Array.isArray(values) || values.length === 0) {
      throw complaint.type(`sizes.${axis} is ${show(values)} but must be ${wanted}`);
    }
    // holes too, which `every` would pass over
    const own = values.length > MOST_NAMED ? [NaN] : Array.from<number>(values);
    if (!own.every((n) => Number.isSafeInteger(n) && n >= 1 && n <= LARGEST_SIZE)) {
      throw complaint.range(`sizes.${axis} is ${show(values)} but must be ${wanted}`);
    }
    return [axis, own];
  });
  return Object.fromEntries(entries);
}

function checkList(
  name: "options" | "always",
  given: unknown,
  complaint: Complaint,
): readonly CheckedOption[] {
  const wanted = `a list of ${CHECKED_OPTIONS.join(", ")}`;
  if (!Array.isArray(given)) {
    throw complaint.type(`${name} is ${show(given)} but must be ${wanted}`);
  }
  if (given.length > MOST_NAMED) {
    throw complaint.type(`${name} has ${given.length} entries but must be ${wanted}`);
  }
  const unknown = given.findIndex((name) => !CHECKED_OPTIONS.includes(name));
  if (unknown >= 0) {
    throw complaint.type(`${name}[${unknown}] is ${show(given[unknown])} but must be of ${wanted}`);
  }
  return CHECKED_OPTIONS.filter((name) => given.includes(name));
}

function checkNumber(
  name: string,
  given: unknown,
  fits: (value: number) => boolean,
  wanted: string,
  complaint: Complaint,
): number {
  if (typeof given !== "number") {
    throw complaint.type(`${name} is ${show(given)} but must be ${wanted}`);
  }
  if (!fits(given)) throw complaint.range(`${name} is ${given} but must be ${wanted}`);
  return given;
}

function checkOneOf<T>(name: string, given: T, all: readonly T[], complaint: Complaint): T {
  if (all.includes(given)) return given;
  const wanted = all.map(show).join(", ");
  throw complaint.type(`${name} is ${show(given)} but must be one of ${wanted}`);
}

/** Throws unless `options` can be used, and fills in what is not given. */
export function checkSettings(given: CheckOptions, complaint: Complaint): Settings {
  checkObject("options", given, NAMES, complaint);
  const always = checkList("always", given.always ?? [], complaint);
  if (always.includes("causal") && always.includes("causalTopLeft")) {
    throw complaint.range(`always is ${show(always)} but must have one form of causal at most`);
  }
  // what is always there does not come up by itself
  const options = checkList("options", given.options ?? DEFAULT_OPTIONS, complaint)
    .filter((name) => !always.includes(name));
  const { onProblem, signal } = given;
  if (onProblem !== undefined && typeof onProblem !== "function") {
    throw complaint.type(`onProblem is ${show(onProblem)} but must be a function`);
  }
  if (signal !== undefined && typeof signal?.throwIfAborted !== "function") {
    throw complaint.type(`signal is ${show(signal)} but must be an AbortSignal`);
  }
  const isCount = (n: number) => Number.isSafeInteger(n) && n >= 1;
  const number = (
    name: "problems" | "seed" | "tolerance" | "maxFailures",
    standard: number,
    fits: (value: number) => boolean,
    wanted: string,
  ) => checkNumber(name, given[name] ?? standard, fits, wanted, complaint);
  const choice = <T>(name: keyof CheckOptions, standard: T, all: readonly T[]): T =>
    checkOneOf(name, (given[name] as T | undefined) ?? standard, all, complaint);
  return {
    sizes: checkSizes(given.sizes ?? {}, complaint),
    options,
    always,
    problems: number(
      "problems",
      8 + 4 * options.length,
      (n) => isCount(n) && n <= MOST_PROBLEMS,
      `an integer from 1 to ${MOST_PROBLEMS}`,
    ),
    problem: given.problem === undefined ? undefined : parseProblem(given.problem, complaint),
    seed: number(
      "seed",
      1,
      (n) => Number.isInteger(n) && n >= 0 && n < 2 ** 32,
      "an integer from 0 to 2^32 - 1",
    ),
    tolerance: number("tolerance", 16, (n) => n >= 1 && n < Infinity, "a number from 1"),
    layout: choice("layout", "bshd", ["bshd", "bhsd"] as const),
    storage: choice("storage", "f32", ["f32", "f16", "bf16"] as const),
    emptyRows: choice("emptyRows", true, [true, false]),
    finiteDifferences: choice("finiteDifferences", true, [true, false]),
    maxFailures: number(
      "maxFailures",
      Infinity,
      (n) => isCount(n) || n === Infinity,
      "an integer from 1",
    ),
    throws: choice("throws", false, [true, false]),
    signal,
  };
}
