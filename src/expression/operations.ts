// The operations of the expression language: the types that each takes and gives, and its value. Everything else that
// knows operations (WGSL, bytecode, intervals) must agree with these values.

/** The type of an expression. */
export type ValueType = "float" | "int" | "bool";

/** Value of an operation in float64; integers wrap at 32 bits, booleans are 0 and 1. */
export type Evaluate = (a: number, b: number, c: number) => number;

/** One way to use an operation. */
export interface Signature {
  /** Types of the operands. */
  readonly operands: readonly ValueType[];
  /** Type of the result. */
  readonly result: ValueType;
  readonly evaluate: Evaluate;
}

/** Name of an operation, which is the name of its method. */
export type OperationName =
  | ("add" | "sub" | "mul" | "div" | "floorDiv" | "mod" | "neg" | "abs" | "min" | "max")
  | ("exp" | "log" | "sqrt" | "tanh" | "sigmoid" | "sin" | "cos" | "pow" | "square" | "toFloat")
  | ("lt" | "le" | "gt" | "ge" | "eq" | "ne")
  | ("and" | "or" | "xor" | "not" | "where");

const NAMES = { f: "float", i: "int", b: "bool" } as const;
type Letter = keyof typeof NAMES;

/** `"ff:f"`: takes two floats, gives one. */
function signature(form: string, evaluate: Evaluate): Signature {
  const [operands, result] = form.split(":") as [string, Letter];
  return {
    operands: [...operands].map((letter) => NAMES[letter as Letter]),
    result: NAMES[result],
    evaluate,
  };
}

const float1 = (evaluate: Evaluate) => [signature("f:f", evaluate)];
const float2 = (evaluate: Evaluate) => [signature("ff:f", evaluate)];
const int2 = (evaluate: Evaluate) => [signature("ii:i", evaluate)];
const logic = (evaluate: Evaluate) => [signature("bb:b", evaluate)];

/** The same function of floats and of integers. */
function comparison(holds: (a: number, b: number) => boolean): Signature[] {
  const evaluate: Evaluate = (a, b) => Number(holds(a, b));
  return [signature("ff:b", evaluate), signature("ii:b", evaluate)];
}

/** One signature for floats and one for integers. */
function numeric(operands: number, float: Evaluate, int: Evaluate): Signature[] {
  return [
    signature(`${"f".repeat(operands)}:f`, float),
    signature(`${"i".repeat(operands)}:i`, int),
  ];
}

const chosen: Evaluate = (condition, a, b) => condition ? a : b;

/** ⌊a / b⌋ of integers, wrapping; 0 where b is 0. */
export function floorDiv(a: number, b: number): number {
  return b === 0 ? 0 : Math.floor(a / b) | 0;
}

/** a − b ⌊a / b⌋ of integers, which has the sign of b; 0 where b is 0. */
export function floorMod(a: number, b: number): number {
  return b === 0 ? 0 : (a - b * Math.floor(a / b)) | 0;
}

/**
 * The table. Where an operation has a signature for floats it comes first, so that plain numbers alone are floats.
 *
 * `min` and `max`: NaN wins, and −0 is below 0, as in `Math.min` and f32x4.min of WASM; WGSL leaves both open, so that
 * shaders have to select.
 */
export const OPERATIONS: Readonly<Record<OperationName, readonly Signature[]>> = {
  add: numeric(2, (a, b) => a + b, (a, b) => (a + b) | 0),
  sub: numeric(2, (a, b) => a - b, (a, b) => (a - b) | 0),
  mul: numeric(2, (a, b) => a * b, Math.imul),
  div: float2((a, b) => a / b),
  floorDiv: int2(floorDiv),
  mod: int2(floorMod),
  neg: numeric(1, (a) => -a, (a) => -a | 0),
  abs: numeric(1, (a) => Math.abs(a), (a) => Math.abs(a) | 0),
  min: numeric(2, (a, b) => Math.min(a, b), (a, b) => Math.min(a, b)),
  max: numeric(2, (a, b) => Math.max(a, b), (a, b) => Math.max(a, b)),
  exp: float1(Math.exp),
  log: float1(Math.log),
  sqrt: float1(Math.sqrt),
  tanh: float1(Math.tanh),
  sigmoid: float1((a) => 1 / (1 + Math.exp(-a))),
  sin: float1(Math.sin),
  cos: float1(Math.cos),
  pow: float2((a, b) => Math.pow(a, b)),
  square: float1((a) => a * a),
  toFloat: [signature("i:f", (a) => a)],
  lt: comparison((a, b) => a < b),
  le: comparison((a, b) => a <= b),
  gt: comparison((a, b) => a > b),
  ge: comparison((a, b) => a >= b),
  eq: comparison((a, b) => a === b),
  ne: comparison((a, b) => a !== b),
  and: logic((a, b) => a & b),
  or: logic((a, b) => a | b),
  xor: logic((a, b) => a ^ b),
  not: [signature("b:b", (a) => 1 - a)],
  where: [signature("bff:f", chosen), signature("bii:i", chosen), signature("bbb:b", chosen)],
};

/** The signature that takes exactly these types. */
export function signatureOf(
  name: OperationName,
  types: readonly ValueType[],
): Signature | undefined {
  return OPERATIONS[name].find(({ operands }) =>
    operands.length === types.length && operands.every((type, n) => type === types[n])
  );
}
