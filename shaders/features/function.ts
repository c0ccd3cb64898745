// What features that are functions have in common: hooks made from the text of a program.
import { shaderName } from "../../src/tensor/operands.ts";
import type { Node } from "../../src/expression/node.ts";
import { ProgramText, type Widths } from "../expression/program.ts";
import type { Program } from "../parts/variant.ts";
import type { PairAt, ScoreType, ShaderFeature, Side } from "./feature.ts";

/** Widths of the two sides of a tile, or of a single pair. */
function widthsOf(type: ScoreType, side: Side): Widths {
  if (type === "f32") return { query: 1, key: 1 };
  return side === "rows are queries" ? { query: 1, key: 4 } : { query: 4, key: 1 };
}

/** Calls of the functions of a program, by name, and the hooks that make what they are given. */
export interface FunctionHooks extends Pick<ShaderFeature, "declare" | "perQuery" | "perKey"> {
  call(name: string, at: PairAt, s: string): string;
}

/** Hooks of a feature that is a program; `roots`: what it computes, by name. */
export function functionHooks(
  name: ShaderFeature["name"],
  program: Program,
  roots: Readonly<Record<string, Node>>,
): FunctionHooks {
  const text = new ProgramText(program, shaderName(name), Object.values(roots));
  const shares = (side: "query" | "key", count: number, parameters: string) =>
    Object.fromEntries(
      Array.from(
        { length: count },
        (_, n) => [`x${n}`, `${text.shareName(side, n)}(${parameters})`],
      ),
    );
  return {
    declare: (type, _, side) => text.declare(widthsOf(type, side), roots),
    perQuery: ({ batch, head, query, offset }) =>
      shares("query", text.ofQuery.length, `${batch}, ${head}, ${query}, ${offset}`),
    perKey: ({ batch, key }) => shares("key", text.ofKey.length, `${batch}, ${key}`),
    call: (root, at, s) =>
      text.call(root, roots[root]!, s, (n) => at.ofQuery(`x${n}`), (n) => at.ofKey(`x${n}`)),
  };
}

/** A record that is made of a program, once for each. */
export function ofProgram(
  make: (program: Program) => ShaderFeature,
): (program: Program) => ShaderFeature {
  const known = new WeakMap<Program, ShaderFeature>();
  return (program) => {
    let record = known.get(program);
    if (!record) known.set(program, record = make(program));
    return record;
  };
}
