// Functions of scores and of visibility: what a user's function says, run once on symbols.
import { Complaint, show } from "../tensor/errors.ts";
import { gradientProgram, hideProgram, type Program, scoreProgram } from "./bytecode.ts";
import type { BoolExpression, FloatExpression, IntExpression } from "./expressions.ts";
import { apply, constant, type Graph, isExpression, symbol, Trace } from "./graph.ts";
import type { Domain } from "./intervals.ts";
import { learnedArrays } from "./node.ts";
import { checkCapturedRanges } from "./captured_ranges.ts";
import { domainClassifier } from "./classify.ts";
import { type Derivative, derivative } from "./derivative.ts";
import { encode } from "./encoding.ts";
import { checkPresent, holdIndices } from "./held.ts";
import type { ValueType } from "./operations.ts";
import { ofRectangle, type Rectangle } from "./rectangle.ts";
import { type SymbolName, SYMBOLS } from "./symbols.ts";
import { carry, type Traced, tracedOf, type WantedProgram } from "./traced.ts";

/** What the function given to `maskMod` may use. All are of the sequence that the pair belongs to. */
export interface MaskSymbols {
  /** Which sequence. */
  readonly batch: IntExpression;
  /** Which query head. */
  readonly head: IntExpression;
  /** Which key head: `head` over the number of query heads that share one. */
  readonly kvHead: IntExpression;
  /** Number of the query, from 0. */
  readonly query: IntExpression;
  /** Number of the key, from 0. */
  readonly key: IntExpression;
  /** How many queries there are. */
  readonly lengthQ: IntExpression;
  /** How many keys there are. */
  readonly lengthK: IntExpression;
  /** The key that the query stands at: `query` plus the causal offset, by default `lengthK − lengthQ`. */
  readonly diagonal: IntExpression;
}

/** What the function given to `scoreMod` may use. */
export interface ScoreSymbols extends MaskSymbols {
  /** The score: q · k times the scale, after softcap, slopes and bias; in natural units. */
  readonly score: FloatExpression;
}

/** A function of scores, ready for any call: see `scoreMod`. */
export interface ScoreMod {
  /** Tells it from a `MaskMod`. */
  readonly kind: "scoreMod";
}

/** A function that says which pairs are visible, ready for any call: see `maskMod`. */
export interface MaskMod {
  /** Tells it from a `ScoreMod`. */
  readonly kind: "maskMod";
  /** Shows the pairs that both show. */
  and(other: MaskMod): MaskMod;
  /** Shows the pairs that at least one shows. */
  or(other: MaskMod): MaskMod;
  /** Shows the pairs that this one hides. */
  not(): MaskMod;
}

/** Compiles the programs of a function, each once. */
function compiler(compile: (wanted: WantedProgram) => Program): Traced["program"] {
  const compiled = new Map<string, Program>();
  return (wanted, rows) => {
    const key = JSON.stringify(wanted), program = compiled.get(key) ?? compile(wanted);
    compiled.set(key, program);
    return encode(program, rows);
  };
}

/** `Traced.checked`, of any function. */
function checked(this: Traced, domains: readonly Domain[], complaint: Complaint): Traced {
  const { root } = this.graph;
  checkPresent(root, complaint);
  const held = holdIndices(root);
  checkCapturedRanges([root], domains, held, complaint);
  return held.size > 0 ? { ...this, held } : this;
}

/** What a function of scores is to the rest of the library. */
function scoreOf(graph: Graph): Traced {
  let derived: Derivative | undefined;
  const ownDerivative = () => derived ??= derivative(graph);
  const program = compiler((wanted) =>
    scoreProgram(graph.root, wanted.holes, wanted.slope ? ownDerivative() : undefined)
  );
  let sums: Program | undefined;
  const gradient: Traced["gradientProgram"] = (rows) => {
    const learned = learnedArrays(graph.root);
    if (learned.length === 0) return undefined;
    return encode(sums ??= gradientProgram(ownDerivative().captured, learned), rows);
  };
  const within = (rectangle: Rectangle) => scoreOf(ofRectangle(graph, rectangle));
  return {
    ...{ kind: "scoreMod", graph, checked, program, within },
    ...{ derivative: ownDerivative, gradientProgram: gradient },
  };
}

/** The same of a mask. */
export function maskOf(graph: Graph): Traced {
  const classifier: Traced["classifier"] = (domain, known) =>
    domainClassifier(graph, domain, known);
  const program = compiler(() => hideProgram(graph.root));
  const within = (rectangle: Rectangle) => maskOf(ofRectangle(graph, rectangle));
  return {
    kind: "maskMod",
    graph,
    checked,
    program,
    derivative: () => undefined,
    classifier,
    within,
  };
}

