// From graphs to programs of the tile interpreter: instructions in three sections, and what their registers are.
import type { CapturedTerm, Derivative } from "./derivative.ts";
import { type CapturedArray, isConstant, type Node, reachable } from "./node.ts";
import { fused } from "./fusion.ts";
import { Lowering } from "./lowering.ts";
import type { Opcode } from "./opcodes.ts";
import { type SymbolName, VARIES } from "./symbols.ts";
import { inOrder, type Section, usesOf, type Value } from "./values.ts";

/**
 * Registers that every program has, in this order: the tiles of scores, of slopes and of scores as they were before,
 * and the symbols.
 */
export const FIXED_REGISTERS: readonly (SymbolName | "slope" | "before")[] = [
  ...["score", "slope", "before", "key", "query", "diagonal", "head", "kvHead"] as const,
  ...["batch", "lengthQ", "lengthK"] as const,
];

const SCORE = 0, SLOPE = 1, BEFORE = 2;

/** An instruction; numbers of registers. */
export interface Instruction {
  readonly op: Opcode;
  readonly result: number;
  readonly operands: readonly number[];
}

/**
 * What a register beyond the fixed ones is: rows of a section, of which pairs share a few, a constant, an array, or
 * sums for the elements of one.
 */
export type Register =
  | { readonly rows: Section; readonly index: number }
  | { readonly bits: number }
  | { readonly array: CapturedArray }
  | { readonly sums: CapturedArray };

/** A program. */
export interface Program {
  readonly sections: Readonly<Record<Section, readonly Instruction[]>>;
  /** Those behind the fixed ones. */
  readonly registers: readonly Register[];
  /** Rows that each section needs. */
  readonly rows: Readonly<Record<Section, number>>;
  /** Whether the slope is stored; else it is 1. */
  readonly slope: boolean;
  /** Whether scores may fall with the distance without end, so that most weights of a row may be tiny. */
  readonly fades: boolean;
  /** The arrays whose elements have sums, in their order. */
  readonly summed: readonly CapturedArray[];
}

/** Gives values their registers: those of pairs are shared by values that are not needed at the same time. */
class Allocation {
  readonly sections: Record<Section, Instruction[]> = { lane: [], key: [], pair: [] };
  readonly registers: Register[] = [];
  readonly rows: Record<Section, number> = { lane: 0, key: 0, pair: 0 };
  readonly #at = new Map<Value, number>();
  readonly #arrays = new Map<CapturedArray, number>();
  readonly #free: number[] = [];
  readonly #left: Map<Value, number>;
  /** The register of the score that values are of. */
  readonly #score: number;

  constructor(roots: readonly Value[], score = SCORE) {
    this.#left = usesOf(roots);
    this.#score = score;
  }

