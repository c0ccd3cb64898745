/** Trains a vision transformer in TensorFlow.js on handwritten digits. `--help` has the flags. */
import { openBackend, sayMemory } from "../transformer/backend.ts";
import { CurvePrinter } from "../transformer/curve_printer.ts";
import { Interrupt } from "../transformer/interrupt.ts";
import { loadDigits } from "./digits.ts";
import { Learner } from "./learner.ts";
import { HELP, type Options, parseOptions } from "./options.ts";
import { introduce, reportAccuracy } from "./report.ts";
import { train } from "./train.ts";

if (import.meta.main) {
  try {
    const options = parseOptions(Deno.args);
    if (!options) console.log(HELP);
    else await run(options);
  } catch (error) {
    console.error(`error: ${error instanceof Error ? error.message : error}`);
    Deno.exitCode = 1;
  }
}

/** Trains until the schedule ends, and tests. */
async function run(options: Options): Promise<void> {
  const digits = await loadDigits();
  await openBackend(options.backend);
  const learners: Learner[] = [];
  for (const name of options.attention) learners.push(await Learner.create(name, options));
  introduce(options, digits, learners);

  const interrupt = new Interrupt(), pictures = { unit: "pictures", each: options.batch };
  const printer = new CurvePrinter(options.attention, options.every, pictures);
  const courses = await train(
    ...[learners, digits.training, options, interrupt.signal] as const,
    (courses) => printer.report(courses),
  );
  printer.finish(courses);
  interrupt.end();
  reportAccuracy(learners, digits.test);
  sayMemory();
  for (const learner of learners) learner.dispose();
}
