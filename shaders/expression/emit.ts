// Graphs of expressions as WGSL: one line a node, what does not change along a vector as one value.
import type { Node } from "../../src/expression/node.ts";
import type { OperationName, ValueType } from "../../src/expression/operations.ts";
import type { SymbolName } from "../../src/expression/symbols.ts";
import { type FunctionName, functionName, functionTexts } from "./functions.ts";
import { constantTerm, type Term, typeOf, widened, type Width } from "./terms.ts";

/** Where the text stands: what it may name. */
export interface Scope {
  /** Names of everything that is declared for it begin so. */
  readonly stem: string;
  /** Values that are there already. */
  readonly given: ReadonlyMap<Node, Term>;
  symbol(name: SymbolName): Term;
  /** The word of the schedule where a captured array begins. */
  captured(node: Node): string;
}

/** What some text needs outside of `main`. */
export interface Needs {
  readonly functions: Map<string, readonly [FunctionName, Width]>;
  readonly gathers: Map<string, readonly [ValueType, Width]>;
}

export function noNeeds(): Needs {
  return { functions: new Map(), gathers: new Map() };
}

const INFIX: Readonly<Partial<Record<OperationName, string>>> = {
  ...{ add: "+", sub: "-", mul: "*", div: "/" },
  ...{ lt: "<", le: "<=", gt: ">", ge: ">=", eq: "==", ne: "!=" },
  ...{ and: "&", or: "|", xor: "!=" },
};

const OWN: Readonly<Partial<Record<OperationName, FunctionName>>> = {
  ...{ exp: "exp", log: "log", tanh: "tanh", sigmoid: "sigmoid", sin: "sin", cos: "cos" },
  ...{ floorDiv: "floor_div", mod: "mod" },
};

/** x^n for a whole n, by squaring. */
function wholePower(x: string, n: number): string {
  if (n === 1) return x;
  const half = wholePower(x, Math.floor(n / 2)), square = `(${half} * ${half})`;
  return n % 2 ? `(${square} * ${x})` : square;
}

/** Exponents up to here are products. */
const MOST_PRODUCTS = 8;

/** Writes nodes of one scope. */
export class Emitter {
  readonly #scope: Scope;
  readonly #needs: Needs;
  readonly #terms: Map<Node, Term>;
  readonly lines: string[] = [];

  constructor(scope: Scope, needs: Needs) {
    this.#scope = scope;
    this.#needs = needs;
    this.#terms = new Map(scope.given);
  }

  /** The value of a node; its lines, and those of what it needs, are in `lines`. */
  term(node: Node): Term {
    const known = this.#terms.get(node);
    if (known) return known;
    const made = node.op === "constant"
      ? constantTerm(node.type, node.value!)
      : this.#named(this.#made(node));
    this.#terms.set(node, made);
    return made;
  }

  #named({ text, width }: Term): Term {
    const name = `n${this.lines.length}`;
    this.lines.push(`  let ${name} = ${text};`);
    return { text: name, width };
  }

  #made(node: Node): Term {
    if (node.op === "symbol") return this.#scope.symbol(node.symbol!);
    const operands = node.operands.map((one) => this.term(one));
    if (node.op === "gather") return this.#gather(node, operands);
    const width: Width = operands.some(({ width }) => width === 4) ? 4 : 1;
    const texts = operands.map((one, n) => widened(one, node.operands[n]!.type, width));
    return { text: this.#operation(node, texts, width), width };
  }

  #call(name: FunctionName, operands: readonly string[], width: Width): string {
    this.#needs.functions.set(`${name}${width}`, [name, width]);
    return `${functionName(this.#scope.stem, name, width)}(${operands.join(", ")})`;
  }

  #operation(node: Node, texts: readonly string[], width: Width): string {
    const [a, b, c] = texts as [string, string, string], op = node.op as OperationName;
    if (INFIX[op]) return `${a} ${INFIX[op]} ${b}`;
    if (OWN[op]) return this.#call(OWN[op], texts, width);
    switch (op) {
      case "neg":
        return `-${a}`;
      case "not":
        return `!${a}`;
      case "square":
        return `${a} * ${a}`;
      case "where":
        return `select(${c}, ${b}, ${a})`;
      case "toFloat":
        return `${typeOf("float", width)}(${a})`;
      case "pow":
        return this.#power(a, node.operands[1]!.value!, width);
      case "min":
      case "max":
        return node.type === "int" ? `${op}(${a}, ${b})` : this.#call(op, texts, width);
      default:
        return `${op}(${a})`; // abs, sqrt
    }
  }

  #power(x: string, exponent: number, width: Width): string {
    const size = Math.abs(exponent), one = `${typeOf("float", width)}(1.0)`;
    const turned = (text: string) => exponent < 0 ? `${one} / (${text})` : text;
    if (Number.isInteger(size) && size > 0 && size <= MOST_PRODUCTS) {
      return turned(wholePower(x, size));
    }
    if (size === 0.5) return turned(`sqrt(${x})`);
    const log = this.#call("log", [Number.isInteger(size) ? `abs(${x})` : x], width);
    const power = this.#call("exp", [`${exponent} * ${log}`], width);
    return Number.isInteger(size) && size % 2 === 1 ? `sign(${x}) * ${power}` : power;
  }

  #gather(node: Node, index: readonly Term[]): Term {
    const width: Width = index.some(({ width }) => width === 4) ? 4 : 1;
    const { shape } = node.captured!;
    const flat = index.reduce(
      (position, at, axis) => {
        const text = widened(at, "int", width);
        return axis === 0 ? text : `(${position}) * ${shape[axis]!} + ${text}`;
      },
      "i32(0)",
    );
    this.#needs.gathers.set(`${node.type}${width}`, [node.type, width]);
    const offset = widened(
      { text: `i32(${this.#scope.captured(node)})`, width: 1 },
      "int",
      width,
    );
    return {
      text: `${gatherName(this.#scope.stem, node.type, width)}(${offset} + ${flat})`,
      width,
    };
  }
}

function gatherName(stem: string, type: ValueType, width: Width): string {
  return `${stem}_${type}${width}`;
}

function gatherText(stem: string, type: ValueType, width: Width): string {
  const result = typeOf(type, width), one = (at: string) => `schedule[u32(${at})]`;
  const words = width === 1
    ? one("at")
    : `vec4<u32>(${["x", "y", "z", "w"].map((x) => one(`at.${x}`)).join(", ")})`;
  return `fn ${gatherName(stem, type, width)}(at: ${typeOf("int", width)}) -> ${result} {
  return bitcast<${result}>(${words});
}`;
}

/** What declares all that some text needs. */
export function neededTexts(stem: string, { functions, gathers }: Needs): string[] {
  return [
    ...functionTexts(stem, functions.values()),
    ...[...gathers.values()].map(([type, width]) => gatherText(stem, type, width)),
  ];
}
