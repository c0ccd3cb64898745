// A function of scores or of visibility for a rectangle of a call, whose queries and keys count from its begin.
import { apply, constant, gather, type Graph, symbol, Trace } from "./graph.ts";
import type { CapturedArray, Node } from "./node.ts";
import type { SymbolName } from "./symbols.ts";

/** A rectangle, and the lengths of the call that it belongs to. */
export interface Rectangle {
  readonly queryBegin: number;
  readonly keyBegin: number;
  readonly lengthQ: number;
  /** Of each sequence. */
  readonly lengthsK: readonly number[];
}

/** The graph of a function that says of the pairs of a rectangle what `graph` says of them in the whole call. */
export function ofRectangle({ root }: Graph, rectangle: Rectangle): Graph {
  const { queryBegin, keyBegin, lengthQ, lengthsK } = rectangle, trace = new Trace();
  // an array and no constants: the text of a GPU's kernel is that of all rectangles
  const data = Int32Array.of(queryBegin, keyBegin, lengthQ, ...lengthsK);
  const facts: CapturedArray = { data, shape: [data.length], gradient: false };
  const fact = (index: Node | number) => gather(facts, [index]);
  const shifted = (name: SymbolName, at: number) => apply("add", [symbol(name), fact(at)]);
  const symbols: { readonly [name in SymbolName]?: () => Node } = {
    query: () => shifted("query", 0),
    key: () => shifted("key", 1),
    diagonal: () => shifted("diagonal", 1),
    lengthQ: () => fact(2),
    lengthK: () => fact(apply("add", [symbol("batch"), constant(3, "int")])),
  };
  const adopted = trace.run(() => trace.adopt(root, (name) => symbols[name]?.()));
  return { root: adopted, trace };
}
