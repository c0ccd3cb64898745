/** A model of ONNX with one product, written by hand: `y = x · w`, over the last axis of x. */

import { encode, type Message } from "../real/protobuf.ts";

const FLOAT = 1, IR_VERSION = 10, OPSET = 21;

/** Name and shape of an f32 tensor. */
function tensor(name: string, shape: readonly number[]): Message {
  const dims = shape.map((size) => [1, [[1, size]]] as const);
  return [[1, name], [2, [[1, [[1, FLOAT], [2, dims]]]]]];
}

/** Bytes of the model for x of a shape; w is square. Field numbers are those of onnx.proto. */
export function productModel(shape: readonly number[]): Uint8Array {
  const dim = shape.at(-1)!;
  const graph: Message = [
    [1, [[1, "x"], [1, "w"], [2, "y"], [4, "MatMul"]]],
    [2, "product"],
    [11, tensor("x", shape)],
    [11, tensor("w", [dim, dim])],
    [12, tensor("y", shape)],
  ];
  return encode([[1, IR_VERSION], [7, graph], [8, [[1, ""], [2, OPSET]]]]);
}
