// Results where the caller has room for them: each destination is one of the results of the call, in its shape and type, and
// shares no memory with what the call reads or with another.
import type { BackwardCallOptions, CallOptions, SavedForBackward } from "./call_options.ts";
import {
  type AttentionProblem,
  type Call,
  CALL_NAMES,
  describeBackward,
  describeForward,
} from "./problem.ts";
import { type ResultSpec, resultSpecs } from "./results.ts";
import { Complaint, show } from "../tensor/errors.ts";
import { OPERAND_NAMES, type OperandName, OPERANDS } from "../tensor/operands.ts";
import type { AnyTensor } from "../tensor/tensor.ts";
import { extentOf, sameShape } from "../tensor/shape.ts";
import { elementBytes, rankOf, type View, viewOperand } from "../tensor/view.ts";

/** Where results go, by name. */
export type Destinations = { readonly [name in OperandName]?: View };

/** The results of a pass that may have one. */
const NAMES: { readonly [pass in "forward" | "backward"]: readonly OperandName[] } = {
  forward: ["out", "lse"],
  backward: OPERAND_NAMES.filter((name) => OPERANDS[name].gradientOf),
};
const ALL: readonly string[] = [...NAMES.forward, ...NAMES.backward];

/** Checks a forward call, which takes `out` and `lse` of its option `into`. */
export function forwardCall(q: AnyTensor, k: AnyTensor, v: AnyTensor, options: CallOptions): Call {
  return withInto(describeForward(q, k, v, options), "forward", options.into);
}

/** Checks a backward call, which takes the gradients of its option `into`. */
export function backwardCall(
  dOut: AnyTensor,
  saved: SavedForBackward,
  options: BackwardCallOptions,
): Call {
  return withInto(describeBackward(dOut, saved, options), "backward", options.into);
}

function withInto(call: Call, pass: "forward" | "backward", into: unknown): Call {
  if (into === undefined) return call;
  const complaint = new Complaint(CALL_NAMES[pass]);
  if (typeof into !== "object" || into === null || ArrayBuffer.isView(into)) {
    throw complaint.type(`into is ${show(into)} but must be an object of tensors`);
  }
  const specs = resultSpecs(call.problem, call.views);
  const found: { [name in OperandName]?: View } = {};
  const given: { [name in OperandName]?: AnyTensor } = {};
  for (const [key, tensor] of Object.entries(into)) {
    if (!ALL.includes(key)) {
      throw complaint.type(
        `into has the unknown name ${show(key)}, wanted one of ${ALL.join(", ")}`,
      );
    }
    if (tensor === undefined || !NAMES[pass].includes(key as OperandName)) continue;
    const name = key as OperandName, spec = specs.find((spec) => spec.name === name);
    if (!spec) {
      const operand = OPERANDS[name].gradientOf;
      throw complaint.type(`into.${name} is given but the call has no ${operand}`);
    }
    found[name] = destination(spec, tensor as AnyTensor, call.problem, complaint);
    given[name] = tensor as AnyTensor;
  }
  checkApart(found, call.views, complaint);
  return Object.keys(found).length > 0 ? { ...call, into: found, given } : call;
}

/** A tensor that a result goes to. */
function destination(
  { name, shape, dtype }: ResultSpec,
  given: AnyTensor,
  { layout }: AttentionProblem,
  complaint: Complaint,
): View {
  const called = `into.${name}`, packed = shape.length === rankOf(name, true);
  const view = viewOperand(name, given, layout, complaint, packed, called);
  const { shape: own } = view.tensor;
  if (!sameShape(own, shape)) {
    throw complaint.range(`${called} has shape ${show(own)} but must have ${show(shape)}`);
  }
  if (view.dtype !== dtype) {
    throw complaint.type(`${called} has dtype ${show(view.dtype)} but must have ${show(dtype)}`);
  }
  if (overlapsItself(view)) {
    const { strides } = view.tensor as { strides?: readonly number[] };
    throw complaint.range(
      `${called} has strides ${show(strides)} but every element must have a place of its own`,
    );
  }
  return view;
}

/** Axes that an element's place depends on, from the longest stride on. */
function movingAxes({ size, strides }: View): { size: number; stride: number }[] {
  return size.map((n, axis) => ({ size: n, stride: strides[axis]! }))
    .filter(({ size }) => size > 1).sort((a, b) => b.stride - a.stride);
}

/** Whether two elements may have one place: where an axis does not step over all that shorter strides reach. */
function overlapsItself(view: View): boolean {
  if (view.size.includes(0)) return false;
  let reach = 1;
  for (const { size, stride } of movingAxes(view).reverse()) {
    if (stride < reach) return true;
    reach += (size - 1) * stride;
  }
  return false;
}

/** Where a view lies: the memory, and bytes of it. */
function placeOf(view: View): { memory: object; begin: number; end: number } {
  const { tensor, offset, size, strides } = view, bytes = elementBytes(view);
  const at = tensor as { data?: ArrayBufferView; buffer?: object; byteOffset?: number };
  const memory = at.data?.buffer ?? at.buffer ?? tensor; // a buffer of a GPU may hold several tensors
  const begin = (at.data?.byteOffset ?? at.byteOffset ?? 0) + offset * bytes;
  return { memory, begin, end: begin + extentOf(size, strides) * bytes };
}

const gcd = (a: number, b: number): number => b === 0 ? a : gcd(b, a % b);

/** Runs of a view that lie one behind the other: their length, and what the distance of any two is a multiple of. */
function runsOf(view: View): { length: number; step: number } {
  const bytes = elementBytes(view);
  let length = 1, step = 0;
  for (const { size, stride } of movingAxes(view).reverse()) {
    if (step === 0 && stride === length) length *= size;
    else step = gcd(step, stride);
  }
  return { length: length * bytes, step: step * bytes };
}

/** Whether two views may share an element; parts of one array, such as those of a packed [q, k, v], need not. */
function mayShare(a: View, b: View): boolean {
  const p = placeOf(a), q = placeOf(b);
  if (p.memory !== q.memory || p.begin >= q.end || q.begin >= p.end) return false;
  const x = runsOf(a), y = runsOf(b), step = gcd(x.step, y.step);
  if (step === 0) return true;
  const behind = ((q.begin - p.begin) % step + step) % step; // of q's runs behind p's
  return behind < x.length || step - behind < y.length;
}

function checkApart(into: Destinations, views: Call["views"], complaint: Complaint): void {
  const given = Object.values(into);
  given.forEach((view, n) => {
    const others = [
      ...given.slice(0, n).map((other) => [other, `into.${other.name}`] as const),
      ...Object.values(views).map((other) => [other, other.name] as const),
    ];
    for (const [other, name] of others) {
      if (!mayShare(view, other)) continue;
      throw complaint.range(`into.${view.name} shares memory with ${name} but must have its own`);
    }
  });
}
