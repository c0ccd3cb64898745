/** Trains a model of GPT-2's shape in TensorFlow.js. `--help` has the flags. */
import { openBackend, sayMemory } from "../transformer/backend.ts";
import { Interrupt } from "../transformer/interrupt.ts";
import { compare } from "./compare.ts";
import { loadCorpus } from "./corpus.ts";
import { Learner } from "./learner.ts";
import { HELP, type Options, parseOptions } from "./options.ts";
import { CurvePrinter, introduce } from "./report.ts";
import { train } from "./train.ts";

if (import.meta.main) {
  try {
    const options = parseOptions(Deno.args);
    if (!options) console.log(HELP);
    else if (options.compare) await compare(options);
    else await run(options);
  } catch (error) {
    console.error(`error: ${error instanceof Error ? error.message : error}`);
    Deno.exitCode = 1;
  }
}

/** Trains until the schedule ends; the first Ctrl-C ends it too, a second one the program. */
async function run(options: Options): Promise<void> {
  const text = await loadCorpus(options.file, options.context);
  await openBackend(options.backend);
  const learners: Learner[] = [];
  for (const name of options.attention) learners.push(await Learner.create(name, options));
  introduce(options, text, learners);

  const interrupt = new Interrupt();
  const printer = new CurvePrinter(options.attention, options.every);
  const tokens = options.batch * options.context;
  const courses = await train(
    ...[learners, text, options, interrupt.signal] as const,
    (courses) => printer.report(courses, tokens),
  );
  printer.finish(courses, tokens);
  interrupt.end();
  sayMemory();
  for (const learner of learners) learner.dispose();
}
