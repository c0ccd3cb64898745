// Graphs of expressions. A trace is one run of a user's function: it owns the nodes that the run makes, equal ones
// once. Types are checked as nodes are made, and constants are folded.
import { arrayKind } from "../tensor/dtype.ts";
import { show } from "../tensor/errors.ts";
import { ordered, simplified } from "./folding.ts";
import { type CapturedArray, isConstant, type Node, reachable } from "./node.ts";
import { type OperationName, OPERATIONS, type Signature, type ValueType } from "./operations.ts";
import { type SymbolName, SYMBOLS } from "./symbols.ts";

/** What an operation is applied to: plain numbers take the type that fits, plain booleans are constants. */
export type Operand = Node | number | boolean;

/** What a function returned, and the trace that its nodes belong to. */
export interface Graph {
  readonly root: Node;
  readonly trace: Trace;
}

/** The trace whose function runs now. */
let current: Trace | undefined;

/** A node with the methods of every operation; `FloatExpression` and its like show users those of their type. */
class Expression implements Node {
  readonly op: Node["op"];
  readonly type: ValueType;
  readonly operands: readonly Node[];
  readonly value: number | undefined;
  readonly symbol: SymbolName | undefined;
  readonly captured: CapturedArray | undefined;
  readonly varies: number;
  readonly id: number;
  readonly trace: Trace;

  constructor(content: Content, trace: Trace, id: number) {
    const { op, type, operands = [], value, symbol, captured } = content;
    this.op = op;
    this.type = type;
    this.operands = operands;
    this.value = value;
    this.symbol = symbol;
    this.captured = captured;
    const own = symbol === undefined ? 0 : SYMBOLS[symbol].varies;
    this.varies = operands.reduce((bits, operand) => bits | operand.varies, own);
    this.id = id;
    this.trace = trace;
  }

  /** What operators of JavaScript call: TypeScript lets `a <= b` of two objects pass, which says nothing of a pair. */
  [Symbol.toPrimitive](): never {
    throw new TypeError(
      `Cannot use an operator on ${this.type}: write a method, a.sub(b) for a - b, a.le(b) for a <= b`,
    );
  }

  static {
    for (const name of Object.keys(OPERATIONS) as OperationName[]) {
      Object.defineProperty(this.prototype, name, {
        value(this: Expression, ...others: Operand[]) {
          return apply(name, [this, ...others]);
        },
      });
    }
  }
}

/** What makes a node what it is. */
interface Content extends Pick<Node, "op" | "type"> {
  readonly operands?: readonly Node[];
  readonly value?: number;
  readonly symbol?: SymbolName;
  readonly captured?: CapturedArray;
}

/** The nodes of one run of a function. */
export class Trace {
  readonly #nodes = new Map<string, Expression>();
  readonly #captured = new Map<CapturedArray, number>();

  /** Calls `build`, whose operations add to this trace. */
  run<T>(build: () => T): T {
    const outer = current;
    current = this;
    try {
      return build();
    } finally {
      current = outer;
    }
  }

  /** The one node with this content. */
  node(content: Content): Node {
    const { op, type, operands = [], value, symbol, captured } = content;
    const number = Object.is(value, -0) ? "-0" : value;
    const detail = captured ? this.#numberOf(captured) : symbol ?? number;
    const key = `${op} ${type} ${detail} ${operands.map(({ id }) => id)}`;
    const known = this.#nodes.get(key);
    if (known) return known;
    const made = new Expression(content, this, this.#nodes.size);
    this.#nodes.set(key, made);
    return made;
  }

  #numberOf(captured: CapturedArray): number {
    const number = this.#captured.get(captured) ?? this.#captured.size;
    this.#captured.set(captured, number);
    return number;
  }

  /** Whether a value is an expression that this trace made. */
  owns(value: unknown): value is Node {
    return value instanceof Expression && value.trace === this;
  }

  /** The same expression as nodes of this trace; `replace`: what some symbols become. */
  adopt(root: Node, replace?: (name: SymbolName) => Node | undefined): Node {
    const copies = new Map<Node, Node>();
    for (const node of reachable([root])) {
      const { op, type, value, symbol, captured } = node;
      const operands = node.operands.map((operand) => copies.get(operand)!);
      const detail = {
        ...value !== undefined && { value },
        ...symbol !== undefined && { symbol },
        ...captured && { captured },
      };
      const other = symbol === undefined ? undefined : replace?.(symbol);
      copies.set(node, other ?? this.node({ op, type, operands, ...detail }));
    }
    return copies.get(root)!;
  }
}

