// From the operations of a graph to instructions. Tiles hold scores times log2 e ("in base 2"), functions are of
// natural scores: the factor goes where it costs nothing, into constants and values of a lane, and a score that is only
// added to is left as it is.
import type { CapturedArray, Node } from "./node.ts";
import type { Opcode } from "./opcodes.ts";
import { VARIES } from "./symbols.ts";
import { floatOf, type Section, type Value, Values } from "./values.ts";

const INTEGER: Readonly<Record<string, Opcode>> = {
  ...{ add: "iadd", sub: "isub", mul: "imul", min: "imin", max: "imax", abs: "iabs", neg: "ineg" },
  ...{ lt: "ilt", le: "ile", eq: "ieq", ne: "ine" },
};

/** Whether the value of a node must be computed for every pair. */
function isOfPairs({ varies }: Node): boolean {
  const { query, key, head, score } = VARIES;
  return (varies & score) !== 0 || (varies & key) !== 0 && (varies & (query | head)) !== 0;
}

/** Chooses instructions for the nodes of one graph. */
export class Lowering {
  readonly values: Values = new Values();
  readonly #natural = new Map<Node, Value>();
  readonly #scaled = new Map<Node, Value>();
  readonly #costs = new Map<Node, number>();

  /** The value of a node. */
  natural(node: Node): Value {
    let value = this.#natural.get(node);
    if (!value) this.#natural.set(node, value = this.#choose(node));
    return value;
  }

  /** The value of a node that is a score, in base 2. */
  scaled(node: Node): Value {
    let value = this.#scaled.get(node);
    if (!value) this.#scaled.set(node, value = this.#chooseScaled(node));
    return value;
  }

