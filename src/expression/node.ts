// What a graph is made of, as everything that reads graphs sees it.
import type { OperationName, ValueType } from "./operations.ts";
import type { SymbolName } from "./symbols.ts";

/** An array that a function reads, row-major. */
export interface CapturedArray {
  /** Read at each call: values may change between calls, in place. */
  readonly data: Float32Array | Int32Array;
  readonly shape: readonly number[];
  /** Whether the backward pass gives its gradient. */
  readonly gradient: boolean;
}

/** An immutable node of a graph. Equal nodes of one trace are one object. */
export interface Node {
  readonly op: OperationName | "constant" | "symbol" | "gather";
  readonly type: ValueType;
  /** Of a gather: the index of each axis. */
  readonly operands: readonly Node[];
  /** Of a constant; booleans are 0 and 1. */
  readonly value: number | undefined;
  /** Of a symbol. */
  readonly symbol: SymbolName | undefined;
  /** Of a gather: what it reads. */
  readonly captured: CapturedArray | undefined;
  /** Bits of `VARIES`: what its value changes with. */
  readonly varies: number;
  /** Operands have smaller ones. */
  readonly id: number;
}

/** Whether a node is a constant, and that one where `value` is given (−0 is not 0). */
export function isConstant(node: Node, value?: number): boolean {
  return node.op === "constant" && (value === undefined || Object.is(node.value, value));
}

/** The captured arrays that graphs read, each once. */
export function capturedArrays(roots: readonly Node[]): CapturedArray[] {
  return [...new Set(reachable(roots).flatMap(({ captured }) => captured ? [captured] : []))];
}

/** Those of them that want a gradient. */
export function learnedArrays(root: Node): CapturedArray[] {
  return capturedArrays([root]).filter(({ gradient }) => gradient);
}

/** The nodes that `roots` need, operands first. */
export function reachable(roots: readonly Node[]): Node[] {
  const seen = new Set<Node>(), open = [...roots];
  for (let node = open.pop(); node; node = open.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    open.push(...node.operands);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}