/** Whether a value that a user gave is an expression. */
export function isExpression(value: unknown): value is Node {
  return value instanceof Expression;
}

/** The trace of a run that is under way, to which all of `operands` must belong. */
function traceOf(what: string, operands: readonly unknown[]): Trace {
  const foreign = operands.some((one) => one instanceof Expression && one.trace !== current);
  if (current && !foreign) return current;
  throw new TypeError(
    `Cannot apply ${what}: symbols can be used only in the function that was called with them, ` +
      "while it runs",
  );
}

/** A symbol of the trace that runs. */
export function symbol(name: SymbolName): Node {
  return traceOf(name, []).node({ op: "symbol", type: SYMBOLS[name].type, symbol: name });
}

/** A plain value as a node. */
export function constant(value: number, type: ValueType): Node {
  return traceOf("a constant", []).node({ op: "constant", type, value });
}

/** Whether a number is one that integers hold. */
function isInt(value: number): boolean {
  return value === (value | 0);
}

/** An element of a captured array; `indices` are expressions or plain numbers, one for each axis. */
export function gather(captured: CapturedArray, indices: readonly unknown[]): Node {
  const { shape, data } = captured, trace = traceOf("at", indices);
  if (indices.length !== shape.length) {
    throw new TypeError(
      `Cannot apply at: ${indices.length} indices given but the shape is ${show(shape)}`,
    );
  }
  const operands = indices.map((index, axis) => {
    if (typeof index === "number" && isInt(index)) return constant(index + 0, "int");
    if (isExpression(index) && index.type === "int") return index;
    throw new TypeError(`Cannot apply at: index ${axis} is ${kindOf(index)}, wanted int`);
  });
  const type = arrayKind(data) === "Float32Array" ? "float" : "int";
  return trace.node({ op: "gather", type, operands, captured });
}

/** What an operand is, in an error. */
function kindOf(operand: unknown): string {
  return isExpression(operand) ? operand.type : show(operand);
}

function fits(operand: unknown, type: ValueType): boolean {
  if (isExpression(operand)) return operand.type === type;
  return type === "bool" ? typeof operand === "boolean" : typeof operand === "number";
}

/** The first signature that takes `operands`, or an error that names what there is and what is wanted. */
function matching(name: OperationName, operands: readonly unknown[]): Signature {
  const signatures = OPERATIONS[name];
  const found = signatures.find((one) =>
    one.operands.length === operands.length && one.operands.every((t, n) => fits(operands[n], t))
  );
  const given = operands.map(kindOf).join(" and ");
  if (!found) {
    const wanted = signatures.map((one) => one.operands.join(" and ")).join(", or ");
    throw new TypeError(`Cannot apply ${name} to ${given}: wanted ${wanted}`);
  }
  const wrong = operands.find((x, n) =>
    found.operands[n] === "int" && typeof x === "number" && !isInt(x)
  );
  if (wrong === undefined) return found;
  throw new TypeError(
    `Cannot apply ${name} to ${given}: ${wrong} is no 32-bit integer, toFloat() makes floats of ints`,
  );
}

/** Throws where an operation has no meaning for what it was given. */
function checkGiven(name: OperationName, given: readonly Operand[], [, b]: readonly Node[]): void {
  if (name === "pow" && !isConstant(b!)) {
    throw new TypeError("Cannot apply pow: the exponent must be a plain number");
  }
  // an expression that comes out 0 is a variable divisor
  if ((name === "floorDiv" || name === "mod") && given[1] === 0) {
    throw new RangeError(`Cannot apply ${name}: the divisor is 0`);
  }
}

const BUILDER = { apply, constant };

/** The node of an operation. */
export function apply(name: OperationName, given: readonly Operand[]): Node {
  const trace = traceOf(name, given);
  const { operands: types, result, evaluate } = matching(name, given);
  const nodes = given.map((one, n) =>
    isExpression(one)
      ? one
      : constant(types[n] === "float" ? Number(one) : Number(one) + 0, types[n]!)
  );
  checkGiven(name, given, nodes);
  if (nodes.every((node) => isConstant(node))) {
    const [a = 0, b = 0, c = 0] = nodes.map(({ value }) => value!);
    return constant(evaluate(a, b, c), result);
  }
  const operands = ordered(name, nodes);
  return simplified(name, operands, BUILDER) ?? trace.node({ op: name, type: result, operands });
}
