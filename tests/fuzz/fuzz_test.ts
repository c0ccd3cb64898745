/** What `deno task fuzz` does without end, in the time that a test may take. */
import fc from "fast-check";
import { onEngines } from "../engines.ts";
import { cacheTrials, runCacheTrial } from "./cache_model.ts";
import { fileTrials, runFileTrial } from "./files.ts";
import { type PrecisionTrial, precisionTrials, runPrecisionTrial } from "./precision_trial.ts";
import { Target, trials } from "./trial.ts";
import { watch } from "./watchdog.ts";

const SEED = 20261127;
/** Of each engine; a GPU compiles for most of them. */
const SECONDS = { wasm: 2, webgpu: 3 };

/** A property in the time that it may take; a failure is shrunk. */
async function holds<T>(
  arbitrary: fc.Arbitrary<T>,
  seconds: number,
  property: (value: T) => Promise<void>,
  runs = 1500,
): Promise<void> {
  using _ = watch(false);
  await fc.assert(fc.asyncProperty(arbitrary, property), {
    seed: SEED,
    numRuns: runs,
    interruptAfterTimeLimit: 1000 * seconds,
  });
}

onEngines(
  "hostile arguments get documented errors and leave the engine as it was",
  async (engine) => {
    const target = await Target.open(engine);
    const runs = engine.backend === "wasm" ? 1500 : 25; // each may compile for seconds
    await holds(trials(), SECONDS[engine.backend], (trial) => target.run(trial), runs);
  },
  "rest",
);

onEngines("a cache does what a model of it does, whatever is done to it", async (engine) => {
  await holds(cacheTrials, SECONDS[engine.backend], (trial) => runCacheTrial(engine, trial));
}, "rest");

onEngines("a precision is within its bound, whatever is asked beside it", async (engine) => {
  const run = (trial: PrecisionTrial) => runPrecisionTrial(engine, trial);
  await holds(precisionTrials(engine), SECONDS[engine.backend], run);
}, "rest");

Deno.test("damaged files of models are refused with what is wrong", async () => {
  await holds(fileTrials, 1, runFileTrial);
});
