/**
 * Writes the few ONNX models the benches need. A model is a protobuf message; only the fields
 * used here exist. Field numbers are those of onnx.proto (github.com/onnx/onnx).
 * @module
 */

export interface Operator {
  readonly type: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, number | { readonly ints: readonly number[] }>>;
}

export interface Graph {
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
export function encodeModel(graph: Graph): Uint8Array {
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