  #add(register: Register): number {
    return FIXED_REGISTERS.length + this.registers.push(register) - 1;
  }

  #row(section: Section): number {
    return (section === "pair" && this.#free.pop()) ||
      this.#add({ rows: section, index: this.rows[section]++ });
  }

  #array(array: CapturedArray): number {
    const known = this.#arrays.get(array) ?? this.#add({ array });
    this.#arrays.set(array, known);
    return known;
  }

  /** A value was read once. */
  #release(value: Value): void {
    const left = this.#left.get(value)! - 1, register = this.#at.get(value)!;
    this.#left.set(value, left);
    const shared = value.section === "pair" && register >= FIXED_REGISTERS.length;
    if (left === 0 && shared) this.#free.push(register);
  }

  #place({ op, symbol, bits }: Value): number | undefined {
    if (op === "constant") return this.#add({ bits: bits! });
    if (op !== "symbol") return undefined;
    if (symbol === "gradient") return SCORE;
    return symbol === "score" ? this.#score : FIXED_REGISTERS.indexOf(symbol!);
  }

  /** The register of a value that has one. */
  at(value: Value): number {
    return this.#at.get(value)!;
  }

  /** Computes a value, into `target` where one is given, unless it was computed before. */
  compute(value: Value, target?: number): void {
    if (this.#at.has(value)) return;
    const place = this.#place(value);
    if (place !== undefined) {
      this.#at.set(value, place);
      return;
    }
    const operands = value.operands.map((operand) => this.#at.get(operand)!);
    if (value.array) operands.splice(1, 0, this.#array(value.array));
    // given up before the result takes one: rows are read before they are written
    value.operands.forEach((operand) => this.#release(operand));
    const result = target ?? this.#row(value.section);
    this.#at.set(value, result);
    this.sections[value.section].push({ op: value.op as Opcode, result, operands });
  }

  /** Brings a root into a fixed register; the score comes last, since it may be read until then. */
  finish(root: Value, target: number): void {
    const direct = root.section === "pair" && root.op !== "symbol";
    for (const value of inOrder([root])) {
      this.compute(value, value === root && direct ? target : undefined);
    }
    if (this.at(root) !== target) {
      this.sections.pair.push({ op: "copy", result: target, operands: [this.at(root)] });
    }
    this.#release(root);
  }

  /** Keeps the scores as they are now. */
  keepScores(): void {
    this.sections.pair.push({ op: "copy", result: BEFORE, operands: [SCORE] });
  }

  /** Adds a value to the sum of element a + c. */
  scatter(value: Value, [a, c]: readonly [Value, Value], sums: number): void {
    for (const one of inOrder([value, a, c])) this.compute(one);
    const operands = [this.at(a), sums, this.at(c)];
    this.sections.pair.push({ op: "scatter", result: this.at(value), operands });
    for (const one of [value, a, c]) this.#release(one);
  }

  /** The register of the sums of an array. */
  sumsOf(array: CapturedArray): number {
    return this.#add({ sums: array });
  }
}

/** The program of a condition that hides scores. */
export function hideProgram(root: Node): Program {
  const lowering = new Lowering(), { values } = lowering;
  const hidden = values.make("hide", [values.symbol("score"), lowering.natural(root)]);
  return program(fused(values, [hidden]), { slope: false, before: false, fades: false });
}

/** Whether what pairs bring to the gradients of captured arrays depends on their scores. */
function readsScore(terms: readonly CapturedTerm[]): boolean {
  return terms.some(({ value }) => (value.varies & VARIES.score) !== 0);
}

/**
 * The program of a function of scores; with its derivative it stores the slope too where that is not 1, and the scores
 * where `gradientProgram` reads them. `holes`: some scores are minus infinity before, because something hid them, and
 * stay so.
 */
export function scoreProgram(root: Node, holes: boolean, derivative?: Derivative): Program {
  const lowering = new Lowering(), { values } = lowering, roots = [lowering.scaled(root)];
  if (holes) {
    const score = values.symbol("score"), hole = values.float(-Infinity);
    roots[0] = values.make("select", [hole, roots[0]!, values.make("eq", [score, hole])]);
  }
  const slope = derivative?.score, stored = slope !== undefined && !isConstant(slope, 1);
  if (stored) roots.unshift(lowering.natural(slope));
  const before = derivative !== undefined && readsScore(derivative.captured);
  const fades = reachable([root]).some(({ op, varies }) => op === "toFloat" && varies & VARIES.key);
  return program(fused(values, roots), { slope: stored, before, fades });
}

function program(
  roots: readonly Value[],
  { before, ...about }: Pick<Program, "slope" | "fades"> & { readonly before: boolean },
): Program {
  const allocation = new Allocation(roots);
  if (before) allocation.keepScores();
  if (about.slope) allocation.finish(roots[0]!, SLOPE);
  allocation.finish(roots.at(-1)!, SCORE);
  const { sections, registers, rows } = allocation;
  return { sections, registers, rows, ...about, summed: [] };
}

/**
 * The program that adds what pairs bring to the gradients of captured arrays; the tile holds dS, the one of scores as
 * they were before the scores that the function was given. `summed`: the arrays in the order in which sums lie.
 */
export function gradientProgram(
  terms: readonly CapturedTerm[],
  summed: readonly CapturedArray[],
): Program {
  const lowering = new Lowering(), { values } = lowering, gradient = values.symbol("gradient");
  const roots = terms.flatMap(({ captured, index, value }) => {
    const share = isConstant(value, 1)
      ? gradient
      : values.make("weigh", [gradient, lowering.natural(value)]);
    return [share, ...lowering.placeIn(captured, index)];
  });
  const ready = fused(values, roots), allocation = new Allocation(ready, BEFORE);
  const sums = new Map(summed.map((array) => [array, allocation.sumsOf(array)]));
  terms.forEach(({ captured }, n) => {
    const [share, a, c] = ready.slice(3 * n, 3 * n + 3) as [Value, Value, Value];
    allocation.scatter(share, [a, c], sums.get(captured)!);
  });
  const { sections, registers, rows } = allocation;
  return { sections, registers, rows, slope: false, fades: false, summed };
}
