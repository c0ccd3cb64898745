// Options of flashAttention: those of the library's attention, where tensors may be those of TensorFlow.js.
import type { CallOptions, Rotary, Window } from "../problem/call_options.ts";
import { type Complaint, show, UnsupportedError } from "../tensor/errors.ts";
import type { HostTensor, MaskTensor } from "../tensor/tensor.ts";
import { checkTensor, isTensor, readIntegers, readValues } from "./inputs.ts";
import type { CapturedFloats, CapturedIntegers, Inputs } from "./runner.ts";
import type { TfEngine, TfTensor } from "./tensorflow.ts";

/** Integers: one for all sequences or one for each, or an int32 tensor of them. */
export type TfPerSequence<T> = number | readonly number[] | Int32Array | T;

/** Rotary positions and tables, which may be tensors. */
export interface TfRotary<T> extends Omit<Rotary, "positionsQ" | "positionsK" | "cos" | "sin"> {
  /** Positions of the rows of q, int32 [length] or [batch, length]. */
  readonly positionsQ?: Rotary["positionsQ"] | T;
  /** Positions of the rows of k, likewise. */
  readonly positionsK?: Rotary["positionsK"] | T;
  /** Cosines, float32 [positions, dims / 2], in place of `base`; no gradient. */
  readonly cos?: Rotary["cos"] | T;
  /** Sines, likewise. */
  readonly sin?: Rotary["sin"] | T;
}

/**
 * Options of `flashAttention`, with the meaning and the order that they have in `attention`. What is said to have a gradient
 * has one where it is a tensor of TensorFlow.js; a host tensor `{ data, shape }` is a constant.
 */
export interface FlashAttentionOptions<T extends TfTensor = TfTensor>
  extends Pick<CallOptions, "layout" | "softmaxScale" | "softcap" | "scoreMod" | "maskMod"> {
  /** Rotates pairs of columns of q and k by their positions as they are read. */
  readonly rotary?: TfRotary<T> | undefined;
  /** ALiBi slopes, float32 [queryHeads] or [batch, queryHeads]; with a gradient. */
  readonly alibiSlopes?: T | HostTensor | undefined;
  /** Added to the scores, float32, broadcasts to [batch, queryHeads, lengthQ, lengthK]; with a gradient. */
  readonly bias?: T | HostTensor | undefined;
  /** Which pairs may attend, bool, broadcasts likewise. */
  readonly mask?: T | MaskTensor | undefined;
  /** A mask of known blocks, of `createBlockMask` or `blockMaskFromLists`. */
  readonly blockMask?: CallOptions["blockMask"];
  /** Values of arrays that `scoreMod` captured, in their shapes: those with `gradient: true` have a gradient here. */
  readonly captured?: ReadonlyMap<CapturedFloats | CapturedIntegers, T> | undefined;
  /** Causal masking. Default `false`. */
  readonly causal?:
    | boolean
    | "bottom-right"
    | "top-left"
    | { readonly offset: TfPerSequence<T> }
    | undefined;
  /** Sliding window around the diagonal. */
  readonly window?: Window | undefined;
  /** How many keys of each sequence are real. */
  readonly keyLengths?: TfPerSequence<T> | undefined;
  /** Where packed queries begin, [sequences + 1]: q is [rows, queryHeads, dim]. */
  readonly cuSeqlensQ?: readonly number[] | Int32Array | T | undefined;
  /** Where packed keys begin, likewise. */
  readonly cuSeqlensK?: readonly number[] | Int32Array | T | undefined;
  /** A logit of each head that joins the denominator only, float32 [queryHeads]; with a gradient. */
  readonly sink?: T | HostTensor | undefined;
  /** Drops pairs with a probability; the seed says which. */
  readonly dropout?: CallOptions["dropout"];
}

/** A captured array, and the tensor that holds its values. */
export interface GivenCaptured {
  readonly array: CapturedFloats;
  readonly tensor: TfTensor;
  readonly values: Float32Array | Int32Array;
}

/** Options, checked. */
export interface ParsedOptions {
  /** What the library is given as it is. */
  readonly host: CallOptions;
  /** Tensors of TensorFlow.js among the options. */
  readonly tensors: Omit<Inputs, "q" | "k" | "v">;
  readonly captured: readonly GivenCaptured[];
}

