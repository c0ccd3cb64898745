/**
 * Attacks the library until the time is up, and tells each kind of failure once:
 * `deno task fuzz [--seconds=600] [--seed=…] [--engine=wasm|threads|webgpu] [--call=…]`, `--help` has them all.
 * What repeats a failure, alone, is printed with it.
 */
import { createEngine, type Engine } from "../../mod.ts";
import { openGpu } from "../backends.ts";
import fc from "fast-check";
import { cacheTrials, runCacheTrial } from "./cache_model.ts";
import { fileTrials, runFileTrial } from "./files.ts";
import { ENGINES, flagsOrExit, OTHERS } from "./flags.ts";
import { precisionTrials, runPrecisionTrial } from "./precision_trial.ts";
import { Target, trials } from "./trial.ts";
import { watch } from "./watchdog.ts";

const flags = flagsOrExit(Deno.args);
const { seconds, seed } = flags;
/** Trials that are drawn at once. */
const BATCH = 200;

const engines: Readonly<
  Record<typeof ENGINES[number], () => Promise<Engine | { readonly absent: string }>>
> = {
  wasm: () => createEngine({ backend: "wasm", threads: 1, memoryBudget: 2 ** 28 }),
  threads: () => createEngine({ backend: "wasm", threads: 2, memoryBudget: 2 ** 28 }),
  webgpu: () => openGpu({ memoryBudget: 2 ** 28 }),
};

/** A failure in words that the same failure has again. */
function kindOf(error: Error): string {
  const cause = error.cause instanceof Error ? error.cause : error;
  const place = cause.stack?.split("\n").find((line) => /\/src\/|\/tests\//.test(line)) ?? "";
  return `${error.message.replace(/^[^:]*: .*: /, "").slice(0, 60)} ${place}`;
}

/** Trials until the time is up. */
async function attack(name: string, engine: Engine, until: number): Promise<number> {
  const target = await Target.open(engine),
    { call, only } = flags,
    seen = new Map<string, number>();
  const arbitrary = call ? trials([call]) : trials();
  for (let batch = seed; performance.now() < until; batch++) {
    const drawn = fc.sample(arbitrary, { seed: batch, numRuns: BATCH });
    for (const [n, trial] of drawn.entries()) {
      if (only !== undefined && n !== only) continue;
      if (performance.now() > until) break;
      try {
        await target.run(trial);
      } catch (error) {
        const kind = kindOf(error as Error), times = (seen.get(kind) ?? 0) + 1;
        seen.set(kind, times);
        if (times > 1) continue;
        console.log(`--engine=${name} --seed=${batch} --only=${n}${call ? ` --call=${call}` : ""}`);
        console.log(error);
      }
    }
    if (only !== undefined) break;
  }
  console.log(`${name}: ${JSON.stringify([...target.outcomes])}`);
  const slowest = [...target.times].sort(([, a], [, b]) => b - a).slice(0, 8);
  console.log(slowest.map(([call, ms]) => `${call} ${ms.toFixed(0)} ms`).join(", "));
  for (const [kind, times] of seen) console.log(`${times} times: ${kind}`);
  return seen.size;
}

/** Trials in so many milliseconds, the failing one shrunk. How many there were. */
async function holds<T>(
  arbitrary: fc.Arbitrary<T>,
  run: (trial: T) => Promise<void>,
  interruptAfterTimeLimit: number,
): Promise<number> {
  const bounds = { seed, numRuns: 1e9, interruptAfterTimeLimit };
  const details = await fc.check(fc.asyncProperty(arbitrary, run), bounds);
  if (!details.failed) return details.numRuns;
  const message = await fc.asyncDefaultReportMessage(details);
  throw new Error(message, { cause: details.errorInstance });
}

/** What is attacked beside calls, by names that `--call` takes too. */
const others: Readonly<
  Record<typeof OTHERS[number], (engine: Engine, ms: number) => Promise<number>>
> = {
  files: (_, ms) => holds(fileTrials, runFileTrial, ms),
  caches: (engine, ms) => holds(cacheTrials, (t) => runCacheTrial(engine, t), ms),
  precisions: async (engine, ms) => {
    const outcomes = new Map<string, number>(), trials = precisionTrials(engine);
    const runs = await holds(trials, (t) => runPrecisionTrial(engine, t, outcomes), ms);
    console.log(JSON.stringify([...outcomes]));
    return runs;
  },
};

/** Each of some in its share of the time. */
async function attackOthers(
  engine: Engine,
  until: number,
  names: readonly (typeof OTHERS[number])[] = OTHERS,
): Promise<void> {
  for (const [n, name] of names.entries()) {
    const left = Math.max(0, until - performance.now());
    console.log(`${await others[name](engine, left / (names.length - n))} trials of ${name}`);
  }
}

console.log(`seed ${seed}, ${seconds} s`);
using _watch = watch(true);
const names = flags.engine === undefined ? ENGINES : [flags.engine];
let failures = 0;
const only = OTHERS.find((name) => name === flags.call);
for (const name of names) {
  const engine = await engines[name]();
  if ("absent" in engine) {
    console.log(`not run on ${name}: ${engine.absent}`);
    continue;
  }
  const share = 1000 * seconds / names.length, begin = performance.now();
  if (only) await attackOthers(engine, begin + share, [only]);
  else {
    failures += await attack(name, engine, begin + 0.7 * share);
    await attackOthers(engine, begin + share);
  }
  engine.dispose();
}
Deno.exit(failures > 0 ? 1 : 0);
