// Reverse mode: the derivative of a function of scores, as further nodes of its graph.
//
// What `where` did not choose must add nothing to a result, not even 0 · ∞. So a node has beside its adjoint the
// condition under which anything flows into it, and whoever uses the adjoint selects by that.
import { apply, constant, type Graph, type Operand } from "./graph.ts";
import { type CapturedArray, type Node, reachable } from "./node.ts";
import type { OperationName } from "./operations.ts";

/** What a pair adds to the gradient of a captured array: `value` times the derivative of the result, at `index`. */
export interface CapturedTerm {
  readonly captured: CapturedArray;
  readonly index: readonly Node[];
  readonly value: Node;
}

/** Derivative of the result of a function of scores, at a pair. */
export interface Derivative {
  /** By the score; the constant 1 of functions that only add to it. */
  readonly score: Node;
  /** By elements of the captured arrays that want a gradient, one term for each place that reads them. */
  readonly captured: readonly CapturedTerm[];
}

/** Part of what flows from a node to an operand: its adjoint times `factor`, and only where `when` holds. */
interface Flow {
  readonly to: Node;
  readonly factor: Node | 1 | -1;
  readonly when?: Node;
}

/** The node of an operation, by the name of its method. */
function call(name: OperationName, ...operands: Operand[]): Node {
  return apply(name, operands);
}

/** Flows into the operands: `a` where a condition holds, `b` elsewhere. */
function choice(condition: Node, a: Node, b: Node): Flow[] {
  return [{ to: a, factor: 1, when: condition }, {
    to: b,
    factor: 1,
    when: call("not", condition),
  }];
}

function sign(a: Node): Node {
  const notNegative = call("where", call("gt", a, 0), constant(1, "float"), constant(0, "float"));
  return call("where", call("lt", a, 0), constant(-1, "float"), notNegative);
}

/** What flows from a node of one operand: the slope of a function of floats. */
function slope(node: Node, a: Node): Node | -1 | undefined {
  switch (node.op) {
    case "neg":
      return -1;
    case "abs":
      return sign(a);
    case "exp":
      return node;
    case "log":
      return call("div", 1, a);
    case "sqrt":
      return call("div", 0.5, node);
    case "tanh":
      return call("sub", 1, call("square", node));
    case "sigmoid":
      return call("mul", node, call("sub", 1, node));
    case "sin":
      return call("cos", a);
    case "cos":
      return call("neg", call("sin", a));
    case "square":
      return call("mul", 2, a);
  }
  return undefined;
}

/** What flows from a node to its operands. */
function flowsOf(node: Node): readonly Flow[] {
  const [a, b, c] = node.operands as [Node, Node, Node];
  switch (node.op) {
    case "add":
      return [{ to: a, factor: 1 }, { to: b, factor: 1 }];
    case "sub":
      return [{ to: a, factor: 1 }, { to: b, factor: -1 }];
    case "mul":
      return [{ to: a, factor: b }, { to: b, factor: a }];
    case "div":
      return [
        { to: a, factor: call("div", 1, b) },
        { to: b, factor: call("neg", call("div", node, b)) },
      ];
    case "pow":
      return [{ to: a, factor: call("mul", b, call("pow", a, b.value! - 1)) }];
    case "min":
      return choice(call("le", a, b), a, b); // of equal ones the first
    case "max":
      return choice(call("ge", a, b), a, b);
    case "where":
      return choice(a, b, c);
    default: {
      const factor = node.operands.length === 1 ? slope(node, a) : undefined;
      return factor === undefined ? [] : [{ to: a, factor }];
    }
  }
}

/** What flows into a node, and when anything does. */
interface Adjoint {
  readonly value: Node;
  readonly when: Node;
}

/** `value` where `when` holds, else 0. */
function selected({ value, when }: Adjoint): Node {
  return call("where", when, value, constant(0, "float"));
}

/** Both added up. */
function joined(a: Adjoint, b: Adjoint): Adjoint {
  if (a.when === b.when) return { value: call("add", a.value, b.value), when: a.when };
  if (a.when === call("not", b.when)) { // the two arms of one where
    return { value: call("where", a.when, a.value, b.value), when: constant(1, "bool") };
  }
  return { value: call("add", selected(a), selected(b)), when: call("or", a.when, b.when) };
}

function isSource(node: Node): boolean {
  return node.symbol === "score" || node.type === "float" && node.captured?.gradient === true;
}

/** The floats that lead from the score or from a captured array with a gradient to the result. */
function activeOf(order: readonly Node[]): Set<Node> {
  const active = new Set<Node>();
  for (const node of order) {
    const leads = isSource(node) || node.operands.some((operand) => active.has(operand));
    if (node.type === "float" && leads) active.add(node);
  }
  return active;
}

/** Adjoints of all active nodes, from the result down. */
function adjointsOf(root: Node, order: readonly Node[]): Map<Node, Adjoint> {
  const active = activeOf(order);
  const adjoints = new Map<Node, Adjoint>();
  adjoints.set(root, { value: constant(1, "float"), when: constant(1, "bool") });
  for (const node of order.toReversed()) {
    const own = adjoints.get(node);
    if (!own || !active.has(node)) continue;
    for (const { to, factor, when } of flowsOf(node)) {
      if (!active.has(to)) continue;
      const value = factor === -1 ? call("neg", own.value) : call("mul", own.value, factor);
      const flow = { value, when: when ? call("and", own.when, when) : own.when };
      const before = adjoints.get(to);
      adjoints.set(to, before ? joined(before, flow) : flow);
    }
  }
  return adjoints;
}

/** The derivative of the graph of a function of scores. Its nodes are added to the graph's trace. */
export function derivative({ root, trace }: Graph): Derivative {
  return trace.run(() => {
    const order = reachable([root]), adjoints = adjointsOf(root, order);
    const by = (node: Node | undefined) => {
      const adjoint = node && adjoints.get(node);
      return adjoint ? selected(adjoint) : constant(0, "float");
    };
    const gathers = order.filter((node) => node.captured && isSource(node) && adjoints.has(node));
    return {
      score: by(order.find(({ symbol }) => symbol === "score")),
      captured: gathers.map((node) => ({
        captured: node.captured!,
        index: node.operands,
        value: by(node),
      })),
    };
  });
}
