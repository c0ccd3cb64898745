// `check`: whether the engines of this machine compute right.
import { type CheckOptions, checkSettings } from "../../check/options.ts";
import { GradientReport, type ProblemReport } from "../../check/report.ts";
import { askProblem, prepareProblem } from "../../check/run.ts";
import { sampleProblems } from "../../check/sample.ts";
import type { Engine } from "../../engine/engine.ts";
import { Complaint, UnsupportedError } from "../../tensor/errors.ts";
import { type Command, defineCommand, type Report, type ValuesOf } from "../command.ts";
import { EXIT } from "../exit.ts";
import {
  CHECKED_PARTS,
  type CheckedPart,
  functionsOn,
  warmThreads,
} from "../machine/checked_parts.ts";
import { type EngineChoice, gpuChoices, wasmChoices } from "../machine/engines.ts";
import { ProgressBar } from "../progress.ts";
import type { Session } from "../session.ts";
import { digits, table } from "../text.ts";
import { choiceFlag, switchFlag, valueFlag, wholeKind } from "../values.ts";

const flags = {
  backend: choiceFlag("--backend", ["wasm", "webgpu"], "Only this one. Default: both."),
  software: switchFlag("--software", "GPUs in software too."),
  threads: valueFlag("--threads", wholeKind(1), "Threads of the CPU. Default: one for each core."),
  part: choiceFlag("--part", CHECKED_PARTS.map(({ name }) => name), "Only this part."),
  seed: valueFlag("--seed", wholeKind(0), "Chooses problems and numbers. Default: 1."),
} as const;

/** A result of a part: its largest error, beside what was allowed there. */
interface Worst {
  readonly result: string;
  readonly error: number;
  readonly allowed: number;
}

/** What a part of the check found on an engine. */
interface Outcome {
  readonly engine: string;
  readonly part: string;
  readonly problems: number;
  readonly passed: boolean;
  readonly results: readonly Worst[];
  /** What is wrong. */
  readonly findings?: string;
}

const shareOf = ({ error, allowed }: Worst) => error === 0 ? 0 : error / allowed;

/** For each result the error that comes nearest to what is allowed. */
function worstOf({ problems }: GradientReport): Worst[] {
  const worst = new Map<string, Worst>();
  for (const { name: result, error, allowed } of problems.flatMap(({ results }) => results)) {
    const one = { result, error, allowed }, known = worst.get(result);
    if (!known || !(shareOf(one) <= shareOf(known))) worst.set(result, one);
  }
  return [...worst.values()];
}

/** An engine that is asked. */
interface Asked {
  readonly name: string;
  readonly engine: Engine;
  /** Whether it is a GPU in software, which is asked less. */
  readonly software: boolean;
  readonly close: () => void;
}

async function open({ name, backend, software, make }: EngineChoice): Promise<Asked> {
  const engine = await make();
  if (engine.target.backend === "wasm" && engine.target.threads > 1) await warmThreads(engine);
  const device = engine.device as { destroy?: () => void } | undefined;
  const close = () => {
    engine.dispose();
    if (backend === "webgpu") device?.destroy?.(); // it was opened for this engine
  };
  return { name, engine, software, close };
}

/** Asks every engine the problems of a part; GPUs in software have their own. */
async function checkPart(
  { name, options, inSoftware }: CheckedPart,
  engines: readonly Asked[],
  seed: number,
  session: Session,
  tell: (share: number) => void,
): Promise<Outcome[]> {
  const kinds = [
    { asked: engines.filter(({ software }) => !software), options: { ...options, seed } },
    {
      asked: engines.filter(({ software }) => software),
      options: { ...options, ...inSoftware, seed },
    },
  ].filter(({ asked }) => asked.length > 0);
  const outcomes: Outcome[] = [];
  for (const [n, { asked, options }] of kinds.entries()) {
    const part = (share: number) => tell((n + share) / kinds.length);
    outcomes.push(...await askEngines(name, options, asked, session, part));
  }
  return outcomes;
}

