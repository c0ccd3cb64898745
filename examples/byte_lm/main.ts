/** The demo: trains on a text, continues a prompt, draws what was learned. `--help` has the flags. */
import { createEngine, type Engine } from "../../mod.ts";
import { svgFile } from "../../tools/plot/figure.ts";
import { attentionMaps, mostRepetitivePiece } from "./attention_map.ts";
import { continueText } from "./generate.ts";
import { loadText } from "./load_text.ts";
import { drawLossCurve } from "./loss_chart.ts";
import { drawAttentionMaps } from "./map_chart.ts";
import { ByteModel } from "./model.ts";
import { HELP, type Options, parseOptions } from "./options.ts";
import { VOCABULARY } from "./parameters.ts";
import { formatCount, ProgressPrinter } from "./progress.ts";
import { Random } from "./random.ts";
import { entropies, type Text } from "./text.ts";
import { type History, recentLoss, train } from "./train.ts";

/** Bytes on the axes of the attention map. */
const MAP_LENGTH = 48;
const LONGEST_DEFAULT_PROMPT = 60;

if (import.meta.main) {
  try {
    const options = parseOptions(Deno.args);
    if (options) await runDemo(options);
    else console.log(HELP);
  } catch (error) {
    console.error(`error: ${error instanceof Error ? error.message : error}`);
    Deno.exitCode = 1;
  }
}

async function runDemo(options: Options): Promise<void> {
  const text = await loadText(options.file, options.context);
  await Deno.mkdir(options.out, { recursive: true }); // now, rather than failing after the training
  const { backend, threads } = options;
  const engine = await createEngine({
    backend,
    allowFallbackAdapter: backend === "webgpu", // asked for by name: a software GPU will do
    ...(threads === undefined ? {} : { threads }),
  });
  try {
    const random = new Random(options.seed);
    const { layers, heads, kvHeads, dim, context } = options;
    const shape = { layers, heads, kvHeads, headDim: dim / heads, dim, context };
    const model = new ByteModel(shape, random, engine);
    const { unigram, bigram } = entropies(text.bytes);
    introduce(options, text, engine, model, { unigram, bigram });

    const history = await trainUntilStopped(model, text, engine, options);
    const trained = recentLoss(history), heldOut = history.heldOut.at(-1)?.loss ?? NaN;
    console.log(
      `\nLoss ${trained.toFixed(3)} on the training text, ${heldOut.toFixed(3)} on the held-out ` +
        `text; bigram entropy ${bigram.toFixed(3)} nats per byte.`,
    );
    if (options.bytes > 0) await writeContinuation(model, text, options, random);

    const curve = drawLossCurve(history, [
      { label: "uniform guess", loss: Math.log(VOCABULARY) },
      { label: "unigram entropy", loss: unigram },
      { label: "bigram entropy", loss: bigram },
    ], describeRun(options, text, engine, history));
    const piece = mostRepetitivePiece(text.heldOut, Math.min(MAP_LENGTH, context));
    const map = drawAttentionMaps(await attentionMaps(model, piece, engine), piece);
    console.log("\nPictures:");
    for (const [name, figure] of [["loss.svg", curve], ["attention.svg", map]] as const) {
      await Deno.writeTextFile(`${options.out}/${name}`, svgFile(figure));
      console.log(`  ${options.out}/${name}`);
    }
  } finally {
    engine.dispose();
  }
}

function introduce(
  options: Options,
  text: Text,
  engine: Engine,
  model: ByteModel,
  { unigram, bigram }: { unigram: number; bigram: number },
): void {
  const { layers, heads, kvHeads, headDim, dim, context } = model.shape;
  const size = model.parameters.reduce((sum, { value }) => sum + value.length, 0);
  console.log(`engine   ${engine.backend}: ${engine.reason}`);
  console.log(
    `text     ${text.name}: ${formatCount(text.bytes.length)} bytes, ` +
      `the last ${formatCount(text.heldOut.length)} held out`,
  );
  console.log(
    `entropy  ${bigram.toFixed(3)} nats per byte knowing the byte before (bigram), ` +
      `${unigram.toFixed(3)} not knowing it, ${Math.log(VOCABULARY).toFixed(3)} for any byte`,
  );
  console.log(
    `model    ${layers} layers, ${heads} query heads and ${kvHeads} key head(s) of ${headDim}, ` +
      `${dim} channels, context ${formatCount(context)}: ${formatCount(size)} parameters`,
  );
  console.log(
    `budget   ${options.seconds} s or ${formatCount(options.steps)} steps of ` +
      `${
        formatCount(options.batch * context)
      } bytes; Ctrl-C stops early and keeps what was learned\n`,
  );
}

/** Trains; the first Ctrl-C ends the training only, a second one the program. */
async function trainUntilStopped(
  model: ByteModel,
  text: Text,
  engine: Engine,
  options: Options,
): Promise<History> {
  const stop = new AbortController();
  const onInterrupt = (): void => {
    Deno.removeSignalListener("SIGINT", onInterrupt);
    stop.abort();
  };
  Deno.addSignalListener("SIGINT", onInterrupt);
  const printer = new ProgressPrinter(engine, model.shape, options.batch);
  const history = await train(model, text, options, stop.signal, (h) => printer.report(h));
  printer.finish(history);
  if (stop.signal.aborted) console.log("Stopped by Ctrl-C.");
  else Deno.removeSignalListener("SIGINT", onInterrupt);
  return history;
}

async function writeContinuation(
  model: ByteModel,
  text: Text,
  options: Options,
  random: Random,
): Promise<void> {
  const prompt = options.prompt === undefined
    ? firstLine(text.heldOut)
    : new TextEncoder().encode(options.prompt);
  const bytes = [...prompt];
  const start = performance.now();
  const { bytes: count, temperature } = options;
  for await (const byte of continueText(model, prompt, count, temperature, random)) {
    bytes.push(byte);
  }
  const seconds = (performance.now() - start) / 1000;
  const source = options.prompt === undefined ? "a held-out line" : "the prompt";
  console.log(
    `\nFrom ${source} of ${prompt.length} bytes, ${formatCount(count)} more at ` +
      `${formatCount(Math.round(count / seconds))} bytes/s, one query row at a time:\n`,
  );
  console.log(printable(Uint8Array.from(bytes)).replace(/^/gm, "  | "));
}

/** The first whole line of a text, without its end, and no longer than a prompt should be. */
function firstLine(bytes: Uint8Array): Uint8Array {
  const newline = 0x0a;
  const cut = bytes.indexOf(newline) + 1; // the held-out part starts in the middle of a line
  let start = cut;
  while (bytes[start] === newline) start++;
  const end = bytes.indexOf(newline, start);
  const line = bytes.subarray(start, end < 0 ? undefined : end);
  return (line.length > 0 ? line : bytes).subarray(0, LONGEST_DEFAULT_PROMPT);
}

/** Text for a terminal: invalid UTF-8 and control characters are replaced. */
function printable(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes).replace(/(?![\n\t])\p{Cc}/gu, "\ufffd");
}

function describeRun(options: Options, text: Text, engine: Engine, history: History): string {
  const { layers, heads, dim, context } = options;
  return `${layers} layers, ${heads} heads, ${dim} channels, context ${context}, on ${text.name}: ` +
    `${formatCount(history.bytesTrained)} bytes in ${history.seconds.toFixed(0)} s ` +
    `(${engine.backend})`;
}
