/** Models of ONNX with one operator of two inputs, written by hand. */

import { encode, type Message } from "../real/protobuf.ts";

/** Types of tensors, by their numbers in onnx.proto, as are fields below. */
const TYPES = { float32: 1, bool: 9, float16: 10 } as const;
type TypeName = keyof typeof TYPES;

const IR_VERSION = 10, OPSET = 21;

/** Name, type and shape of a tensor. */
function tensor(name: string, type: TypeName, shape: readonly number[]): Message {
  const dims = shape.map((size) => [1, [[1, size]]] as const);
  return [[1, name], [2, [[1, [[1, TYPES[type]], [2, dims]]]]]];
}

/** Bytes of a model whose output has the shape of its first input. */
export function modelOf(
  operator: string,
  inputs: Readonly<Record<string, readonly number[]>>,
  { input = "float32", output = input }: { input?: TypeName; output?: TypeName } = {},
): Uint8Array {
  const names = Object.keys(inputs), [first] = Object.values(inputs);
  const graph: Message = [
    [1, [...names.map((name) => [1, name] as const), [2, "y"], [4, operator]]],
    [2, operator],
    ...names.map((name) => [11, tensor(name, input, inputs[name]!)] as const),
    [12, tensor("y", output, first!)],
  ];
  return encode([[1, IR_VERSION], [7, graph], [8, [[1, ""], [2, OPSET]]]]);
}
