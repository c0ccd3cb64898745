// How calls run on a backend of TensorFlow.js.
import type { CallOptions } from "../problem/call_options.ts";
import type { Captured } from "../expression/captured.ts";
import type { FloatExpression, IntExpression } from "../expression/expressions.ts";
import type { TfTensor } from "./tensorflow.ts";

/** Names of tensors that calls read. */
export type InputName =
  | "q"
  | "k"
  | "v"
  | "bias"
  | "alibiSlopes"
  | "sink"
  | "mask";

/** An input that has a gradient. */
export type LearnedName = Exclude<InputName, "mask">;

/** The tensors of a call. */
export type Inputs = { readonly [name in InputName]?: TfTensor } & {
  readonly q: TfTensor;
  readonly k: TfTensor;
  readonly v: TfTensor;
};

/** The tensors of a backward call. */
export type SavedInputs = Inputs & {
  readonly dOut: TfTensor;
  readonly out: TfTensor;
  readonly lse: TfTensor;
};

/** An array of floats that a function of scores reads. */
export type CapturedFloats = Captured<FloatExpression>;
/** The same of integers. */
export type CapturedIntegers = Captured<IntExpression>;

/** The gradients of a call: those of the inputs that it had as tensors, and of captured arrays. */
export interface Gradients {
  readonly inputs: { readonly [name in LearnedName]?: TfTensor };
  readonly captured: ReadonlyMap<CapturedFloats, TfTensor>;
}

/** Runs calls at once. Options are those of the library, and name no tensors of TensorFlow.js. */
export interface Runner {
  /** `attention`. */
  forward(inputs: Inputs, options: CallOptions): { readonly out: TfTensor; readonly lse: TfTensor };
  /** `attentionBackward`. */
  backward(inputs: SavedInputs, options: CallOptions): Gradients;
  /** Another tensor with the values of one, not a copy of them; not there where `clone` of the backend does no more. */
  share?(tensor: TfTensor): TfTensor;
}

const OPERANDS: readonly InputName[] = ["bias", "alibiSlopes", "sink", "mask"];

/** The options of a call with the tensors of TensorFlow.js among them, each as `view` shows it to the library. */
export function withTensors(
  inputs: Inputs,
  options: CallOptions,
  view: (tensor: TfTensor) => object,
): CallOptions {
  const given = OPERANDS.filter((name) => inputs[name] !== undefined);
  return { ...options, ...Object.fromEntries(given.map((name) => [name, view(inputs[name]!)])) };
}

const LEARNED: readonly LearnedName[] = ["q", "k", "v", "bias", "alibiSlopes", "sink"];

/** The inputs of a call that have gradients. */
export const learnedInputs = (inputs: Inputs): LearnedName[] =>
  LEARNED.filter((name) => inputs[name] !== undefined);

/** The library's name of a gradient. */
export const gradientName = (name: LearnedName): "dq" | "dBias" =>
  `d${name.length > 1 ? name[0]!.toUpperCase() + name.slice(1) : name}` as "dq" | "dBias";

/** Shapes of out and lse. */
export function resultShapes(
  { q, v }: Inputs,
  { layout }: CallOptions,
): { readonly out: number[]; readonly lse: number[] } {
  const out = [...q.shape.slice(0, -1), v.shape[v.shape.length - 1]!];
  const [a, b, c] = q.shape as [number, number, number];
  if (q.shape.length === 3) return { out, lse: [b, a] }; // packed: [rows, heads, dim]
  return { out, lse: layout === "bhsd" ? [a, b, c] : [a, c, b] };
}
