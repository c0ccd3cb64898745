// One problem: both functions are called, and what they return is compared.
import { show } from "../tensor/errors.ts";
import { diagnose, type Diagnosis, isOff, Suspicion } from "./diagnose.ts";
import { differencesOf } from "./differences.ts";
import type { Formula } from "./formula.ts";
import type {
  CheckedBackward,
  CheckedForward,
  CheckedForwardResult,
  CheckedGradients,
  GivenResult,
} from "./given.ts";
import type { GradientName } from "./gradients.ts";
import { callOf, type CheckedCall, formulaOf } from "./inputs.ts";
import { type CheckedProblem, problemText } from "./problem.ts";
import type { ProblemReport, ResultReport } from "./report.ts";
import {
  exactResults,
  largestDifference,
  placeOf,
  readResult,
  type ResultName,
  valuesOf,
  type Wanted,
  wantedResults,
} from "./results.ts";
import type { Settings } from "./settings.ts";

/** Both functions. */
export interface Checked<F extends CheckedForwardResult> {
  readonly forward: CheckedForward<F>;
  readonly backward: CheckedBackward<F>;
}

/** A problem and what it must give: the slow part, in float64, which is the same whoever is asked. */
export interface PreparedProblem {
  readonly problem: CheckedProblem;
  readonly settings: Settings;
  readonly formula: Formula;
  readonly wanted: readonly Wanted[];
  readonly suspicion: Suspicion;
  /** Whether some query sees no key. */
  readonly emptyRows: boolean;
}

/** A problem, and who is asked. */
interface Question<F extends CheckedForwardResult> extends PreparedProblem {
  readonly checked: Checked<F>;
  /** Of what was compared so far: a gradient that is right is not to blame for a forward function that is not. */
  readonly forwardIsRight: boolean;
}

function isOfForward(name: ResultName): name is "out" | "lse" {
  return name === "out" || name === "lse";
}

/** Computes what a problem must give. */
export function prepareProblem(problem: CheckedProblem, settings: Settings): PreparedProblem {
  const formula = formulaOf(problem, settings.storage), exact = exactResults(formula);
  return {
    ...{ problem, settings, formula, wanted: wantedResults(formula, exact, settings) },
    suspicion: new Suspicion(formula, exact, settings.layout),
    emptyRows: exact.forward.seen.includes(0),
  };
}

/** Asks a problem. */
export async function askProblem<F extends CheckedForwardResult>(
  checked: Checked<F>,
  prepared: PreparedProblem,
): Promise<ProblemReport> {
  const { problem, formula, wanted, emptyRows } = prepared, results: ResultReport[] = [];
  const question: Question<F> = {
    ...{ ...prepared, checked },
    get forwardIsRight() {
      return results.every(({ name, passed }) => passed || !isOfForward(name));
    },
  };
  const answer = await callBoth(question);
  for (const one of wanted) {
    const { name } = one;
    const threw = answer.forwardThrew ?? (isOfForward(name) ? undefined : answer.backwardThrew);
    const given = isOfForward(name) ? answer.forward?.[name] : answer.gradients?.[name];
    // lse is compared where it is given, or needed
    if (name === "lse" && !threw && given === undefined && !formula.dLse) continue;
    results.push(threw ? failed(one, threw) : await compareResult(one, given, question));
  }
  const { written } = answer;
  return {
    ...{ problem, text: problemText(problem), emptyRows },
    passed: written.length === 0 && results.every(({ passed }) => passed),
    ...{ results, written },
  };
}

interface Answer {
  readonly forward?: Record<"out" | "lse", GivenResult | undefined>;
  readonly gradients?: Partial<CheckedGradients>;
  readonly forwardThrew?: Diagnosis;
  readonly backwardThrew?: Diagnosis;
  /** Inputs that were written to. */
  readonly written: readonly string[];
}

function thrown(call: string, error: unknown): Diagnosis {
  const what = error instanceof Error ? `${error.name}: ${error.message}` : show(error);
  return { kind: "threw", text: `not there: the ${call} function threw ${what}` };
}

