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

export function attentionGraph(graph: GraphName, c: Case, causal: boolean): OnnxAttention {
  if (graph === "mha") return multiHead(c, causal);
  if (graph === "att23") return standardOperator(c, causal);
  return threeOperators(c, causal);
}

const QKV = { inputs: ["q", "k", "v"], outputs: ["out"] };

/** com.microsoft MultiHeadAttention, the contrib operator that exporters emit. */
function multiHead(c: Case, causal: boolean): OnnxAttention {
  const q = [c.batch, c.lengthQ, c.queryHeads * c.headDim];
  const kv = [c.batch, c.lengthK, c.queryHeads * c.headDim];
  const attributes = { num_heads: c.queryHeads, ...(causal ? { unidirectional: 1 } : {}) };
  const type = "MultiHeadAttention", domain = "com.microsoft";
  return model([{ type, domain, attributes, ...QKV }], 21, { q, kv, tokensFirst: true });
}

/** The Attention operator of ONNX opset 23. */
function standardOperator(c: Case, causal: boolean): OnnxAttention {
  const attributes = causal ? { is_causal: 1 } : undefined;
  return model([{ type: "Attention", attributes, ...QKV }], 23, shapes(c));
}

/**
 * MatMul, Softmax, MatMul. Query heads that share a kv head are stacked as more query rows: the
 * same numbers, and a product with several rows instead of several products with one.
 */
function threeOperators(c: Case, causal: boolean): OnnxAttention {
  const group = c.queryHeads / c.kvHeads;
  const q = [c.batch, c.kvHeads, group * c.lengthQ, c.headDim];
  const step = (type: string, inputs: string[], output: string): Operator => {
    return { type, inputs, outputs: [output] };
  };
  const operators: Operator[] = [
    { ...step("Transpose", ["k"], "kt"), attributes: { perm: { ints: [0, 1, 3, 2] } } },
    step("Mul", ["q", "scale"], "scaled"),
    step("MatMul", ["scaled", "kt"], "scores"),
    ...(causal ? [step("Add", ["scores", "mask"], "masked")] : []),
    { ...step("Softmax", [causal ? "masked" : "scores"], "p"), attributes: { axis: 3 } },
    step("MatMul", ["p", "v"], "out"),
  ];
  const mask = causal ? [1, 1, c.lengthQ, c.lengthK] : undefined;
  return model(operators, 21, { q, kv: shapes(c).kv, mask, scale: 1 / Math.sqrt(c.headDim) });
}

function model(
  operators: readonly Operator[],
  opset: number,
  { q, kv, mask, scale, tokensFirst = false }: {
    readonly q: readonly number[];
    readonly kv: readonly number[];
    readonly mask?: readonly number[];
    readonly scale?: number;
    readonly tokensFirst?: boolean;
  },
): OnnxAttention {
  const inputs = { q, k: kv, v: kv, ...(mask ? { mask } : {}) };
  const constants: Record<string, number> = scale ? { scale } : {};
  const bytes = encodeModel({ inputs, outputs: { out: q }, constants, operators, opset });
  return { model: bytes, q, kv, tokensFirst, needsMask: mask !== undefined };
}

// A model is a protobuf message; only the fields used here exist. Field numbers are those of
// onnx.proto (github.com/onnx/onnx).

interface Operator {
  readonly type: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, number | { readonly ints: readonly number[] }>>;
}

interface Graph {
  readonly operators: readonly Operator[];
  /** Shapes of the f32 inputs and outputs, by name. */
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  readonly outputs: Readonly<Record<string, readonly number[]>>;
  /** Scalar f32 constants, by name. */
  readonly constants: Readonly<Record<string, number>>;
  readonly opset: number;
}

const FLOAT = 1;
const IR_VERSION = 10;

/** The bytes of a model holding that graph. */
function encodeModel(graph: Graph): Uint8Array {
  const body = [
    ...graph.operators.flatMap((operator) => bytes(1, encodeOperator(operator))),
    ...text(2, "attention"),
    ...Object.entries(graph.constants).flatMap(encodeConstant),
    ...Object.entries(graph.inputs).flatMap((value) => encodeValue(11, value)),
    ...Object.entries(graph.outputs).flatMap((value) => encodeValue(12, value)),
  ];
  const opset = (domain: string, version: number) =>
    bytes(8, [...text(1, domain), ...integer(2, version)]);
  const domains = [...opset("", graph.opset), ...opset("com.microsoft", 1)];
  return new Uint8Array([...integer(1, IR_VERSION), ...bytes(7, body), ...domains]);
}

function encodeOperator(operator: Operator): number[] {
  return [
    ...operator.inputs.flatMap((name) => text(1, name)),
    ...operator.outputs.flatMap((name) => text(2, name)),
    ...text(4, operator.type),
    ...Object.entries(operator.attributes ?? {}).flatMap(([name, value]) => {
      const [content, kind] = typeof value === "number"
        ? [integer(3, value), 2]
        : [value.ints.flatMap((i) => integer(8, i)), 7];
      return bytes(5, [...text(1, name), ...content, ...integer(20, kind)]);
    }),
    ...(operator.domain ? text(7, operator.domain) : []),
  ];
}

function encodeConstant([name, value]: [string, number]): number[] {
  const data = new Uint8Array(new Float32Array([value]).buffer);
  return bytes(5, [...integer(2, FLOAT), ...bytes(9, data), ...text(8, name)]);
}

function encodeValue(field: number, [name, shape]: [string, readonly number[]]): number[] {
  const dims = shape.flatMap((size) => bytes(1, integer(1, size)));
  const tensor = [...integer(1, FLOAT), ...bytes(2, dims)];
  return bytes(field, [...text(1, name), ...bytes(2, bytes(1, tensor))]);
}

// The wire format: a key (field number and wire type), then the value.

function varint(value: number): number[] {
  const groups: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) groups.push(value % 128 + 128);
  return [...groups, value];
}

function integer(field: number, value: number): number[] {
  return [...varint(field * 8), ...varint(value)];
}

function bytes(field: number, content: Iterable<number>): number[] {
  const list = [...content];
  return [...varint(field * 8 + 2), ...varint(list.length), ...list];
}

function text(field: number, value: string): number[] {
  return bytes(field, new TextEncoder().encode(value));
}
