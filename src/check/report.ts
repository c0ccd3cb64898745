// What was found: problem by problem, and as findings, each with the results and the problems that it is about.
import type { Diagnosis } from "./diagnose.ts";
import type { Differences } from "./differences.ts";
import type { CheckedProblem } from "./problem.ts";
import type { ResultName } from "./results.ts";
import type { Settings } from "./settings.ts";

/** One result of one problem. */
export interface ResultReport {
  /** Which: `"out"`, `"dq"`, ... */
  readonly name: ResultName;
  /** Whether it is within the error that is allowed, and agrees with finite differences. */
  readonly passed: boolean;
  /** Its largest error; infinite where it is not finite, NaN where it is not there. */
  readonly error: number;
  /** The error that is allowed. */
  readonly allowed: number;
  /** The largest error of the plain formula in float32. */
  readonly plainError: number;
  /** The size of its largest element, as it should be. */
  readonly largest: number;
  /** What is wrong. */
  readonly diagnosis?: Diagnosis | undefined;
  /** A gradient beside finite differences of the forward function. */
  readonly differences?: Differences | undefined;
}

/** One problem. */
export interface ProblemReport {
  /** Its sizes, options and seed. */
  readonly problem: CheckedProblem;
  /** The same as a text, which the option `problem` takes. */
  readonly text: string;
  /** Whether all results are right. */
  readonly passed: boolean;
  /** Whether some query sees no key. */
  readonly emptyRows: boolean;
  /** Its results. */
  readonly results: readonly ResultReport[];
  /** Inputs that the functions wrote to. */
  readonly written: readonly string[];
}

/** Something that is wrong. */
export interface Finding {
  /** The results that it is about. */
  readonly results: readonly string[];
  /** What is wrong with them. */
  readonly diagnosis: Diagnosis;
  /** With what it comes: "in every problem", "with causal". */
  readonly when: string;
  /** Whether the gradients at least fit to the forward function. */
  readonly fitsForward?: boolean | undefined;
  /** The problems that show it. */
  readonly problems: readonly string[];
  /** A call that shows it again. */
  readonly reproduce: string;
}

/** What `checkGradients` returns. */
export class GradientReport {
  /** Whether every result of every problem is right. */
  readonly passed: boolean;
  /** What is wrong. */
  readonly findings: readonly Finding[];
  /** Problem by problem. */
  readonly problems: readonly ProblemReport[];
  /** All of it, to read. */
  readonly text: string;

  /** Sums up. */
  constructor(problems: readonly ProblemReport[], settings: Settings) {
    this.problems = problems;
    this.passed = problems.every(({ passed }) => passed);
    this.findings = findingsOf(problems, settings);
    this.text = textOf(this);
  }

  /** The text. */
  toString(): string {
    return this.text;
  }
}

/** What `checkGradients` rejects with where the option `throws` is set and something is wrong. */
export class GradientCheckError extends Error {
  /** All that was found. */
  readonly report: GradientReport;

  /** The message is the text of the report. */
  constructor(report: GradientReport) {
    super(report.text);
    this.name = "GradientCheckError";
    this.report = report;
  }
}

/** One thing that is wrong with one result, in all problems that show it. */
interface Group {
  readonly result: string;
  readonly diagnosis: Diagnosis;
  readonly problems: ProblemReport[];
  /** Problems that have the result. */
  readonly among: readonly ProblemReport[];
  readonly fits: (boolean | undefined)[];
}

/** Kinds of which every text is another one. */
const UNNAMED: readonly string[] = ["other", "precision", "factor", "empty rows"];

/** Diagnoses that are one: a factor is what it comes of, and not its value. */
function keysOf({ kind, text, expressions }: Diagnosis): string[] {
  if (expressions && expressions.length > 0) return expressions.map((name) => `${kind} ${name}`);
  return UNNAMED.includes(kind) ? [kind] : [`${kind} ${text}`];
}

/** The error as a share of the one that is allowed. */
function shareOf({ error, allowed }: ResultReport): number {
  return error === 0 ? 0 : error / allowed;
}

