// Rewriting of operations as they are applied. Every rule holds bit for bit, in float32 as in float64, with infinities,
// NaN and both zeros: x + 0 is not x for −0, 0 · x is not 0 for ∞, and not(a < b) is a ≥ b for integers only.
import { isConstant, type Node } from "./node.ts";
import type { OperationName, ValueType } from "./operations.ts";

/** What makes nodes. */
export interface Builder {
  apply(name: OperationName, operands: readonly Node[]): Node;
  constant(value: number, type: ValueType): Node;
}

const COMMUTATIVE: ReadonlySet<string> = new Set(["add", "mul", "eq", "ne", "and", "or", "xor"]);

/** The same operands in the order of all such nodes: constants last, so that they need be looked for there only. */
export function ordered(name: OperationName, operands: readonly Node[]): readonly Node[] {
  const [a, b] = operands;
  if (!COMMUTATIVE.has(name) || !a || !b || isConstant(b)) return operands;
  return isConstant(a) || a.id > b.id ? [b, a] : operands;
}

const COMPLEMENT = { lt: "ge", le: "gt", gt: "le", ge: "lt", eq: "ne", ne: "eq" } as const;

function complementOf(node: Node): OperationName | undefined {
  if (node.op === "eq" || node.op === "ne") return COMPLEMENT[node.op]; // of NaN too
  if (!(node.op in COMPLEMENT) || node.operands[0]!.type !== "int") return undefined;
  return COMPLEMENT[node.op as keyof typeof COMPLEMENT];
}

function ofOne(name: OperationName, a: Node, builder: Builder): Node | undefined {
  if ((name === "neg" || name === "not") && a.op === name) return a.operands[0];
  if (name === "abs" && a.op === "abs") return a;
  if (name === "abs" && a.op === "neg") return builder.apply("abs", [a.operands[0]!]);
  if (name === "not") {
    const complement = complementOf(a);
    return complement && builder.apply(complement, a.operands);
  }
  return undefined;
}

function ofFloats(name: OperationName, a: Node, b: Node, builder: Builder): Node | undefined {
  if (name === "pow" && b.value === 0) return builder.constant(1, "float"); // of NaN too
  if (name === "add" && isConstant(b, -0) || name === "sub" && isConstant(b, 0)) return a;
  if ((name === "mul" || name === "div" || name === "pow") && isConstant(b, 1)) return a;
  if ((name === "min" || name === "max") && a === b) return a;
  return undefined;
}

function ofInts(name: OperationName, a: Node, b: Node, builder: Builder): Node | undefined {
  const zero = isConstant(b, 0), one = isConstant(b, 1), same = a === b;
  switch (name) {
    case "add":
      return zero ? a : undefined;
    case "sub":
      return zero ? a : same ? builder.constant(0, "int") : undefined;
    case "mul":
      return one ? a : zero ? b : undefined;
    case "floorDiv":
      return one ? a : zero ? b : undefined;
    case "mod":
      return one ? builder.constant(0, "int") : zero ? b : undefined;
    case "min":
    case "max":
      return same ? a : undefined;
    case "le":
    case "ge":
    case "eq":
      return same ? builder.constant(1, "bool") : undefined;
    case "lt":
    case "gt":
    case "ne":
      return same ? builder.constant(0, "bool") : undefined;
  }
  return undefined;
}

function ofBools(name: OperationName, a: Node, b: Node, builder: Builder): Node | undefined {
  const opposite = a.op === "not" && a.operands[0] === b || b.op === "not" && b.operands[0] === a;
  const known = isConstant(b) ? b.value === 1 : undefined;
  switch (name) {
    case "and":
      if (known !== undefined) return known ? a : b;
      return a === b ? a : opposite ? builder.constant(0, "bool") : undefined;
    case "or":
      if (known !== undefined) return known ? b : a;
      return a === b ? a : opposite ? builder.constant(1, "bool") : undefined;
    case "xor":
      if (known !== undefined) return known ? builder.apply("not", [a]) : a;
      return a === b
        ? builder.constant(0, "bool")
        : opposite
        ? builder.constant(1, "bool")
        : undefined;
  }
  return undefined;
}

function ofWhere(condition: Node, yes: Node, no: Node, builder: Builder): Node | undefined {
  if (yes === no) return yes;
  if (isConstant(condition)) return condition.value ? yes : no;
  if (condition.op === "not") return builder.apply("where", [condition.operands[0]!, no, yes]);
  if (yes.type !== "bool") return undefined;
  if (isConstant(yes)) return yes.value ? builder.apply("or", [condition, no]) : undefined;
  if (isConstant(no) && !no.value) return builder.apply("and", [condition, yes]);
  return undefined;
}

/** A node that has the same values as the operation, where a rule knows one. */
export function simplified(
  name: OperationName,
  [a, b, c]: readonly Node[],
  builder: Builder,
): Node | undefined {
  if (!b) return ofOne(name, a!, builder);
  if (c) return ofWhere(a!, b, c, builder);
  if (a!.type === "float") return ofFloats(name, a!, b, builder);
  return a!.type === "int" ? ofInts(name, a!, b, builder) : ofBools(name, a!, b, builder);
}
