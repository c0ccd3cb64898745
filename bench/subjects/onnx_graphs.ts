/**
 * The ways to say "attention" to onnxruntime. Which one is fastest depends on shape and build, so
 * every one that fits a job runs, and the best counts.
 * @module
 */

import { type Case, shapes } from "../cases.ts";

/** A model and the shapes in which it wants its operands. */
export interface OnnxAttention {
  readonly model: Uint8Array;
  readonly q: readonly number[];
  readonly kv: readonly number[];
  /** Tokens before heads ([batch, length, heads·dim]) instead of heads first. */
  readonly tokensFirst: boolean;
  /** Needs the additive causal mask as a fourth input `mask`. */
  readonly needsMask: boolean;
}

export type GraphName = "std" | "mha" | "att23";

/** Why a graph cannot run a case, or nothing when it can. */
export function misfit(graph: GraphName, c: Case, causal: boolean): string | undefined {
  const grouped = c.kvHeads !== c.queryHeads;
  if (graph === "mha" && grouped) return "one kv head per query head only";
  if (graph === "std" && causal && c.lengthQ * c.lengthK > 4096 * 4096) return "mask over 64 MiB";
  if (graph === "std" && causal && grouped) return "not written: grouped and causal";
  return undefined;
}

export const GRAPHS: Readonly<Record<GraphName, (c: Case, causal: boolean) => OnnxAttention>> = {
  std: threeOperators,
  mha: multiHead,
  att23: standardOperator,
};

/** com.microsoft MultiHeadAttention, the contrib operator that exporters emit. */
function multiHead(c: Case, causal: boolean): OnnxAttention {
  const q = [c.batch, c.lengthQ, c.queryHeads * c.headDim];
  const kv = [c.batch, c.lengthK, c.queryHeads * c.headDim];
  const attributes = { num_heads: c.queryHeads, ...(causal ? { unidirectional: 1 } : {}) };
  const operator = node("MultiHeadAttention", ["q", "k", "v"], "out", attributes, "com.microsoft");
  return model([operator], 21, { q, kv, tokensFirst: true });
}

/** The Attention operator of ONNX opset 23. */
function standardOperator(c: Case, causal: boolean): OnnxAttention {
  const attributes: Attributes = causal ? { is_causal: 1 } : {};
  return model([node("Attention", ["q", "k", "v"], "out", attributes)], 23, shapes(c));
}

/**
 * MatMul, Softmax, MatMul. Query heads that share a kv head are stacked as more query rows: the
 * same numbers, and a product with several rows instead of several products with one.
 */
function threeOperators(c: Case, causal: boolean): OnnxAttention {
  const group = c.queryHeads / c.kvHeads;
  const q = [c.batch, c.kvHeads, group * c.lengthQ, c.headDim];
  const operators = [
    node("Transpose", ["k"], "kt", { perm: [0, 1, 3, 2] }),
    node("Mul", ["q", "scale"], "scaled"),
    node("MatMul", ["scaled", "kt"], "scores"),
    ...(causal ? [node("Add", ["scores", "mask"], "masked")] : []),
    node("Softmax", [causal ? "masked" : "scores"], "p", { axis: 3 }),
    node("MatMul", ["p", "v"], "out"),
  ];
  const mask = causal ? [1, 1, c.lengthQ, c.lengthK] : undefined;
  return model(operators, 21, { q, kv: shapes(c).kv, mask, scale: 1 / Math.sqrt(c.headDim) });
}

// A model is a protobuf message; only the fields used here exist. Field numbers are those of
// onnx.proto (github.com/onnx/onnx).

/** A message as its fields: an integer, or something with a length. */
type Message = readonly (readonly [field: number, value: number | string | Uint8Array | Message])[];
type Attributes = Readonly<Record<string, number | readonly number[]>>;

const FLOAT = 1;
const IR_VERSION = 10;

function node(
  type: string,
  inputs: readonly string[],
  output: string,
  attributes: Attributes = {},
  domain = "",
): Message {
  const described = Object.entries(attributes).map(([name, value]): Message =>
    typeof value === "number"
      ? [[1, name], [3, value], [20, 2]]
      : [[1, name], ...value.map((i) => [8, i] as const), [20, 7]]
  );
  return [
    ...inputs.map((name) => [1, name] as const),
    ...[[2, output], [4, type], [7, domain]] as const,
    ...described.map((attribute) => [5, attribute] as const),
  ];
}

/** Name and shape of an f32 tensor. */
function tensor(name: string, shape: readonly number[]): Message {
  const dims = shape.map((size) => [1, [[1, size]]] as const);
  return [[1, name], [2, [[1, [[1, FLOAT], [2, dims]]]]]];
}

function model(
  operators: readonly Message[],
  opset: number,
  { q, kv, mask, scale, tokensFirst = false }: {
    readonly q: readonly number[];
    readonly kv: readonly number[];
    readonly mask?: readonly number[] | undefined;
    readonly scale?: number;
    readonly tokensFirst?: boolean;
  },
): OnnxAttention {
  const inputs = { q, k: kv, v: kv, ...(mask ? { mask } : {}) };
  const number = new Uint8Array(new Float32Array([scale ?? 0]).buffer);
  const constant: Message = [[2, FLOAT], [9, number], [8, "scale"]];
  const graph: Message = [
    ...operators.map((operator) => [1, operator] as const),
    [2, "attention"],
    ...(scale ? [[5, constant] as const] : []),
    ...Object.entries(inputs).map(([name, shape]) => [11, tensor(name, shape)] as const),
    [12, tensor("out", q)],
  ];
  const domains = Object.entries({ "": opset, "com.microsoft": 1 })
    .map(([domain, version]) => [8, [[1, domain], [2, version]]] as const);
  const bytes = encode([[1, IR_VERSION], [7, graph], ...domains]);
  return { model: new Uint8Array(bytes), q, kv, tokensFirst, needsMask: mask !== undefined };
}

/** The wire format: a key (field number and wire type), then the value. */
function encode(message: Message): number[] {
  return message.flatMap(([field, value]) => {
    if (typeof value === "number") return [...varint(field * 8), ...varint(value)];
    const text = typeof value === "string" ? new TextEncoder().encode(value) : value;
    const content = text instanceof Uint8Array ? [...text] : encode(text);
    return [...varint(field * 8 + 2), ...varint(content.length), ...content];
  });
}

function varint(value: number): number[] {
  const groups: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) groups.push(value % 128 + 128);
  return [...groups, value];
}
