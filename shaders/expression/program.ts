// A function of scores or of visibility as kernels need it: what depends on the query alone and what on the key alone
// are functions of their own, whose values a tile makes once a row or column; the rest is a function of those.
import { apply, constant, type Graph } from "../../src/expression/graph.ts";
import type { Traced } from "../../src/expression/traced.ts";
import {
  capturedArrays,
  isConstant,
  learnedArrays,
  type Node,
  reachable,
} from "../../src/expression/node.ts";
import { type SymbolName, VARIES } from "../../src/expression/symbols.ts";
import { count } from "../../src/tensor/shape.ts";
import type { Program } from "../parts/variant.ts";
import { Emitter, neededTexts, type Needs, noNeeds, type Scope } from "./emit.ts";
import { type Term, typeOf, widened, type Width } from "./terms.ts";

/** Pairs that a row of the tile and a column vector of it are: one and four, or the other way round. */
export interface Widths {
  readonly query: Width;
  readonly key: Width;
}

/** Whose values a node can be made from. */
type Side = "query" | "key" | "pair";

function sideOf({ varies }: Node): Side {
  const { query, key, score, head } = VARIES;
  if (varies & score || (varies & key && varies & (query | head))) return "pair";
  return varies & key ? "key" : "query";
}

/** The nodes of a side that other sides, or the result, take. */
function frontier(roots: readonly Node[], side: Side): Node[] {
  const taken = new Set(roots);
  for (const node of reachable(roots)) {
    if (sideOf(node) === "pair") node.operands.forEach((operand) => taken.add(operand));
  }
  return [...taken].filter((node) => sideOf(node) === side && !isConstant(node))
    .sort((a, b) => a.id - b.id);
}

/** Symbols as kernels count them: from the begin of the region, whose place is in the uniform block. */
function symbolTerm(name: SymbolName, at: string, { query, key }: Widths): Term {
  const integer = (value: string, begin: string, width: Width): Term => {
    const splat = width === 1 ? begin : `vec4<u32>(${begin})`;
    return { text: `${typeOf("int", width)}(${value} + ${splat})`, width };
  };
  const group = query === 1 ? "U.group" : "vec4<u32>(U.group)";
  switch (name) {
    case "batch":
      return integer("batch", "U.batch_begin", 1);
    case "head":
      return integer("head", "U.head_begin", query);
    case "kvHead":
      return integer(`head / ${group}`, "U.kv_head_begin", query);
    case "query":
      return integer("query", "U.query_begin", query);
    case "key":
      return integer("key", "U.key_begin", key);
    case "diagonal": {
      const offset = "(offset + i32(U.key_begin))", type = typeOf("int", query);
      return {
        text: `${type}(query) + ${query === 1 ? offset : `${type}${offset}`}`,
        width: query,
      };
    }
    case "lengthQ":
      return { text: "i32(U.query_count)", width: 1 };
    case "lengthK":
      return { text: `i32(schedule[${at} + batch])`, width: 1 };
    case "score":
      return { text: "s", width: Math.max(query, key) as Width };
  }
}

/** Where captured arrays begin, in words behind the lengths of the sequences; their number and words in all. */
export function placesOf(arrays: Program["arrays"]): number[] {
  let at = 0;
  return arrays.map(({ shape }) => {
    const begin = at;
    at += count(shape);
    return begin;
  });
}

/** The text of a program for tiles of some widths. */
export class ProgramText {
  readonly #program: Program;
  readonly #stem: string;
  /** What is made once a row, and once a column. */
  readonly ofQuery: readonly Node[];
  readonly ofKey: readonly Node[];

  /** `stem`: begins all names. `roots`: what is wanted of it. */
  constructor(program: Program, stem: string, roots: readonly Node[]) {
    this.#program = program;
    this.#stem = stem;
    this.ofQuery = frontier(roots, "query");
    this.ofKey = frontier(roots, "key");
  }

