/** Steps of training with each kind of attention, in one process and in turns, each in a worker with a heap of its own. */
import { formatBytes, formatCount } from "../byte_lm/progress.ts";
import { Random } from "../byte_lm/random.ts";
import { randomBatch, type Text } from "../byte_lm/text.ts";
import type { AttentionName } from "../transformer/attention.ts";
import { loadCorpus } from "./corpus.ts";
import type { Answer, Question } from "./compare_worker.ts";
import type { Options } from "./options.ts";

const NAMES: readonly AttentionName[] = ["flash", "by-heads", "materialised"];
/** Rounds after the first, which warms up; each takes part for so many seconds of its own, and once in any case. */
const MOST_ROUNDS = 5, SECONDS_OF_EACH = 20;

/** One kind of attention at one length. */
class Entrant {
  readonly name: AttentionName;
  readonly #worker: Worker;
  /** Milliseconds of steps, the first left out. */
  readonly steps: number[] = [];
  losses: number[] = [];
  growth = 0;
  /** Milliseconds of the gradients of attention alone, of all layers. */
  readonly attention: number[] = [];
  failed: string | undefined;

  constructor(name: AttentionName) {
    this.name = name;
    this.#worker = new Worker(new URL("compare_worker.ts", import.meta.url), { type: "module" });
  }

  /** Undefined where it failed, now or before. */
  async ask(question: Question): Promise<Answer | undefined> {
    if (this.failed !== undefined) return undefined;
    const { promise, resolve } = Promise.withResolvers<Answer>();
    this.#worker.onmessage = ({ data }: MessageEvent<Answer>) => resolve(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      resolve({ ms: NaN, loss: NaN, growth: NaN, error: event.message });
    };
    this.#worker.postMessage(question);
    const answer = await promise;
    this.failed = answer.error;
    return answer.error === undefined ? answer : undefined;
  }

  /** Whether there is time for a further step. */
  get hasTime(): boolean {
    return this.steps.reduce((sum, ms) => sum + ms, 0) < 1000 * SECONDS_OF_EACH;
  }

  get msOfStep(): number {
    return median(this.steps);
  }

  end(): void {
    this.#worker.terminate();
  }
}

/** Measures and prints; a line of JSON for each row goes to stderr. */
export async function compare(options: Options): Promise<void> {
  const text = await loadCorpus(options.file, options.context);
  const { layers, heads, dim, batch, context, recompute } = options;
  console.log(
    `Deno ${Deno.version.deno}, TensorFlow.js on wasm, one thread: ${layers} layers, ` +
      `${heads} heads, ${dim} channels, batch ${batch}, whole steps of training` +
      `${recompute ? ", layers run again for gradients" : ""}\n`,
  );
  const head = [
    ...["tokens", "attention", "tokens/s", "ms of a step: median, least, most", "flash is"],
    ...["attention alone, of all layers", "flash is", "memory growth"],
  ];
  console.log(`| ${head.join(" | ")} |\n|${" --- |".repeat(head.length)}`);
  const entrants = NAMES.map((name) => new Entrant(name));
  try {
    await race(entrants, options, text);
  } finally {
    for (const entrant of entrants) entrant.end();
  }
  for (const entrant of entrants) printRow(entrant, entrants[0]!, batch * context);
}

async function race(entrants: Entrant[], options: Options, text: Text): Promise<void> {
  const { context, batch, layers, seed } = options, random = new Random(seed + 1);
  for (const entrant of entrants) {
    await entrant.ask({ ask: "create", name: entrant.name, options, batch });
  }
  for (let round = 0; round <= MOST_ROUNDS; round++) {
    const pieces = randomBatch(text.training, batch, context, random);
    for (const entrant of entrants.filter(({ hasTime }) => hasTime)) {
      const answer = await entrant.ask({ ask: "step", pieces });
      if (!answer) continue;
      entrant.losses.push(answer.loss);
      entrant.growth = answer.growth;
      if (round === 0) continue;
      entrant.steps.push(answer.ms);
      const alone = await entrant.ask({ ask: "attention" });
      if (alone) entrant.attention.push(layers * alone.ms);
    }
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b), half = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[half]!;
  return (sorted[half - 1]! + sorted[half]!) / 2;
}

/** The median of times, and between what they lie. */
function timesCell(values: readonly number[]): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return [median(values), least, most].map((ms) => ms.toFixed(0)).join(", ");
}

function printRow(entrant: Entrant, first: Entrant, tokens: number): void {
  const { name, failed, msOfStep, steps, attention, growth, losses } = entrant;
  const speed = failed ? `failed: ${failed}` : formatCount(Math.round(1000 * tokens / msOfStep));
  const over = (ours: number, theirs: number) => `${(theirs / ours).toFixed(2)} times as fast`;
  const cells = [
    ...[formatCount(tokens), name, speed, timesCell(steps), over(first.msOfStep, msOfStep)],
    ...[timesCell(attention), over(median(first.attention), median(attention))],
    `${formatBytes(growth)} (${(growth / first.growth).toFixed(1)})`,
  ];
  console.log(`| ${cells.join(" | ")} |`);
  console.error(
    JSON.stringify({
      tokens,
      subject: name,
      failed: failed ?? null,
      msOfStep,
      steps,
      attention,
      growth,
      losses,
    }),
  );
}