/** Puts what is wrong with one result together: the key that the most problems share comes first. */
function groupsOf(result: string, problems: readonly ProblemReport[]): Group[] {
  const found = problems.flatMap((problem) => {
    const report = problem.results.find(({ name }) => name === result);
    const diagnosis: Diagnosis | undefined = report ? report.diagnosis : undefined;
    return diagnosis ? [{ problem, report: report!, diagnosis }] : [];
  });
  const among = problems.filter(({ results }) => results.some(({ name }) => name === result));
  const groups: Group[] = [];
  let left = found;
  while (left.length > 0) {
    const counts = new Map<string, number>();
    for (const { diagnosis } of left) {
      for (const key of keysOf(diagnosis)) counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    const [key] = [...counts].sort(([, a], [, b]) => b - a)[0]!;
    const own = left.filter(({ diagnosis }) => keysOf(diagnosis).includes(key));
    left = left.filter((one) => !own.includes(one));
    const worst = own.reduce((a, b) => shareOf(a.report) >= shareOf(b.report) ? a : b);
    groups.push({
      ...{
        result,
        among,
        diagnosis: common(own.map(({ diagnosis }) => diagnosis), worst.diagnosis),
      },
      problems: own.map(({ problem }) => problem),
      fits: own.map(({ report }) => fitsForward(report)),
    });
  }
  return groups;
}

/** Whether a gradient that is far off at least fits to the forward function; undefined where that cannot be told. */
function fitsForward({ error, largest, differences }: ResultReport): boolean | undefined {
  return error > 0.1 * largest ? differences?.agrees : undefined;
}

/** A diagnosis for all of a group. */
function common(all: readonly Diagnosis[], worst: Diagnosis): Diagnosis {
  if (all.length === 1 || worst.kind !== "factor") return worst;
  const factors = [...new Set(all.map(({ factor }) => factor!.toPrecision(4)))];
  const shared = (worst.expressions ?? []).filter((name) =>
    all.every(({ expressions }) => expressions?.includes(name))
  );
  const name = shared.length ? `: ${shared.join(", or ")}` : "";
  const values = factors.length > 4 ? `${factors.slice(0, 4).join(", ")}, ...` : factors.join(", ");
  const text = `${values} times what it should be${name}`;
  return { ...worst, text, expressions: shared };
}

/** What a problem has that others lack. */
function traitsOf({ problem, emptyRows }: ProblemReport): string[] {
  const { options, queryHeads, kvHeads, batch, lengthQ, lengthK, headDim, valueDim } = problem;
  return [
    ...options,
    ...(queryHeads > kvHeads ? ["grouped heads"] : []),
    ...(kvHeads > 1 ? ["several kv heads"] : []),
    ...(queryHeads > 1 ? ["several heads"] : []),
    ...(batch > 1 ? ["batch above 1"] : []),
    ...(emptyRows ? ["queries that see no key"] : []),
    ...(valueDim !== headDim ? ["another valueDim than headDim"] : []),
    ...(lengthQ > lengthK ? ["more queries than keys"] : []),
    ...(lengthQ < lengthK ? ["fewer queries than keys"] : []),
    ...(lengthQ > 1 ? ["several queries"] : []),
    ...(headDim % 4 ? ["a headDim that is no multiple of 4"] : []),
  ];
}

/** With what a finding comes. */
function whenOf(problems: readonly ProblemReport[], among: readonly ProblemReport[]): string {
  if (problems.length === among.length) return "in every problem that has it";
  const shown = problems.map(traitsOf);
  const shared = shown[0]!.filter((trait) => shown.every((traits) => traits.includes(trait)));
  const others = among.filter((problem) => !problems.includes(problem)).map(traitsOf);
  const alone = shared.find((trait) => others.every((traits) => !traits.includes(trait)));
  if (alone) return `with ${alone}, and only then`;
  // the traits that most of the others lack
  const lacking = (trait: string) => others.filter((traits) => !traits.includes(trait)).length;
  const best = shared.toSorted((a, b) => lacking(b) - lacking(a)).slice(0, 2);
  const share = `in ${problems.length} of ${among.length} problems`;
  return best.length ? `${share}, all with ${best.join(" and ")}` : share;
}

function reproduceLine(text: string, { layout, storage }: Settings): string {
  const extra = (layout === "bshd" ? "" : `, layout: "${layout}"`) +
    (storage === "f32" ? "" : `, storage: "${storage}"`);
  return `checkGradients(forward, backward, { problem: "${text}"${extra} })`;
}

function elementsOf({ problem: { batch, queryHeads, lengthQ, lengthK, headDim } }: ProblemReport) {
  return batch * queryHeads * lengthQ * lengthK * headDim;
}

function findingsOf(problems: readonly ProblemReport[], settings: Settings): Finding[] {
  const names = new Set(problems.flatMap(({ results }) => results.map(({ name }) => name)));
  const groups = [...names].flatMap((name) => groupsOf(name, problems));
  for (const operand of new Set(problems.flatMap(({ written }) => written))) {
    const diagnosis = { kind: "written", text: "written to, though it is an input" } as const;
    const own = problems.filter(({ written }) => written.includes(operand));
    groups.push({ result: operand, diagnosis, problems: own, among: problems, fits: [] });
  }
  const findings: Finding[] = [];
  const same = new Map<string, Group[]>();
  for (const group of groups) {
    const { kind, text, expressions } = group.diagnosis;
    // what is off in no known way may be another thing for each result
    const apart = kind === "other" || kind === "precision";
    const what = apart ? group.result : expressions?.length ? expressions.join() : text;
    const key = `${kind} ${what}`;
    same.set(key, [...same.get(key) ?? [], group]);
  }
  for (const [first, ...more] of same.values()) {
    const { diagnosis } = first!, all = [first!, ...more];
    const shows = (of: "problems" | "among") =>
      problems.filter((problem) => all.some((group) => group[of].includes(problem)));
    const own = shows("problems");
    const smallest = own.reduce((a, b) => elementsOf(b) < elementsOf(a) ? b : a);
    const fits = all.flatMap(({ fits }) => fits).filter((fit) => fit !== undefined);
    findings.push({
      results: all.map(({ result }) => result),
      ...{ diagnosis, when: whenOf(own, shows("among")) },
      ...(fits.length > 0 && { fitsForward: fits.every((fit) => fit) }),
      problems: own.map(({ text }) => text),
      reproduce: reproduceLine(smallest.text, settings),
    });
  }
  return findings;
}

function textOf({ problems, findings }: Pick<GradientReport, "problems" | "findings">): string {
  const wrong = problems.filter(({ passed }) => !passed).length;
  if (wrong === 0) {
    const shares = problems.flatMap(({ results }) => results.map(shareOf));
    const most = Math.max(0, ...shares).toPrecision(2);
    return `${problems.length} problems, all right: errors are at most ${most} of what is allowed`;
  }
  const lines = findings.flatMap(({ results, diagnosis, when, fitsForward, reproduce }) => [
    `  ${results.join(", ")}: ${diagnosis.text}`,
    `    ${when}${
      fitsForward === undefined || diagnosis.kind === "differences"
        ? ""
        : fitsForward
        ? "; finite differences of the forward function agree with it, so look there"
        : "; finite differences of the forward function disagree too"
    }`,
    `    ${reproduce}`,
  ]);
  return [`${wrong} of ${problems.length} problems are wrong`, ...lines].join("\n");
}
