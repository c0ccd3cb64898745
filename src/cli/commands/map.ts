// `map`: a picture of what queries attend to.
import { Buffer } from "node:buffer";
import type { CallOptions } from "../../problem/call_options.ts";
import type { ScoreStage } from "../../problem/inside_options.ts";
import type { Engine } from "../../engine/engine.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import { type Command, defineCommand, type Report, type ValuesOf } from "../command.ts";
import { UsageError } from "../exit.ts";
import { checkWritable, writeWhole } from "../files/atomic.ts";
import { TENSOR_FILES, tensorAt } from "../files/tensor_file.ts";
import { callFlags, callOptions } from "../flags/call.ts";
import { engineFlags, withEngine } from "../flags/engine.ts";
import { drawPixels, rangeOf, type Rectangle } from "../picture/pixels.ts";
import { drawSvg } from "../picture/svg.ts";
import { withProgress } from "../progress.ts";
import type { Session } from "../session.ts";
import { digits } from "../text.ts";
import { choiceFlag, fileKind, rangeKind, switchFlag, valueFlag, wholeKind } from "../values.ts";

const tensor = fileKind(TENSOR_FILES, "a .npy or .safetensors file");

const flags = {
  q: valueFlag("--q", tensor, "Queries: x.npy, x.safetensors, or x.safetensors:NAME."),
  k: valueFlag("--k", tensor, "Keys."),
  input: valueFlag(
    "--input",
    fileKind([".safetensors"], "a .safetensors file"),
    "File with q and k, for those that no flag names.",
  ),
  output: valueFlag("--output", fileKind([".svg", ".png"]), "x.svg with axes, or x.png without."),
  overwrite: switchFlag("--overwrite", "Replace a file that is there."),
  sequence: valueFlag("--sequence", wholeKind(0), "Which of the batch. Default: 0."),
  head: valueFlag("--head", wholeKind(0), "Which query head. Default: 0."),
  rows: valueFlag("--rows", rangeKind, "Queries. Default: the first 512."),
  keys: valueFlag("--keys", rangeKind, "Keys. Default: the first 512."),
  stage: choiceFlag(
    "--stage",
    ["probabilities", "masked", "softcapped", "raw"],
    "How far scores have come. Default: probabilities.",
  ),
  cell: valueFlag("--cell", wholeKind(1), "Pixels of a pair in a PNG. Default: 1 or more."),
  ...callFlags,
  ...engineFlags,
} as const;

type Values = ValuesOf<typeof flags>;

/** Pairs of a default range, along each axis, and of any range in all. */
const DEFAULT_RANGE = 512, MOST_PAIRS = 2 ** 24;
/** A PNG has at least so many pixels along its longer side, where no one says. */
const LEAST_SIDE = 256;
/** Pixels of a picture. */
const MOST_PIXELS = 2 ** 26;

async function operand(values: Values, name: "q" | "k"): Promise<HostTensor> {
  const from = values[name] ?? values.input;
  if (from !== undefined) return await tensorAt(from, name);
  throw new UsageError(`Cannot use map without --${name} FILE, or --input FILE.safetensors`);
}

/** Which of some axis; what is not given is its beginning. */
function rangeFor(
  flag: string,
  given: readonly [number, number] | undefined,
  length: number,
): readonly [number, number] {
  const [first, end] = given ?? [0, Math.min(length, DEFAULT_RANGE)];
  if (first < end && end <= length) return [first, end];
  throw new UsageError(
    `Cannot use ${flag} ${first}:${end}: it must begin before it ends, and end by ${length}`,
  );
}

/** Throws where cells of that size make more of a picture than memory holds. */
function checkCell(cell: number, { rows, keys }: Choice): void {
  const [height, width] = [rows, keys].map(([first, end]) => (end - first) * cell) as [
    number,
    number,
  ];
  if (height * width <= MOST_PIXELS) return;
  throw new UsageError(
    `Cannot use --cell ${cell}: ${height} x ${width} pixels, of which ${MOST_PIXELS} are the most`,
  );
}

interface Choice {
  readonly sequence: number;
  readonly head: number;
  readonly rows: readonly [number, number];
  readonly keys: readonly [number, number];
  readonly stage: ScoreStage;
}

