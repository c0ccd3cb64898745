// The options of a call as flags. The one place of the command line that knows features by name.
import type { CallOptions } from "../../problem/call_options.ts";
import { maskMod, scoreMod } from "../../expression/score_mod.ts";
import type { StatisticName } from "../../tensor/operands.ts";
import type { FlagsOf } from "../command.ts";
import { FileError, UsageError } from "../exit.ts";
import { loadModule, thrown } from "../files/module.ts";
import { TENSOR_FILES, tensorAt } from "../files/tensor_file.ts";
import {
  choiceFlag,
  fileKind,
  type Kind,
  numberKind,
  switchFlag,
  valueFlag,
  wholeKind,
  wholesKind,
  words,
} from "../values.ts";

const number = numberKind("a number", Number.isFinite);
const integer = numberKind("a whole number", Number.isSafeInteger);
const tensor = fileKind(TENSOR_FILES, "a .npy or .safetensors file");
const probability = numberKind("a number from 0 to below 1", (p) => p >= 0 && p < 1);

/** `--causal top-left`, `--causal 5`: a corner, or an offset. */
const causal: Kind<Exclude<CallOptions["causal"], boolean | undefined>> = {
  metavar: "CORNER|OFFSET",
  wanted: "bottom-right, top-left or a whole number",
  read: (text) => {
    if (text === "bottom-right" || text === "top-left") return text;
    const offset = integer.read(text);
    return offset === undefined ? undefined : { offset };
  },
  suggest: words("bottom-right", "top-left"),
};

/** `128,0`; an empty side is unbounded. */
const window: Kind<{ readonly left?: number; readonly right?: number }> = {
  metavar: "LEFT,RIGHT",
  wanted: "two whole numbers like 128,0, of which one may be left out",
  read: (text) => {
    const [, left, right] = /^(\d*),(\d*)$/.exec(text) ?? [];
    if (right === undefined || text === ",") return undefined;
    return { ...(left && { left: Number(left) }), ...(right && { right: Number(right) }) };
  },
};

const STATISTICS: readonly StatisticName[] = ["entropy", "maxProbability", "expectedKey"];
const statistics: Kind<readonly StatisticName[]> = {
  metavar: "NAME,NAME",
  wanted: `some of ${STATISTICS.join(", ")} with commas between them`,
  read: (text) => {
    const names = text.split(",") as StatisticName[];
    return names.every((name) => STATISTICS.includes(name)) ? names : undefined;
  },
};

/** A tensor as an option, for examples of commands. */
export const TENSOR_EXAMPLE = "--bias b.safetensors:t5.bias";

/** Values of these flags. Tensors and functions are names of files. */
export interface CallValues {
  readonly layout: CallOptions["layout"];
  readonly window: CallOptions["window"];
  readonly softmaxScale: CallOptions["softmaxScale"];
  readonly softcap: CallOptions["softcap"];
  readonly stats: CallOptions["stats"];
  readonly causal: Exclude<CallOptions["causal"], boolean>;
  readonly bias: string | undefined;
  readonly mask: string | undefined;
  readonly alibiSlopes: string | undefined;
  readonly sink: string | undefined;
  readonly keyLengths: readonly number[] | undefined;
  readonly cuSeqlensQ: readonly number[] | undefined;
  readonly cuSeqlensK: readonly number[] | undefined;
  readonly rotary: boolean;
  readonly rotaryBase: number | undefined;
  readonly rotaryDims: number | undefined;
  readonly rotaryInterleaved: boolean;
  readonly dropout: number | undefined;
  readonly dropoutSeed: number | undefined;
  readonly functions: string | undefined;
}

