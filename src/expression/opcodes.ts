// The instructions of the tile interpreter. It is generated from their names (tools/build/interpreter.ts), so that both
// sides know one table.

/** Name of an instruction. Integer forms begin with i. */
export type Opcode =
  | ("copy" | "abs" | "neg" | "sqrt" | "iabs" | "ineg" | "toFloat" | "not")
  | ("exp" | "log" | "tanh" | "sin" | "cos")
  | ("add" | "sub" | "mul" | "div" | "min" | "max")
  | ("iadd" | "isub" | "imul" | "imin" | "imax" | "floorDiv" | "mod")
  | ("lt" | "le" | "eq" | "ne" | "ilt" | "ile" | "ieq" | "ine" | "and" | "or" | "xor")
  | ("weigh" | "scatter" | "distance" | "hide" | "madd" | "nmadd" | "select" | "iclamp" | "gather");

/** How many operands each takes, in the order of their numbers. */
export const OPERANDS_OF: Readonly<Record<Opcode, 1 | 2 | 3>> = {
  ...{ copy: 1, abs: 1, neg: 1, sqrt: 1, iabs: 1, ineg: 1, toFloat: 1, not: 1 },
  ...{ exp: 1, log: 1, tanh: 1, sin: 1, cos: 1 },
  ...{ add: 2, sub: 2, mul: 2, div: 2, min: 2, max: 2 },
  ...{ iadd: 2, isub: 2, imul: 2, imin: 2, imax: 2, floorDiv: 2, mod: 2 },
  ...{ lt: 2, le: 2, eq: 2, ne: 2, ilt: 2, ile: 2, ieq: 2, ine: 2, and: 2, or: 2, xor: 2 },
  /** a b, and 0 where a is 0, whatever b is. */
  weigh: 2,
  /** |a + b| of integers, as a float. */
  distance: 2,
  /** Of a score and a condition: minus infinity where it does not hold. */
  hide: 2,
  /** a b + c, and c − a b. */
  ...{ madd: 3, nmadd: 3 },
  /** a where c holds, else b. */
  select: 3,
  /** The integer a, at least b and at most c. */
  iclamp: 3,
  /** Element a + c of the array b. */
  gather: 3,
  /** Adds the result, which is none, to element a + c of the array b. */
  scatter: 3,
};

/** All instructions: the place of a name is its number. */
export const OPCODES: readonly Opcode[] = Object.keys(OPERANDS_OF) as Opcode[];

const COMMUTATIVE: ReadonlySet<Opcode> = new Set<Opcode>([
  ...["add", "mul", "min", "max", "iadd", "imul", "imin", "imax", "distance"] as const,
  ...["eq", "ne", "ieq", "ine", "and", "or", "xor", "madd", "nmadd"] as const,
]);

/** Whether the first two operands of an instruction may change places. */
export function commutes(op: Opcode): boolean {
  return COMMUTATIVE.has(op);
}
