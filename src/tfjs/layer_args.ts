// Arguments of the layer, by Keras' names, and its configuration.
import type { RotaryAngles } from "../problem/call_options.ts";
import { Complaint, show, UnsupportedError } from "../tensor/errors.ts";
import type { TfOps } from "./tf_layers.ts";

/** An initializer, regularizer or constraint, as layers of TensorFlow.js take them: a name, an object or its configuration. */
export type TfIdentifier = string | object;

/**
 * Arguments of `MultiHeadAttention`, by the names and with the meanings that they have in Keras, in camel case; those of every
 * layer (`name`, `trainable`, `inputShape`, ...) beside them.
 */
export interface MultiHeadAttentionArgs {
  /** Query heads. */
  readonly numHeads: number;
  /** Columns of each head of query and key. */
  readonly keyDim: number;
  /** Columns of each head of value. Default `keyDim`. */
  readonly valueDim?: number | undefined;
  /** Heads of key and value, a divisor of `numHeads` (Keras' layer for grouped queries). Default `numHeads`. */
  readonly numKeyValueHeads?: number | undefined;
  /** Probability that a pair is dropped in training. Default 0. */
  readonly dropout?: number | undefined;
  /** Whether the projections add a bias. Default `true`. */
  readonly useBias?: boolean | undefined;
  /** Axes of the result behind batch and length. Default: the last axis of the query. */
  readonly outputShape?: number | readonly number[] | undefined;
  /** Query i sees key j where `j <= i`, unless a call says otherwise. Keras has it in calls only. Default `false`. */
  readonly useCausalMask?: boolean | undefined;
  /** Rotary positions of query and key; `true` is that with every default. Default `false`; not in Keras. */
  readonly rotary?: boolean | Pick<RotaryAngles, "base" | "dims" | "interleaved"> | undefined;
  /** Seed of dropout: the nth training call drops the same pairs in every run. Default: another one for each layer. */
  readonly seed?: number | undefined;
  /** Of all kernels. Default `"glorotUniform"`. */
  readonly kernelInitializer?: TfIdentifier | undefined;
  /** Of all biases. Default `"zeros"`. */
  readonly biasInitializer?: TfIdentifier | undefined;
  /** Of all kernels. */
  readonly kernelRegularizer?: TfIdentifier | undefined;
  /** Of all biases. */
  readonly biasRegularizer?: TfIdentifier | undefined;
  /** Of all kernels. */
  readonly kernelConstraint?: TfIdentifier | undefined;
  /** Of all biases. */
  readonly biasConstraint?: TfIdentifier | undefined;
  /** Name of the layer. */
  readonly name?: string | undefined;
  /** Whether its weights are trained. Default `true`. */
  readonly trainable?: boolean | undefined;
  /** Shape of the input without the batch, where this is the first layer of a model. */
  readonly inputShape?: readonly (number | null)[] | undefined;
}

/** Arguments with their defaults. */
export interface LayerSettings {
  readonly numHeads: number;
  readonly numKeyValueHeads: number;
  readonly keyDim: number;
  readonly valueDim: number;
  readonly dropout: number;
  readonly useBias: boolean;
  readonly outputShape: readonly number[] | undefined;
  readonly useCausalMask: boolean;
  readonly rotary: boolean | Pick<RotaryAngles, "base" | "dims" | "interleaved">;
  readonly seed: number | undefined;
}

/** Initializers, regularizers and constraints. */
export interface WeightSettings {
  readonly kernelInitializer: unknown;
  readonly biasInitializer: unknown;
  readonly kernelRegularizer: unknown;
  readonly biasRegularizer: unknown;
  readonly kernelConstraint: unknown;
  readonly biasConstraint: unknown;
}

const WEIGHT_NAMES = [
  "kernelInitializer",
  "biasInitializer",
  "kernelRegularizer",
  "biasRegularizer",
  "kernelConstraint",
  "biasConstraint",
] as const;

const complaint = new Complaint("MultiHeadAttention");

/** Arguments of this layer, and those that every layer of TensorFlow.js has. */
const KNOWN: readonly string[] = [
  ...["numHeads", "keyDim", "valueDim", "numKeyValueHeads", "dropout", "useBias", "outputShape"],
  ...["useCausalMask", "rotary", "seed", "attentionAxes", "activityRegularizer", ...WEIGHT_NAMES],
  ...["name", "trainable", "inputShape", "batchInputShape", "batchSize", "dtype", "inputDType"],
  ...["weights", "customObjects"], // the last comes with a configuration that is loaded
];