/** Flags of a call. */
export const callFlags: FlagsOf<CallValues> = {
  layout: choiceFlag("--layout", ["bshd", "bhsd"], "Order of the axes. Default: bshd."),
  causal: valueFlag("--causal", causal, "Causal mask: bottom-right is that of causal: true."),
  window: valueFlag("--window", window, "Keys to both sides of the diagonal that are seen."),
  softmaxScale: valueFlag("--softmax-scale", number, "Default: 1 / sqrt(headDim)."),
  softcap: valueFlag("--softcap", number, "s = softcap * tanh(s / softcap)."),
  bias: valueFlag("--bias", tensor, "Added to the scores."),
  mask: valueFlag("--mask", tensor, "Bytes or booleans, 1 = may attend."),
  alibiSlopes: valueFlag("--alibi-slopes", tensor, "f32 [queryHeads] or [batch, queryHeads]."),
  sink: valueFlag("--sink", tensor, "f32 [queryHeads]."),
  keyLengths: valueFlag("--key-lengths", wholesKind(0), "Keys in use, one or for each sequence."),
  cuSeqlensQ: valueFlag("--cu-seqlens-q", wholesKind(0), "Packed queries: where sequences begin."),
  cuSeqlensK: valueFlag("--cu-seqlens-k", wholesKind(0), "Packed keys, likewise."),
  rotary: switchFlag("--rotary", "Rotate q and k by their positions."),
  rotaryBase: valueFlag("--rotary-base", number, "Default: 10000. Implies --rotary."),
  rotaryDims: valueFlag("--rotary-dims", wholeKind(2), "Columns that turn. Implies --rotary."),
  rotaryInterleaved: switchFlag("--rotary-interleaved", "Neighbours are pairs. Implies --rotary."),
  dropout: valueFlag("--dropout", probability, "Probability with which pairs are dropped."),
  dropoutSeed: valueFlag("--dropout-seed", wholeKind(0), "Which pairs: needed with --dropout."),
  stats: valueFlag("--stats", statistics, "Statistics of rows among the results."),
  functions: valueFlag(
    "--functions",
    fileKind([".js", ".mjs", ".ts"], "a JavaScript file"),
    "Module whose functions scoreMod and maskMod are used.",
  ),
};

/** Functions of a module, traced. */
async function functionsOf(path: string): Promise<Pick<CallOptions, "scoreMod" | "maskMod">> {
  const found = await loadModule(path);
  const made = { scoreMod, maskMod } as Record<string, (f: never) => unknown>;
  const names = Object.keys(made).filter((name) => found[name] !== undefined);
  if (names.length === 0) {
    throw new FileError(`Cannot read ${path}: it exports neither scoreMod nor maskMod`);
  }
  return Object.fromEntries(names.map((name) => {
    const given = found[name];
    if (typeof given !== "function") return [name, given]; // one that scoreMod() made already
    try {
      return [name, made[name]!(given as never)];
    } catch (error) {
      if (error instanceof Error && error.message.startsWith("Cannot ")) throw error;
      throw new FileError(`Cannot use ${path}: its ${name}: ${thrown(error)}`);
    }
  }));
}

function rotaryOf(values: CallValues): Pick<CallOptions, "rotary"> {
  const { rotary, rotaryBase: base, rotaryDims: dims, rotaryInterleaved: interleaved } = values;
  if (!rotary && base === undefined && dims === undefined && !interleaved) return {};
  return { rotary: { base, dims, ...(interleaved && { interleaved }) } };
}

function dropoutOf({ dropout: probability, dropoutSeed: seed }: CallValues) {
  if (probability === undefined && seed === undefined) return {};
  if (probability === undefined || seed === undefined) {
    const [given, missing] = seed === undefined
      ? ["--dropout", "--dropout-seed"]
      : ["--dropout-seed", "--dropout"];
    throw new UsageError(`Cannot use ${given} without ${missing}`);
  }
  return { dropout: { probability, seed } };
}

const single = (values: readonly number[]) => values.length === 1 ? values[0]! : values;

/** The options that flags give; tensors are read. */
export async function callOptions(values: CallValues): Promise<CallOptions> {
  const { layout, causal, window, softmaxScale, softcap, keyLengths, stats, functions } = values;
  const { cuSeqlensQ, cuSeqlensK } = values, tensors: Record<string, unknown> = {};
  const given = { ...rotaryOf(values), ...dropoutOf(values) };
  for (const name of ["bias", "mask", "alibiSlopes", "sink"] as const) {
    if (values[name] === undefined) continue;
    tensors[name] = await tensorAt(values[name], name, name === "mask" ? ["bool"] : undefined);
  }
  return {
    ...{ layout, causal, window, softmaxScale, softcap, cuSeqlensQ, cuSeqlensK, stats },
    ...(keyLengths && { keyLengths: single(keyLengths) }),
    ...given,
    ...tensors,
    ...(functions && await functionsOf(functions)),
  };
}
