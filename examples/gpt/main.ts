/** Trains a model of GPT-2's shape in TensorFlow.js. `--help` has the flags. */
import { openBackend, sayMemory } from "../transformer/backend.ts";
import { CurvePrinter } from "../transformer/curve_printer.ts";
import { Interrupt } from "../transformer/interrupt.ts";
import { compare } from "./compare.ts";
import { loadCorpus } from "./corpus.ts";
import { Learner } from "./learner.ts";
import { HELP, type Options, parseOptions } from "./options.ts";
import { introduce } from "./report.ts";
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

  const interrupt = new Interrupt(),
    tokens = { unit: "tokens", each: options.batch * options.context };
  const printer = new CurvePrinter(options.attention, options.every, tokens);
  const courses = await train(
    ...[learners, text, options, interrupt.signal] as const,
    (courses) => printer.report(courses),
  );
  printer.finish(courses);
  interrupt.end();
  sayMemory();
  for (const learner of learners) learner.dispose();
}
