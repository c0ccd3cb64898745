/** Graphs in float32: what rounding every operation makes of a function. */

import { type Node, reachable } from "../../src/expression/node.ts";
import { type OperationName, signatureOf } from "../../src/expression/operations.ts";

/** Values of graphs in float32: every operation rounds. */
export function rounded(roots: readonly Node[]): (score: number, pair: object) => number[] {
  const nodes = reachable(roots);
  return (score, pair) => {
    const values = new Map<Node, number>();
    for (const node of nodes) {
      const operands = node.operands.map((operand) => values.get(operand)!);
      const symbols = pair as Record<string, number>;
      const value = node.op === "constant"
        ? node.value!
        : node.op === "symbol"
        ? node.symbol === "score" ? score : symbols[node.symbol!]!
        : node.op === "gather"
        ? elementOf(node, operands)
        : signatureOf(node.op as OperationName, node.operands.map(({ type }) => type))!
          .evaluate(operands[0]!, operands[1]!, operands[2]!);
      values.set(node, node.type === "float" ? Math.fround(value) : value);
    }
    return roots.map((root) => values.get(root)!);
  };
}

function elementOf({ captured }: Node, index: readonly number[]): number {
  const { data, shape } = captured!;
  return data[index.reduce((at, n, axis) => at * shape[axis]! + n, 0)]!;
}