/** Runs both functions, each on arrays of its own. */
async function callBoth<F extends CheckedForwardResult>(
  { checked, problem, settings, formula }: Question<F>,
): Promise<Answer> {
  const hasScale = problem.options.includes("softmaxScale");
  const made = () => callOf(formula, settings.layout, hasScale);
  settings.signal?.throwIfAborted();
  let forward: F;
  const first = made();
  try {
    forward = await checked.forward(first.q, first.k, first.v, first.options);
    if (typeof forward !== "object" || forward === null) {
      throw new TypeError(`it returned ${show(forward)} but { out, lse? } was wanted`);
    }
  } catch (error) {
    return { forwardThrew: thrown("forward", error), written: [] };
  }
  const changed = changedIn(first, made());
  settings.signal?.throwIfAborted();
  const { out, lse } = forward, second = made(), { q, k, v } = second;
  try {
    const saved = { ...forward, q, k, v };
    const gradients = await checked.backward(second.dOut, saved, second.backwardOptions);
    if (typeof gradients !== "object" || gradients === null) {
      throw new TypeError(`it returned ${show(gradients)} but { dq, dk, dv } was wanted`);
    }
    const written = [...new Set([...changed, ...changedIn(second, made())])];
    return { forward: { out, lse }, gradients, written };
  } catch (error) {
    const backwardThrew = thrown("backward", error);
    return { forward: { out, lse }, backwardThrew, written: changed };
  }
}

/** The inputs whose numbers are no longer those that they were made with. */
function changedIn(after: CheckedCall, before: CheckedCall): string[] {
  const { q, k, v, dOut } = after, { alibiSlopes, bias, mask, sink } = after.options;
  const { dLse } = after.backwardOptions;
  const tensors = { q, k, v, dOut, alibiSlopes, bias, mask, sink, dLse };
  const unchanged = { ...before, ...before.backwardOptions };
  return Object.entries(tensors).flatMap(([name, tensor]) => {
    const own = unchanged[name as keyof typeof tensors]?.data;
    return tensor?.data.every((value, n) => value === own![n]) ?? true ? [] : [name];
  });
}

function failed(wanted: Wanted, diagnosis: Diagnosis): ResultReport {
  const { name, allowed, plainError, largest } = wanted;
  return { name, passed: false, error: NaN, allowed, plainError, largest, diagnosis };
}

async function compareResult<F extends CheckedForwardResult>(
  wanted: Wanted,
  given: GivenResult | undefined,
  question: Question<F>,
): Promise<ResultReport> {
  const { formula, suspicion, settings } = question,
    { name, allowed, plainError, largest } = wanted;
  const got = await readResult(given, wanted, formula);
  if (typeof got === "string") return failed(wanted, { kind: "missing", text: got });
  const off = got.some((_, n) => isOff(wanted, got, n));
  const strange = got.some((x, n) => !Number.isFinite(x) && x !== wanted.values[n]);
  const error = strange ? Infinity : largestDifference(got, wanted.values);
  const diagnosis = off ? diagnose(wanted, got, suspicion) : undefined;
  const report = { name, passed: !off, error, allowed, plainError, largest };
  if (isOfForward(name)) return { ...report, ...(diagnosis && { diagnosis }) };
  const packed = placeOf(name, formula, settings.layout).order(got, true);
  const differences = await ownDifferences(name, packed, question);
  const unlike: Diagnosis | undefined = differences?.agrees === false && question.forwardIsRight
    ? {
      kind: "differences",
      text: "right, but finite differences of the forward function give something else",
    }
    : undefined;
  const found = diagnosis ?? unlike;
  return {
    ...{ ...report, passed: !found },
    ...(found && { diagnosis: found }),
    ...(differences && { differences }),
  };
}

/** A gradient beside finite differences, where they can say something: large scores and roundings to 16 bits hide it. */
async function ownDifferences<F extends CheckedForwardResult>(
  name: GradientName,
  gradient: Float64Array,
  { checked, problem, settings, formula, wanted, suspicion }: Question<F>,
): Promise<ResultReport["differences"]> {
  const { options, seed } = problem;
  if (!settings.finiteDifferences || settings.storage !== "f32") return undefined;
  if (options.includes("largeScores")) return undefined;
  const hasScale = options.includes("softmaxScale"), { forward } = checked;
  const given = { forward, formula, settings, hasScale, seed, results: wanted };
  return await differencesOf(name, gradient, valuesOf(suspicion.exact, name), given);
}
