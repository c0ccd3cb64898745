// From graphs to programs of the tile interpreter: instructions in three sections, and what their registers are.
import { type CapturedArray, type Node, reachable } from "./node.ts";
import { fused } from "./fusion.ts";
import { Lowering } from "./lowering.ts";
import type { Opcode } from "./opcodes.ts";
import { type SymbolName, VARIES } from "./symbols.ts";
import { inOrder, type Section, usesOf, type Value } from "./values.ts";

/** Registers that every program has, in this order: the tiles of scores and of slopes, and the symbols. */
export const FIXED_REGISTERS: readonly (SymbolName | "slope")[] = [
  ...["score", "slope", "key", "query", "diagonal", "head", "kvHead"] as const,
  ...["batch", "lengthQ", "lengthK"] as const,
];

const SCORE = 0, SLOPE = 1;

/** An instruction; numbers of registers. */
export interface Instruction {
  readonly op: Opcode;
  readonly result: number;
  readonly operands: readonly number[];
}

/** What a register beyond the fixed ones is: rows of a section, of which pairs share a few, a constant or an array. */
export type Register =
  | { readonly rows: Section; readonly index: number }
  | { readonly bits: number }
  | { readonly array: CapturedArray };

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

  constructor(roots: readonly Value[]) {
    this.#left = usesOf(roots);
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
    return op === "symbol" ? FIXED_REGISTERS.indexOf(symbol!) : undefined;
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
}

/** The program of a condition that hides scores. */
export function hideProgram(root: Node): Program {
  const lowering = new Lowering(), { values } = lowering;
  const hidden = values.make("hide", [values.symbol("score"), lowering.natural(root)]);
  return program(fused(values, [hidden]), { slope: false, fades: false });
}

/**
 * The program of a function of scores; it stores the slope too where one is given that is not 1. `holes`: some scores
 * are minus infinity before, because something hid them, and stay so.
 */
export function scoreProgram(root: Node, holes: boolean, slope?: Node): Program {
  const lowering = new Lowering(), { values } = lowering, roots = [lowering.scaled(root)];
  if (holes) {
    const score = values.symbol("score"), hole = values.float(-Infinity);
    roots[0] = values.make("select", [hole, roots[0]!, values.make("eq", [score, hole])]);
  }
  const stored = slope !== undefined && !(slope.op === "constant" && slope.value === 1);
  if (stored) roots.unshift(lowering.natural(slope));
  const fades = reachable([root]).some(({ op, varies }) => op === "toFloat" && varies & VARIES.key);
  return program(fused(values, roots), { slope: stored, fades });
}

function program(roots: readonly Value[], about: Pick<Program, "slope" | "fades">): Program {
  const allocation = new Allocation(roots);
  if (about.slope) allocation.finish(roots[0]!, SLOPE);
  allocation.finish(roots.at(-1)!, SCORE);
  const { sections, registers, rows } = allocation;
  return { sections, registers, rows, ...about };
}