  /** A float that is the same for all keys, times a constant. */
  #times(value: Value, factor: number): Value {
    if (value.op === "constant") return this.values.float(floatOf(value.bits!) * factor);
    return this.values.make("mul", [value, this.values.float(factor)]);
  }

  /** Instructions for each pair that a node costs more in base 2 than by itself. */
  #cost(node: Node): number {
    let cost = this.#costs.get(node);
    if (cost === undefined) this.#costs.set(node, cost = this.#findCost(node));
    return cost;
  }

  #findCost(node: Node): number {
    const [a, b, c] = node.operands;
    if (node.symbol === "score") return -1;
    if (!isOfPairs(node)) return 0;
    switch (node.op) {
      case "neg":
      case "div":
        return this.#cost(a!);
      case "add":
      case "sub":
      case "min":
      case "max":
        return this.#cost(a!) + this.#cost(b!);
      case "where":
        return this.#cost(b!) + this.#cost(c!);
      case "mul":
        return Math.min(this.#cost(a!), this.#cost(b!));
      default:
        return 1;
    }
  }

  #chooseScaled(node: Node): Value {
    const { values } = this, [a, b, c] = node.operands as [Node, Node, Node];
    if (node.symbol === "score") return values.symbol("score");
    if (isOfPairs(node)) {
      switch (node.op) {
        case "neg":
          return values.make("neg", [this.scaled(a)]);
        case "div":
          return this.#quotient(this.scaled(a), b);
        case "add":
        case "sub":
        case "min":
        case "max":
          return values.make(node.op, [this.scaled(a), this.scaled(b)]);
        case "where":
          return values.make("select", [this.scaled(b), this.scaled(c), this.natural(a)]);
        case "mul": {
          const first = this.#cost(a) <= this.#cost(b);
          const parts = first
            ? [this.scaled(a), this.natural(b)]
            : [this.natural(a), this.scaled(b)];
          return values.make("mul", parts);
        }
      }
    }
    return this.#times(this.natural(node), Math.LOG2E);
  }

  /** a / b; what is the same for all keys divides once. */
  #quotient(a: Value, b: Node): Value {
    const { values } = this, divisor = this.natural(b);
    if (a.section === "pair" && divisor.section === "lane") {
      return values.make("mul", [a, this.#reciprocal(divisor)]);
    }
    return values.make("div", [a, divisor]);
  }

  #reciprocal(value: Value): Value {
    if (value.op === "constant") return this.values.float(1 / floatOf(value.bits!));
    return this.values.make("div", [this.values.float(1), value]);
  }

  /** A product or quotient with the score itself, whose unit goes into the other operand. */
  #ofScore({ op, operands: [a, b] }: Node): Value | undefined {
    const { values } = this, of = (other: Node) => !isOfPairs(other) && this.natural(other);
    const score = a!.symbol === "score"
      ? b!
      : op === "mul" && b!.symbol === "score"
      ? a!
      : undefined;
    const other = score && of(score);
    if (!other || other.section !== "lane") return undefined;
    const factor = this.#times(op === "mul" ? other : this.#reciprocal(other), Math.LN2);
    return values.make("mul", [values.symbol("score"), factor]);
  }

  #choose(node: Node): Value {
    const { values } = this, { op, type, operands } = node;
    const [a, b] = operands as [Node, Node], get = (operand: Node) => this.natural(operand);
    switch (op) {
      case "constant":
        if (type === "bool") return values.int(node.value ? -1 : 0);
        return type === "int" ? values.int(node.value!) : values.float(node.value!);
      case "symbol": {
        const value = values.symbol(node.symbol!);
        return node.symbol === "score" ? this.#times(value, Math.LN2) : value;
      }
      case "gather":
        return this.#gather(node);
      case "mul":
      case "div":
        if (type === "float") {
          const value = this.#ofScore(node);
          if (value) return value;
          if (op === "div") return this.#quotient(get(a), b);
        }
        break;
      case "gt":
        return values.make(a.type === "int" ? "ilt" : "lt", [get(b), get(a)]);
      case "ge":
        return values.make(a.type === "int" ? "ile" : "le", [get(b), get(a)]);
      case "where":
        return values.make("select", [get(b), get(operands[2]!), get(a)]);
      case "sigmoid": {
        const power = values.make("exp", [values.make("neg", [get(a)])]);
        return this.#reciprocal(values.make("add", [power, values.float(1)]));
      }
      case "square":
        return values.make("mul", [get(a), get(a)]);
      case "pow":
        return this.#power(get(a), b.value!);
    }
    if (type === "int" && (op === "add" || op === "sub") && isOfPairs(node)) {
      return values.make("iadd", this.#sum([[node, 1]]));
    }
    const opcode = a.type === "int" ? INTEGER[op] ?? op : op;
    return values.make(opcode as Opcode, operands.map(get));
  }

  /** Whole and half powers by products and roots, others by the logarithm. */
  #power(x: Value, n: number): Value {
    const { values } = this, m = Math.abs(n), whole = Math.floor(m), rest = m - whole;
    if (!Number.isFinite(n) || (rest !== 0 && rest !== 0.5) || whole > 2 ** 31) {
      return values.make("exp", [values.make("mul", [values.make("log", [x]), values.float(n)])]);
    }
    const factors: Value[] = rest ? [values.make("sqrt", [x])] : [];
    for (let left = whole, square = x; left > 0; left = Math.floor(left / 2)) {
      if (left % 2) factors.push(square);
      if (left > 1) square = values.make("mul", [square, square]);
    }
    const product = factors.reduce((a, b) => values.make("mul", [a, b]));
    return n < 0 ? this.#reciprocal(product) : product;
  }

  #gather({ operands, captured }: Node): Value {
    return this.values.make("gather", this.placeIn(captured!, operands), captured);
  }

  /** Where an element of an array lies: two values to be added. */
  placeIn({ shape }: CapturedArray, index: readonly Node[]): [Value, Value] {
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((n, m) => n * m, 1));
    return this.#sum(index.map((operand, axis) => [operand, strides[axis]!]));
  }

  /**
   * A sum of integers as two values, of which the first changes most: what is the same for all keys, or for all
   * queries, is added up before. Integers wrap, so the order does not matter.
   */
  #sum(terms: readonly (readonly [Node, number])[]): [Value, Value] {
    const { values } = this, sums: { [section in Section]?: Value } = {};
    const put = (value: Value, factor: number) => {
      const before = sums[value.section];
      if (factor === -1 && before) sums[value.section] = values.make("isub", [before, value]);
      else {
        const term = this.#intTimes(value, factor);
        sums[value.section] = before ? values.make("iadd", [before, term]) : term;
      }
    };
    const flatten = (node: Node, factor: number): void => {
      const [a, b] = node.operands as [Node, Node];
      if (node.op === "add" || node.op === "sub") {
        flatten(a, factor);
        flatten(b, node.op === "add" ? factor : -factor);
      } else if (node.op === "neg") flatten(a, -factor);
      else if (node.op === "mul" && b.op === "constant") flatten(a, Math.imul(factor, b.value!));
      else put(this.natural(node), factor);
    };
    for (const [node, factor] of terms) flatten(node, factor);
    const { lane = values.int(0), key, pair } = sums;
    // a key with lanes of its own is a pair: it stays apart, to be added there
    if (pair) return [pair, key ? values.make("iadd", [key, lane]) : lane];
    return [key ?? values.int(0), lane];
  }

  #intTimes(value: Value, factor: number): Value {
    const { values } = this;
    if (factor === 1) return value;
    if (value.op === "constant") return values.int(Math.imul(value.bits!, factor));
    if (factor === -1) return values.make("ineg", [value]);
    return values.make("imul", [value, values.int(factor)]);
  }
}
