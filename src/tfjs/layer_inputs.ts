// What a call of the layer is given: query, value and key, one behind the other or by name, and masks as Keras has them.
import { type Complaint, show, UnsupportedError } from "../tensor/errors.ts";
import { isTensor } from "./inputs.ts";
import type { TfTensor } from "./tensorflow.ts";
import type { TfOps } from "./tf_layers.ts";

/** Keyword arguments of a call, by Keras' names. */
export interface MultiHeadAttentionCall {
  /** The sequence that is attended to, where it does not stand behind the query. Default: the query. */
  readonly value?: unknown;
  /** Keys of it. Default: the value. */
  readonly key?: unknown;
  /** Which pairs may attend, [batch, lengthQ, lengthK], with heads before lengthQ or without batch. */
  readonly attentionMask?: unknown;
  /** Which queries are real, [batch, lengthQ]: the result of the others is that of a row without keys. */
  readonly queryMask?: TfTensor | null | undefined;
  /** Which values are real, [batch, lengthK]. */
  readonly valueMask?: TfTensor | null | undefined;
  /** Which keys are real, [batch, lengthK]. */
  readonly keyMask?: TfTensor | null | undefined;
  /** Query i sees key j where `j <= i`. Default: the argument of the layer. */
  readonly useCausalMask?: boolean | undefined;
  /** Whether pairs are dropped. Models say it. */
  readonly training?: boolean | undefined;
  /** What models pass of the masks of layers before this one. */
  readonly mask?: TfTensor | readonly (TfTensor | null)[] | null | undefined;
}

/** Names of these arguments, and that of the one which is refused where it is true. */
export const CALL_NAMES: readonly string[] = [
  ...["value", "key", "attentionMask", "queryMask", "valueMask", "keyMask", "useCausalMask"],
  ...["training", "mask", "returnAttentionScores"],
];

/** Most inputs that stand behind each other. */
const MOST_INPUTS = 4;

/** Inputs in one list, [query, value, key, attentionMask]: as many as there are. */
export function listInputs(
  inputs: unknown,
  call: MultiHeadAttentionCall,
  complaint: Complaint,
): unknown[] {
  const given: readonly unknown[] = Array.isArray(inputs) ? inputs : [inputs];
  if (given.length > MOST_INPUTS || given[0] === undefined || given[0] === null) {
    throw complaint.type(
      `inputs is ${show(inputs)} but must be a query or ` +
        "[query, value, key, attentionMask], of which the last may be left out",
    );
  }
  const [query, value, key, mask] = given;
  const all = [query, value ?? call.value, key ?? call.key, mask ?? call.attentionMask];
  if (all[3] !== undefined && all[3] !== null) all[2] ??= all[1] ??= all[0];
  else if (all[2] !== undefined && all[2] !== null) all[1] ??= all[0];
  return all.filter((one) => one !== undefined && one !== null);
}

const LOST: readonly (keyof MultiHeadAttentionCall)[] = [
  ...["useCausalMask", "queryMask", "valueMask", "keyMask"] as const,
];

/** Throws unless flags of a call are flags: any text would be true. */
export function checkFlags(call: MultiHeadAttentionCall, complaint: Complaint): void {
  for (const name of ["useCausalMask", "training"] as const) {
    const value: unknown = call[name];
    if (value === undefined || value === null || typeof value === "boolean") continue;
    throw complaint.type(`${name} is ${show(value)} but must be true or false`);
  }
}

/** Throws where keyword arguments come with symbolic inputs, of which TensorFlow.js keeps no more than the inputs. */
export function refuseKeywords(call: MultiHeadAttentionCall, complaint: Complaint): void {
  const lost = LOST.find((name) => call[name] !== undefined && call[name] !== null);
  if (lost === undefined) return;
  const remedy = lost === "useCausalMask"
    ? "give it to the constructor"
    : "pass attentionMask as the fourth input, [query, value, key, attentionMask]";
  throw complaint.type(
    `${lost} is ${show(call[lost])} but a model does not keep it for symbolic inputs: ${remedy}`,
  );
}