/** Options that stay as they are. */
const PLAIN: readonly string[] = [
  ...["layout", "softmaxScale", "softcap", "scoreMod", "maskMod", "blockMask", "window", "dropout"],
];
/** Options that may be tensors, with their dtypes. */
const TENSORS: Readonly<Record<string, "float32" | "bool">> = {
  ...{ bias: "float32", alibiSlopes: "float32", sink: "float32", mask: "bool" },
};
/** Options that may be tensors of integers, which are read. */
const INTEGERS: readonly string[] = ["keyLengths", "cuSeqlensQ", "cuSeqlensK"];
const KNOWN: readonly string[] = [
  ...[...PLAIN, ...Object.keys(TENSORS), ...INTEGERS, "causal", "rotary", "captured"],
];
/** Options of the library that an op of one result and one backend has no place for. */
const ELSEWHERE: readonly string[] = [
  ...["engine", "signal", "into", "stats", "sequences", "precision", "verify"],
];

function checkNames(options: unknown, complaint: Complaint): Readonly<Record<string, unknown>> {
  if (typeof options !== "object" || options === null) {
    throw complaint.type(`options is ${show(options)} but must be an object`);
  }
  for (const [name, value] of Object.entries(options)) {
    if (KNOWN.includes(name) || value === undefined) continue;
    if (ELSEWHERE.includes(name)) {
      const remedy = name === "engine"
        ? "give it to createFlashAttention(tf, { engine })"
        : "leave it out, or call attention of @flashtile/attention";
      throw new UnsupportedError(`the option ${name} of flashAttention`, "any", remedy);
    }
    throw complaint.type(
      `options has the unknown name ${show(name)}, wanted one of ${KNOWN.join(", ")}`,
    );
  }
  return options as Record<string, unknown>;
}

/** The values of tensors among the members of an option. */
function readMembers(name: string, option: object, engine: TfEngine, complaint: Complaint): object {
  return Object.fromEntries(
    Object.entries(option).map(([key, value]) => {
      if (!isTensor(value)) return [key, value];
      const called = `${name}.${key}`;
      if (key === "cos" || key === "sin") {
        const tensor = checkTensor(called, value, "float32", engine, complaint);
        const data = Float32Array.from(readValues(called, tensor, engine));
        return [key, { data, shape: tensor.shape }];
      }
      const tensor = checkTensor(called, value, "int32", engine, complaint);
      const data = readIntegers(called, tensor, engine);
      return [key, key === "offset" ? data : { data, shape: tensor.shape }];
    }),
  );
}

function readCaptured(
  value: unknown,
  engine: TfEngine,
  complaint: Complaint,
): ParsedOptions["captured"] {
  if (value === undefined) return [];
  if (!(value instanceof Map)) {
    throw complaint.type(`captured is ${show(value)} but must be a Map of arrays and tensors`);
  }
  return [...value].map(([array, given]) => {
    if (typeof array !== "object" || array === null || !("gradient" in array)) {
      throw complaint.type(`captured has the key ${show(array)} but it must be of captured()`);
    }
    const dtype = array.data instanceof Int32Array ? "int32" : "float32";
    const called = "a tensor of captured";
    const tensor = checkTensor(called, given, dtype, engine, complaint);
    if (`${tensor.shape}` !== `${array.shape}`) {
      throw complaint.range(
        `${called} has shape ${show(tensor.shape)} but its array has ${show(array.shape)}`,
      );
    }
    // of this call: by its gradient, others may have written into the array
    const values = array.data.slice();
    values.set(readValues(called, tensor, engine));
    return { array: array as CapturedFloats, tensor, values };
  });
}

/** Checks options as far as they are TensorFlow.js'; the library checks the rest. */
export function parseOptions(
  options: unknown,
  engine: TfEngine,
  complaint: Complaint,
): ParsedOptions {
  const given = checkNames(options, complaint);
  const host: Record<string, unknown> = {}, tensors: Record<string, TfTensor> = {};
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || name === "captured") continue;
    if (isTensor(value) && Object.hasOwn(TENSORS, name)) {
      tensors[name] = checkTensor(name, value, TENSORS[name]!, engine, complaint);
    } else if (isTensor(value) && INTEGERS.includes(name)) {
      const tensor = checkTensor(name, value, "int32", engine, complaint);
      host[name] = readIntegers(name, tensor, engine);
    } else if ((name === "rotary" || name === "causal") && typeof value === "object" && value) {
      host[name] = readMembers(name, value, engine, complaint);
    } else host[name] = value;
  }
  return { host, tensors, captured: readCaptured(given["captured"], engine, complaint) };
}