/** Throws for a name that would be silently left out. */
export function checkNames(called: string, given: object, known: readonly string[]): void {
  const unknown = Object.keys(given).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw complaint.type(
    `${called} has the unknown name ${show(unknown)}, wanted one of ${known.join(", ")}`,
  );
}

function sizeOf(name: string, value: unknown): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 1) return value;
  throw complaint.range(`${name} is ${show(value)} but must be an integer >= 1`);
}

function flagOf(name: string, value: unknown, otherwise: boolean): boolean {
  if (value === undefined || value === null) return otherwise;
  if (typeof value === "boolean") return value;
  throw complaint.type(`${name} is ${show(value)} but must be true or false`);
}

/** Throws for what Keras has and this layer has not. */
function refuse(args: Readonly<Record<string, unknown>>): void {
  const given = (name: string) => args[name] !== undefined && args[name] !== null;
  if (given("dtype") && args["dtype"] !== "float32") {
    throw complaint.type(`dtype is ${show(args["dtype"])} but must be "float32"`);
  }
  const axes = args["attentionAxes"];
  if (given("attentionAxes") && `${axes}` !== "1") {
    const remedy = "leave it out: attention runs over axis 1 of [batch, length, features]";
    throw new UnsupportedError(`attentionAxes ${show(axes)}`, "any", remedy);
  }
  if (!given("activityRegularizer")) return;
  const remedy = "layers of TensorFlow.js have none";
  throw new UnsupportedError("activityRegularizer", "any", remedy);
}

/** Checks arguments, which may be those of a configuration: null is undefined there. */
export function parseArgs(args: unknown): LayerSettings {
  if (typeof args !== "object" || args === null) {
    throw complaint.type(`args is ${show(args)} but must be an object`);
  }
  const given = args as Readonly<Record<string, unknown>>;
  refuse(given);
  checkNames("args", given, KNOWN);
  const numHeads = sizeOf("numHeads", given["numHeads"]);
  const keyDim = sizeOf("keyDim", given["keyDim"]);
  const numKeyValueHeads = sizeOf("numKeyValueHeads", given["numKeyValueHeads"] ?? numHeads);
  if (numHeads % numKeyValueHeads !== 0) {
    throw complaint.range(
      `numKeyValueHeads is ${numKeyValueHeads} but must divide numHeads, which is ${numHeads}`,
    );
  }
  const dropout = given["dropout"] ?? 0, seed = given["seed"] ?? undefined;
  if (!(typeof dropout === "number" && dropout >= 0 && dropout < 1)) {
    throw complaint.range(`dropout is ${show(dropout)} but must be a number from 0 to below 1`);
  }
  if (seed !== undefined && !(Number.isSafeInteger(seed) && seed as number >= 0)) {
    throw complaint.range(`seed is ${show(seed)} but must be an integer >= 0`);
  }
  const shape = given["outputShape"] ?? undefined;
  if (Array.isArray(shape) && shape.length === 0) {
    throw complaint.range("outputShape is [] but must have at least one axis");
  }
  const rotary = given["rotary"] ?? false;
  if (Array.isArray(rotary)) {
    throw complaint.type(`rotary is ${show(rotary)} but must be true, false or an object`);
  }
  if (typeof rotary === "object") checkNames("rotary", rotary, ["base", "dims", "interleaved"]);
  return {
    ...{ numHeads, numKeyValueHeads, keyDim, dropout, seed: seed as number | undefined },
    valueDim: sizeOf("valueDim", given["valueDim"] ?? keyDim),
    useBias: flagOf("useBias", given["useBias"], true),
    useCausalMask: flagOf("useCausalMask", given["useCausalMask"], false),
    outputShape: shape === undefined
      ? undefined
      : [shape].flat().map((size) => sizeOf("outputShape", size)),
    rotary: typeof rotary === "object" ? { ...rotary } : flagOf("rotary", rotary, false),
  };
}

/** What `tf.layers` makes of identifiers: a dense layer knows them all, and their configurations. */
export function parseWeights(
  ops: TfOps,
  args: MultiHeadAttentionArgs,
): { readonly settings: WeightSettings; readonly config: () => Record<string, unknown> } {
  const dense = ops.layers.dense({
    ...Object.fromEntries(WEIGHT_NAMES.map((name) => [name, args[name]])),
    kernelInitializer: args.kernelInitializer ?? "glorotUniform",
    biasInitializer: args.biasInitializer ?? "zeros",
    units: 1,
    name: "of_attention", // a layer without a name would count
  });
  const pick = (from: Record<string, unknown>) =>
    Object.fromEntries(WEIGHT_NAMES.map((name) => [name, from[name]]));
  return {
    settings: pick(dense) as unknown as WeightSettings,
    config: () => pick(dense.getConfig()),
  };
}