/** Throws for keyword arguments that Keras has and this layer has not. */
export function refuseScores(call: object): void {
  if (!("returnAttentionScores" in call && call.returnAttentionScores)) return;
  const remedy = "attentionScores and attentionTopKeys of @flashtile/attention look inside";
  throw new UnsupportedError("returnAttentionScores", "any", remedy);
}

/** What hides pairs in a call: rows of queries, and a mask that broadcasts to [batch, heads, lengthQ, lengthK]. */
export interface Hidden {
  readonly rows?: TfTensor | undefined;
  readonly mask?: TfTensor | undefined;
}

/** The Keras mask of a tensor, which layers such as an embedding with `maskZero` give it. */
const ownMask = (tensor: TfTensor) =>
  (tensor as { kerasMask?: TfTensor | null }).kerasMask ?? undefined;

const fits = (mask: unknown, { shape }: TfTensor): mask is TfTensor =>
  isTensor(mask) && `${mask.shape}` === `${shape.slice(0, 2)}`;

/** A mask that was given by name, which has to fit. */
function namedMask(
  name: "queryMask" | "valueMask" | "keyMask",
  call: MultiHeadAttentionCall,
  of: TfTensor,
  complaint: Complaint,
): TfTensor | undefined {
  const mask: unknown = call[name];
  if (mask === undefined || mask === null) return undefined;
  if (fits(mask, of)) return mask;
  const shape = isTensor(mask) ? `of shape ${show(mask.shape)}` : show(mask);
  throw complaint.range(
    `${name} is ${shape} but must be a tensor of shape [${of.shape.slice(0, 2)}]`,
  );
}

/** The masks of query, value and key, [batch, length]. */
function rowMasks(
  [query, value, key]: readonly [TfTensor, TfTensor, TfTensor],
  call: MultiHeadAttentionCall,
  complaint: Complaint,
): (TfTensor | undefined)[] {
  // a model passes the mask of the first input, also one that an earlier layer left there: it counts where it fits
  const [first, second, third] = Array.isArray(call.mask) ? call.mask : [call.mask];
  const passed = (mask: unknown, of: TfTensor) => fits(mask, of) ? mask : ownMask(of);
  const ofQuery = namedMask("queryMask", call, query, complaint) ?? passed(first, query);
  const ofValue = namedMask("valueMask", call, value, complaint) ??
    (value === query ? ofQuery : passed(second, value));
  const ofKey = namedMask("keyMask", call, key, complaint) ??
    (key === value ? undefined : key === query ? ofQuery : passed(third, key));
  return [ofQuery, ofValue, ofKey];
}

/** What masks of a call come to. */
export function hiddenOf(
  ops: TfOps,
  inputs: readonly [query: TfTensor, value: TfTensor, key: TfTensor],
  attentionMask: TfTensor | undefined,
  call: MultiHeadAttentionCall,
  complaint: Complaint,
): Hidden {
  const bool = (x: TfTensor) => x.dtype === "bool" ? x : ops.cast(x, "bool");
  const [rows, ...ofKeys] = rowMasks(inputs, call, complaint);
  const masks = ofKeys.filter((mask) => mask !== undefined).map((mask) => {
    const [batch, length] = mask.shape as [number, number];
    return ops.reshape(bool(mask), [batch, 1, 1, length]);
  });
  if (attentionMask) {
    if (!isTensor(attentionMask)) {
      throw complaint.type(`attentionMask is ${show(attentionMask)} but must be a tf.Tensor`);
    }
    const { shape } = attentionMask,
      [b = 1, t = 1, s = 1] = shape.length === 2 ? [1, ...shape] : shape;
    if (shape.length < 2 || shape.length > 4) {
      throw complaint.range(
        `attentionMask has shape ${show(shape)} but must be [batch, lengthQ, lengthK]`,
      );
    }
    masks.push(
      shape.length === 4 ? bool(attentionMask) : ops.reshape(bool(attentionMask), [b, 1, t, s]),
    );
  }
  const mask = masks.length > 0 ? masks.reduce((a, b) => ops.logicalAnd(a, b)) : undefined;
  return { rows: rows && bool(rows), mask };
}
