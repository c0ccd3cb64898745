// What instructions compute, before it has registers: a graph like that of an expression, in operations that the
// interpreter has. Equal values are one object.
import type { CapturedArray } from "./node.ts";
import { commutes, type Opcode } from "./opcodes.ts";
import type { SymbolName } from "./symbols.ts";

/**
 * By what a value changes with, and so how often it is computed: `lane`, once for all keys of a tile (constants,
 * values of a query or of a head); `key`, once for all queries; `pair`, always.
 */
export type Section = "lane" | "key" | "pair";

/** A value. */
export interface Value {
  readonly op: Opcode | "constant" | "symbol";
  readonly operands: readonly Value[];
  readonly section: Section;
  /** Whether lanes have values of their own: then it makes a pair of what changes with the key. */
  readonly perLane: boolean;
  /** Of a constant: its 32 bits. */
  readonly bits?: number;
  readonly symbol?: SymbolName | "gradient";
  /** Of a gather. */
  readonly array?: CapturedArray;
}

const f32 = new Float32Array(1), i32 = new Int32Array(f32.buffer);

/** The bits of a float32. */
export function floatBits(x: number): number {
  f32[0] = x;
  return i32[0]!;
}

/** The float32 that has these bits. */
export function floatOf(bits: number): number {
  i32[0] = bits;
  return f32[0]!;
}

/** Makes values, equal ones once. */
export class Values {
  readonly #known = new Map<string, Value>();
  readonly #numbers = new Map<Value, number>();
  readonly #arrays = new Map<CapturedArray, number>();

  #intern(detail: string, make: () => Value): Value {
    let value = this.#known.get(detail);
    if (!value) {
      value = make();
      this.#known.set(detail, value);
      this.#numbers.set(value, this.#numbers.size);
    }
    return value;
  }

  #bits(bits: number): Value {
    const common = { op: "constant", operands: [], section: "lane", perLane: false } as const;
    return this.#intern(`constant ${bits}`, () => ({ ...common, bits }));
  }

  float(x: number): Value {
    return this.#bits(floatBits(x));
  }

  int(x: number): Value {
    return this.#bits(x | 0);
  }

  /** A symbol of expressions, or the gradient of their result. */
  symbol(symbol: SymbolName | "gradient"): Value {
    const section = symbol === "score" || symbol === "gradient"
      ? "pair"
      : symbol === "key"
      ? "key"
      : "lane";
    const perLane = symbol === "query" || symbol === "diagonal" || symbol === "head" ||
      symbol === "kvHead";
    const own = { op: "symbol", operands: [], section, perLane, symbol } as const;
    return this.#intern(symbol, () => own);
  }

  /** The result of an instruction; what is the same for all keys comes second where it may. */
  make(op: Opcode, given: readonly Value[], array?: CapturedArray): Value {
    const [a, b, ...rest] = given;
    const swap = b && commutes(op) && a!.section === "lane" && b.section !== "lane";
    const operands = swap ? [b, a!, ...rest] : given;
    let number = array && this.#arrays.get(array);
    if (array && number === undefined) this.#arrays.set(array, number = this.#arrays.size);
    const key = `${op} ${number} ${operands.map((operand) => this.#numbers.get(operand))}`;
    return this.#intern(key, () => {
      const has = (section: Section) => operands.some((operand) => operand.section === section);
      const perLane = operands.some((operand) => operand.perLane);
      const pair = has("pair") || has("key") && perLane;
      const section = pair ? "pair" : has("key") ? "key" : "lane";
      return { op, operands, section, perLane, ...array && { array } };
    });
  }
}

/** The values that `roots` need, operands first, those of the first root before those of the next. */
export function inOrder(roots: readonly Value[]): Value[] {
  const order = new Set<Value>();
  const visit = (value: Value): void => {
    if (order.has(value)) return;
    value.operands.forEach(visit);
    order.add(value);
  };
  roots.forEach(visit);
  return [...order];
}

/** How often each value is an operand or a root. */
export function usesOf(roots: readonly Value[]): Map<Value, number> {
  const uses = new Map<Value, number>();
  const add = (value: Value) => uses.set(value, (uses.get(value) ?? 0) + 1);
  roots.forEach(add);
  for (const { operands } of inOrder(roots)) operands.forEach(add);
  return uses;
}