  /** The word where the program's share of the schedule begins. */
  get #at(): string {
    return `U.${this.#stem}_at`;
  }

  #scope(widths: Widths, given: ReadonlyMap<Node, Term>): Scope {
    const { arrays } = this.#program, places = placesOf(arrays);
    return {
      stem: this.#stem,
      given,
      symbol: (name) => symbolTerm(name, this.#at, widths),
      captured: ({ captured }) => `${this.#at} + U.batch + ${places[arrays.indexOf(captured!)]!}u`,
    };
  }

  #body(
    root: Node,
    widths: Widths,
    width: Width,
    given: ReadonlyMap<Node, Term>,
    needs: Needs,
  ): string {
    const emitter = new Emitter(this.#scope(widths, given), needs);
    const result = widened(emitter.term(root), root.type, width);
    return `${[...emitter.lines, `  return ${result};`].join("\n")}\n}`;
  }

  /** Width of a value of a side; what the whole row of a tile shares is one. */
  #widthOf(node: Node, { query, key }: Widths): Width {
    const { query: q, head } = VARIES;
    if (sideOf(node) === "key") return key;
    return node.varies & (q | head) ? query : 1;
  }

  #shares(side: "query" | "key", widths: Widths, needs: Needs): string[] {
    const nodes = side === "query" ? this.ofQuery : this.ofKey;
    const index = (width: Width) => width === 1 ? "u32" : "vec4<u32>";
    const parameters = side === "query"
      ? `batch: u32, head: ${index(widths.query)}, query: ${index(widths.query)}, offset: i32`
      : `batch: u32, key: ${index(widths.key)}`;
    return nodes.map((node, n) => {
      const width = this.#widthOf(node, widths), type = typeOf(node.type, width);
      return `fn ${this.shareName(side, n)}(${parameters}) -> ${type} {\n${
        this.#body(node, widths, width, new Map(), needs)
      }`;
    });
  }

  /** The function that makes share n of a side, of (batch, head, query, offset) or (batch, key). */
  shareName(side: "query" | "key", n: number): string {
    return `${this.#stem}_${side}_${n}`;
  }

  #pair(name: string, root: Node, widths: Widths, needs: Needs): string {
    const given = new Map<Node, Term>(), width = Math.max(widths.query, widths.key) as Width;
    const parameters = reachable([root]).some(({ symbol }) => symbol === "score")
      ? [`s: ${typeOf("float", width)}`]
      : [];
    for (const [letter, nodes] of [["q", this.ofQuery], ["k", this.ofKey]] as const) {
      nodes.forEach((node, n) => {
        const share = `${letter}${n}`, own = this.#widthOf(node, widths);
        given.set(node, { text: share, width: own });
        parameters.push(`${share}: ${typeOf(node.type, own)}`);
      });
    }
    const type = typeOf(root.type, width), body = this.#body(root, widths, width, given, needs);
    return `fn ${this.#stem}_${name}(${parameters.join(", ")}) -> ${type} {\n${body}`;
  }

  /** Declares everything; `roots` by the names of their functions. */
  declare(widths: Widths, roots: Readonly<Record<string, Node>>): string {
    const needs = noNeeds();
    const texts = [
      ...this.#shares("query", widths, needs),
      ...this.#shares("key", widths, needs),
      ...Object.entries(roots).map(([name, root]) => this.#pair(name, root, widths, needs)),
    ];
    return [...neededTexts(this.#stem, needs), ...texts].join("\n");
  }

  /** Calls the function of a root; `s`: the score. */
  call(
    name: string,
    root: Node,
    s: string,
    ofQuery: (share: string) => string,
    ofKey: (share: string) => string,
  ): string {
    const score = reachable([root]).some(({ symbol }) => symbol === "score") ? [s] : [];
    const shares = [
      ...this.ofQuery.map((_, n) => ofQuery(`${n}`)),
      ...this.ofKey.map((_, n) => ofKey(`${n}`)),
    ];
    return `${this.#stem}_${name}(${[...score, ...shares].join(", ")})`;
  }
}

/** The nodes of a graph as text: equal for graphs that have the same WGSL. */
function keyOf(nodes: readonly Node[], arrays: Program["arrays"]): string {
  const numbers = new Map(nodes.map((node, n) => [node, n]));
  return nodes.map(({ op, type, operands, value, symbol, captured }) => {
    const detail = captured
      ? `${arrays.indexOf(captured)}[${captured.shape}]`
      : symbol ?? (Object.is(value, -0) ? "-0" : value ?? "");
    return `${op} ${type} ${detail}(${operands.map((one) => numbers.get(one))})`;
  }).join(";");
}

const known = new WeakMap<Graph, Program>();

const learning = new WeakMap<Graph, Program>();

/** The program of a function with what its captured arrays learn; undefined where none does. */
export function learningProgramOf(traced: Traced): Program | undefined {
  const { graph } = traced, arrays = learnedArrays(graph.root);
  if (arrays.length === 0) return undefined;
  let program = learning.get(graph);
  if (!program) {
    const own = programOf(traced), begins = placesOf(arrays);
    const learned = graph.trace.run(() =>
      traced.derivative()!.captured.map(({ captured, index, value }) => ({
        share: value,
        place: index.reduce<Node>(
          (at, axis, n) => apply("add", [apply("mul", [at, captured.shape[n]!]), axis]),
          constant(0, "int"),
        ),
        begin: begins[arrays.indexOf(captured)]!,
      })).map(({ share, place, begin }) => ({ share, place: apply("add", [place, begin]) }))
    );
    const nodes = reachable(learned.flatMap(({ share, place }) => [share, place]));
    program = { ...own, learned, key: `${own.key} learns ${keyOf(nodes, own.arrays)}` };
    learning.set(graph, program);
  }
  return program;
}

/** The program of a function. */
export function programOf({ graph, derivative }: Traced): Program {
  let program = known.get(graph);
  if (!program) {
    const nodes = reachable([graph.root]), arrays = capturedArrays([graph.root]);
    program = { root: graph.root, slope: derivative()?.score, arrays, key: keyOf(nodes, arrays) };
    known.set(graph, program);
  }
  return program;
}
