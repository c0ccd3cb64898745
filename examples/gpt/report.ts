/** Lines for the terminal: results to stdout, the rest to stderr. */
import { formatCount } from "../byte_lm/progress.ts";
import { entropies, type Text } from "../byte_lm/text.ts";
import type { Learner } from "./learner.ts";
import type { Options } from "./options.ts";

export function introduce(options: Options, text: Text, learners: readonly Learner[]): void {
  const { layers, heads, dim, context, batch, backend } = options;
  const { unigram, bigram } = entropies(text.bytes);
  const variables = learners[0]!.model.variables;
  const parameters = variables.reduce((sum, { size }) => sum + size, 0);
  console.error(`backend  TensorFlow.js on ${backend}, one thread`);
  console.error(`text     ${text.name}: ${formatCount(text.bytes.length)} bytes`);
  console.error(
    `entropy  ${bigram.toFixed(3)} nats per byte knowing the byte before, ` +
      `${unigram.toFixed(3)} not knowing it`,
  );
  console.error(
    `model    ${layers} layers, ${heads} heads, ${dim} channels, context ${
      formatCount(context)
    }: ` +
      `${formatCount(parameters)} parameters, ${formatCount(batch * context)} bytes a step`,
  );
}