class TracedScore implements ScoreMod {
  readonly kind = "scoreMod";

  constructor(graph: Graph) {
    Object.assign(this, carry(scoreOf(graph)));
  }
}

class TracedMask implements MaskMod {
  readonly kind = "maskMod";
  readonly #graph: Graph;

  constructor(graph: Graph) {
    this.#graph = graph;
    Object.assign(this, carry(maskOf(graph)));
  }

  and(other: MaskMod): MaskMod {
    return this.#join("and", other);
  }

  or(other: MaskMod): MaskMod {
    return this.#join("or", other);
  }

  not(): MaskMod {
    const trace = new Trace(), own = trace.adopt(this.#graph.root);
    return new TracedMask({ root: trace.run(() => apply("not", [own])), trace });
  }

  /** Both graphs as one: what they share is one node. */
  #join(name: "and" | "or", other: MaskMod): MaskMod {
    const joined = tracedOf(other, "maskMod");
    if (!joined) {
      throw new TypeError(`Cannot apply ${name}: ${show(other)} is no mask of maskMod or masks`);
    }
    const trace = new Trace(), graphs = [this.#graph, joined.graph];
    const both = graphs.map(({ root }) => trace.adopt(root));
    return new TracedMask({ root: trace.run(() => apply(name, both)), trace });
  }
}

/** Says what is wrong where a mask asks for the score. */
function withoutScore(symbols: object, complaint: Complaint): object {
  return Object.defineProperty(symbols, "score", {
    get() {
      throw complaint.type("a mask knows no score: it says which scores are computed");
    },
  });
}

/** Runs `build` on symbols. */
function traced(
  name: "scoreMod" | "maskMod",
  wanted: ValueType,
  symbols: readonly SymbolName[],
  build: unknown,
): Graph {
  const complaint = new Complaint(name), trace = new Trace();
  if (typeof build !== "function") {
    throw complaint.type(`its argument is ${show(build)} but must be a function of symbols`);
  }
  const result: unknown = trace.run(() => {
    const given = Object.fromEntries(symbols.map((name) => [name, symbol(name)]));
    return build(wanted === "bool" ? withoutScore(given, complaint) : given);
  });
  if (typeof result === "boolean" && wanted === "bool") {
    return { root: trace.run(() => constant(Number(result), "bool")), trace };
  }
  const type = isExpression(result) ? result.type : show(result);
  if (type !== wanted) {
    throw complaint.type(`the function returned ${type} but must return ${wanted}`);
  }
  if (!trace.owns(result)) {
    throw complaint.type("the function returned an expression that another function made");
  }
  return { root: result, trace };
}

const ALL = Object.keys(SYMBOLS) as SymbolName[];

/**
 * Makes a function of scores. `build` runs once, on symbols, and returns the new score; its derivative follows from it
 * (FlexAttention score_mod).
 *
 * @throws {TypeError} Where types do not fit, or the result is no float.
 * @throws {RangeError} Where an integer is divided by a plain 0.
 *
 * @example ALiBi
 * ```ts
 * import { attention, captured, scoreMod } from "@flashtile/attention";
 *
 * const slopes = captured(Float32Array.of(0.5, 0.25), [2]);
 * const alibi = scoreMod(({ score, head, diagonal, key }) =>
 *   score.sub(slopes.at(head).mul(diagonal.sub(key).abs().toFloat()))
 * );
 * const x = { data: new Float32Array(64 * 2 * 32).fill(0.1), shape: [1, 64, 2, 32] };
 * const { out } = await attention(x, x, x, { scoreMod: alibi });
 * console.log(out.shape);
 * ```
 */
export function scoreMod(build: (symbols: ScoreSymbols) => FloatExpression): ScoreMod {
  return new TracedScore(traced("scoreMod", "float", ALL, build));
}

/**
 * Makes a function that says which pairs are visible. `build` runs once, on symbols, and returns a condition. Tiles that
 * it hides as a whole are skipped (FlexAttention mask_mod).
 *
 * @throws {TypeError} Where types do not fit, or the result is no boolean.
 * @throws {RangeError} Where an integer is divided by a plain 0.
 *
 * @example A prefix that all see, the rest causal
 * ```ts
 * import { attention, maskMod } from "@flashtile/attention";
 *
 * const prefix = maskMod(({ query, key }) => key.lt(10).or(key.le(query)));
 * const x = { data: new Float32Array(64 * 32).fill(0.1), shape: [1, 64, 1, 32] };
 * const { out } = await attention(x, x, x, { maskMod: prefix });
 * console.log(out.shape);
 * ```
 */
export function maskMod(build: (symbols: MaskSymbols) => BoolExpression | boolean): MaskMod {
  return new TracedMask(traced("maskMod", "bool", ALL.filter((name) => name !== "score"), build));
}
