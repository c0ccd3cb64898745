/** An ONNX model as a list of nodes, and models made of some of them. Field numbers are those of onnx.proto. */

import { decode, encode, type Field, type ReadField, texts } from "./protobuf.ts";

const FLOAT = 1;
/** Fields of a model. */
const GRAPH = 7;
/** Fields of a graph. */
const NODE = 1, GRAPH_NAME = 2, INITIALIZER = 5, INPUT = 11, OUTPUT = 12;
/** The field with the name of an initializer. */
const INITIALIZER_NAME = 8;

/** An operator and the names of its tensors. */
export interface OnnxNode {
  readonly type: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly bytes: Uint8Array;
}

/** What a model file holds. */
export interface OnnxGraph {
  /** In an order in which they can run. */
  readonly nodes: readonly OnnxNode[];
  readonly initializers: ReadonlyMap<string, Uint8Array>;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Fields beside the graph: versions and operator sets. */
  readonly others: readonly ReadField[];
}

/** Reads a model. */
export function readOnnx(bytes: Uint8Array): OnnxGraph {
  const model = decode(bytes), graph = decode(model.find(({ field }) => field === GRAPH)!.bytes);
  const all = (field: number) => graph.filter((one) => one.field === field);
  const initializers = new Map(
    all(INITIALIZER).map(({ bytes }) => [texts(decode(bytes), INITIALIZER_NAME)[0]!, bytes]),
  );
  const names = (field: number) => all(field).map(({ bytes }) => texts(decode(bytes), 1)[0]!);
  return {
    nodes: all(NODE).map(({ bytes }) => {
      const fields = decode(bytes);
      return {
        ...{ inputs: texts(fields, 1), outputs: texts(fields, 2), type: texts(fields, 4)[0]! },
        bytes,
      };
    }),
    initializers,
    inputs: names(INPUT).filter((name) => !initializers.has(name)),
    outputs: names(OUTPUT),
    others: model.filter(({ field }) => field !== GRAPH),
  };
}

/** The nodes that make the tensors `wanted` out of the tensors `given`. */
export function nodesFor(
  { nodes }: OnnxGraph,
  wanted: readonly string[],
  given: readonly string[],
): OnnxNode[] {
  const makers = new Map(
    nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)),
  );
  const found = new Set<OnnxNode>(), seen = new Set(given), open = [...wanted];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    const node = seen.has(name) ? undefined : makers.get(name);
    seen.add(name);
    if (!node || found.has(node)) continue;
    found.add(node);
    open.push(...node.inputs);
  }
  return nodes.filter((node) => found.has(node));
}

/** A model of some nodes. Tensors that it takes and gives are float32 of any shape. */
export function modelOf(
  { initializers, others }: OnnxGraph,
  nodes: readonly OnnxNode[],
  inputs: readonly string[],
  outputs: readonly string[],
): Uint8Array {
  const used = new Set(nodes.flatMap((node) => node.inputs));
  const tensor = (field: number) => (name: string): Field => [
    field,
    [[1, name], [2, [[1, [[1, FLOAT]]]]]],
  ];
  const graph: Field[] = [
    ...nodes.map(({ bytes }): Field => [NODE, bytes]),
    [GRAPH_NAME, "part"],
    ...[...initializers].filter(([name]) => used.has(name))
      .map(([, bytes]): Field => [INITIALIZER, bytes]),
    ...inputs.map(tensor(INPUT)),
    ...outputs.map(tensor(OUTPUT)),
  ];
  const versions = others.map(({ field, value, bytes }): Field => [
    field,
    bytes.length > 0 ? bytes : value,
  ]);
  return encode([...versions, [GRAPH, graph]]);
}

/** softmax(q kᵀ) v, by the names of its tensors, `[batch, heads, length, headDim]`; k with its last two axes exchanged. */
export interface OnnxAttention {
  readonly q: string;
  readonly kT: string;
  readonly v: string;
  readonly out: string;
}

/** Every softmax between two products. */
export function attentionsOf({ nodes }: OnnxGraph): OnnxAttention[] {
  return nodes.filter(({ type }) => type === "Softmax").flatMap((softmax) => {
    const scores = nodes.find(({ outputs }) => outputs[0] === softmax.inputs[0]);
    const product = nodes.find(({ inputs }) => inputs[0] === softmax.outputs[0]);
    if (scores?.type !== "MatMul" || product?.type !== "MatMul") return [];
    const [q, kT] = scores.inputs as [string, string];
    return [{ q, kT, v: product.inputs[1]!, out: product.outputs[0]! }];
  });
}