/** Asks some engines the same problems. What they must give is computed once. */
async function askEngines(
  part: string,
  options: CheckOptions,
  engines: readonly Asked[],
  session: Session,
  tell: (share: number) => void,
): Promise<Outcome[]> {
  const complaint = new Complaint("check");
  // the formula judges; differences of the function itself would ask it thousands of times
  const settings = checkSettings({ ...options, finiteDifferences: false }, complaint);
  const problems = sampleProblems(settings, complaint);
  const reports = engines.map((): ProblemReport[] => []);
  for (const [n, problem] of problems.entries()) {
    const prepared = prepareProblem(problem, settings);
    for (const [at, { engine }] of engines.entries()) {
      session.signal.throwIfAborted();
      tell((n + at / engines.length) / problems.length);
      reports[at]!.push(await askProblem(functionsOn(engine, settings.storage), prepared));
      await turn();
    }
  }
  return engines.map(({ name: engine }, at) => {
    const report = new GradientReport(reports[at]!, settings), { passed } = report;
    return {
      ...{ engine, part, problems: problems.length, passed, results: worstOf(report) },
      ...(!passed && { findings: report.text }),
    };
  });
}

/** Lets signals be heard. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

function text(outcomes: readonly Outcome[], leftOut: readonly string[], seconds: number): string {
  const rows = outcomes.map(({ engine, part, problems, passed, results }) => {
    const worst = results.toSorted((a, b) => shareOf(b) - shareOf(a))[0];
    return [
      ...[engine, part, String(problems), worst?.result ?? ""],
      ...[worst?.error.toExponential(1) ?? "", worst?.allowed.toExponential(1) ?? ""],
      ...[worst ? `${digits(100 * shareOf(worst))} %` : "", passed ? "ok" : "WRONG"],
    ];
  });
  const head = ["engine", "part", "problems", "worst", "error", "allowed", "share", ""];
  const wrong = outcomes.filter(({ passed }) => !passed);
  const all = outcomes.reduce((sum, { problems }) => sum + problems, 0);
  return [
    table(head, rows),
    "",
    ...leftOut.map((line) => `not checked: ${line}`),
    ...wrong.map(({ engine, part, findings }) => `${engine}, ${part}: ${findings}`),
    wrong.length === 0
      ? `${all} problems on ${new Set(outcomes.map(({ engine }) => engine)).size} engines, ` +
        `all right (${digits(seconds)} s)`
      : `${wrong.length} of ${outcomes.length} parts are wrong`,
  ].join("\n");
}

async function checkAll(values: ValuesOf<typeof flags>, session: Session): Promise<Report> {
  const { backend, software, threads, part, seed = 1 } = values, begin = performance.now();
  const gpu = backend === "wasm" ? { choices: [], leftOut: [] } : await gpuChoices(software);
  const choices = [...(backend === "webgpu" ? [] : await wasmChoices(threads)), ...gpu.choices];
  if (choices.length === 0) {
    throw new UnsupportedError("checking", "webgpu", gpu.leftOut.join("; "));
  }
  const parts = CHECKED_PARTS.filter(({ name }) => part === undefined || name === part);
  const bar = new ProgressBar(session, "check");
  const engines: Asked[] = [], outcomes: Outcome[] = [];
  try {
    for (const choice of choices) engines.push(await open(choice));
    for (const [n, one] of parts.entries()) {
      const tell = (share: number) => bar.report((n + share) / parts.length);
      outcomes.push(...await checkPart(one, engines, seed, session, tell));
    }
  } finally {
    bar.end();
    for (const { close } of engines) close();
  }
  const passed = outcomes.every((outcome) => outcome.passed);
  const { leftOut } = gpu, seconds = (performance.now() - begin) / 1000;
  return {
    data: { passed, seconds, outcomes, notChecked: leftOut },
    text: text(outcomes, leftOut, seconds),
    code: passed ? EXIT.done : EXIT.failed,
  };
}

/** `check`. */
export const check: Command = defineCommand({
  name: "check",
  summary: "Checks what this machine computes against a float64 formula.",
  details: "Every build of the CPU kernels on one thread and on all, and every GPU: forward, " +
    "backward, decode, options, and storage in 16 bits, on odd sizes. The bound is 16 times the error " +
    "of the plain formula in float32. Exit code 1 where a result is off. A GPU in software is asked " +
    "less, since it compiles each kernel for seconds: one minute on lavapipe, some on SwiftShader.",
  examples: [
    { what: "everything but GPUs in software", args: "check" },
    { what: "the CPU alone, as data", args: "check --backend wasm --json" },
    { what: "one part, other numbers", args: "check --part decode --seed 7 --backend wasm" },
  ],
  flags,
  run: checkAll,
});