function choose(values: Values, q: HostTensor, k: HostTensor): Choice {
  const { layout = "bshd", sequence = 0, head = 0, stage = "probabilities" } = values;
  if (values.cuSeqlensQ || values.cuSeqlensK || q.shape.length !== 4 || k.shape.length !== 4) {
    throw new UsageError(
      `Cannot use map with shapes [${q.shape}] and [${k.shape}]: four axes are needed, in layout ${layout}`,
    );
  }
  const [length, heads] = layout === "bshd" ? [1, 2] : [2, 1];
  const limits = [["--sequence", sequence, q.shape[0]!], [
    "--head",
    head,
    q.shape[heads]!,
  ]] as const;
  for (const [flag, index, count] of limits) {
    if (index >= count) throw new UsageError(`Cannot use ${flag} ${index}: q has ${count}`);
  }
  const rows = rangeFor("--rows", values.rows, q.shape[length]!);
  const keys = rangeFor("--keys", values.keys, k.shape[length]!);
  if ((rows[1] - rows[0]) * (keys[1] - keys[0]) > MOST_PAIRS) {
    throw new UsageError(
      `Cannot draw ${rows[1] - rows[0]} x ${keys[1] - keys[0]} pairs: ${MOST_PAIRS} is the most`,
    );
  }
  return { sequence, head, rows, keys, stage };
}

/** The scores of the chosen head. */
async function scores(
  engine: Engine,
  [q, k]: readonly [HostTensor, HostTensor],
  { sequence, head, rows, keys, stage }: Choice,
  options: CallOptions,
  session: Session,
): Promise<Rectangle> {
  // keys stand in for values: only lse is wanted
  const lse = stage === "probabilities"
    ? (await withProgress(
      session,
      "lse",
      (signal) => engine.attention(q, k, k, { ...options, signal }),
    )).lse
    : undefined;
  const wanted = { ...options, stage, rows, keys, ...(lse && { lse }), signal: session.signal };
  const { data, shape } = await engine.attentionScores(q, k, wanted);
  const [, heads, height, width] = shape as readonly [number, number, number, number];
  const begin = (sequence * heads + head) * height * width;
  return { rows: height, keys: width, values: data.subarray(begin, begin + height * width) };
}

async function drawMap(values: Values, session: Session): Promise<Report> {
  const { output, cell } = values;
  if (output === undefined) throw new UsageError("Cannot use map without --output FILE");
  const kind = /\.(svg|png)$/.exec(output)?.[1];
  if (!kind) {
    throw new UsageError(`Cannot use --output ${output}: its name must end in .svg or .png`);
  }
  await checkWritable(output, values.overwrite);
  const options = await callOptions(values);
  const operands = [await operand(values, "q"), await operand(values, "k")] as const;
  const choice = choose(values, ...operands);
  if (cell !== undefined) checkCell(cell, choice);
  const rectangle = await withEngine(
    values,
    (engine) => scores(engine, operands, choice, options, session),
  );
  const range = rangeOf(rectangle), { rows, keys, sequence, head, stage } = choice;
  // a scale of weights begins at 0
  const shown = stage === "probabilities" ? [0, range[1]] as const : range;
  const longer = Math.max(rectangle.rows, rectangle.keys);
  const pixels = kind === "svg" ? 1 : cell ?? Math.ceil(LEAST_SIDE / longer);
  const { encode } = await import("../picture/encode_png.ts");
  const image = drawPixels(rectangle, shown, pixels);
  const png = encode({ ...image, channels: 3, depth: 8 });
  const title = `${stage}, sequence ${sequence}, head ${head}`;
  const bytes = kind === "png"
    ? png
    : Buffer.from(drawSvg({ png, rows, keys, title, range: shown }));
  await writeWhole(output, [bytes]);
  const size = `queries ${rows.join(":")}, keys ${keys.join(":")}`;
  return {
    data: { file: output, stage, sequence, head, rows, keys, lowest: range[0], highest: range[1] },
    text: `${output}: ${title}, ${size}, from ${digits(range[0])} to ${digits(range[1])}`,
  };
}

/** `map`. */
export const map: Command = defineCommand({
  name: "map",
  summary: "Draws what queries attend to, as SVG or PNG.",
  details: "A rectangle of the scores of one head: light is low, dark is high, grey is hidden. " +
    "The SVG has axes and a scale, the PNG pixels alone.",
  examples: [
    { what: "weights of the first head", args: "map --input x.safetensors --output map.svg" },
    {
      what: "a corner of a long sequence, causal",
      args:
        "map --q q.npy --k k.npy --causal bottom-right --rows 0:64 --keys 0:64 --output map.png",
    },
    {
      what: "scores of head 2 before the softmax",
      args: "map --input x.safetensors --head 2 --stage masked --window 8,0 --output scores.svg",
    },
  ],
  flags,
  run: drawMap,
});
