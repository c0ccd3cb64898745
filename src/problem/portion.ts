// A part of a call that is a call of its own: some kv heads with their query heads, or some sequences. Its tensors are views
// of the same memory and so are its results: nothing is merged, and each head is computed as in the whole call.
import { OPERANDS } from "../tensor/operands.ts";
import { rowMajor } from "../tensor/shape.ts";
import type { HostTensor } from "../tensor/tensor.ts";
import { type MutableAxes, tensorAxes, type View } from "../tensor/view.ts";
import { feature } from "./features/table.ts";
import { HAD_BY } from "./precision.ts";
import { type AttentionProblem, type Call, specsOf, type Views } from "./problem.ts";

/** What a call is cut along. */
export type CutAxis = "kv heads" | "sequences";

/** Along what, and into how many pieces at most, a call can be cut; or why it cannot. */
export type Cut = { readonly axis: CutAxis; readonly units: number } | { readonly whole: string };

/** The axis of [batch, head, row, column] that a cut runs along. */
const INDEX = { "kv heads": 1, "sequences": 0 } as const;

/** How a call can be cut. `results`: those of the whole call, by name. */
export function cutOf({ problem, views }: Call, results: Views): Cut {
  const { pass, batch, kvHeads, packed, features, precision } = problem;
  if (pass !== "forward" && pass !== "backward") return { whole: "it is none of the two passes" };
  if (precision !== "f32") return { whole: `precision "${precision}" is ${HAD_BY[precision]}` };
  const all = [...Object.values(views), ...Object.values(results)];
  if (all.some(({ resident }) => resident)) return { whole: "its tensors live in one backend" };
  const records = features.map(({ name, params }) => ({ ...feature(name), params }));
  const numbered = records.find(({ traced, stage }) => traced || stage === "probability");
  if (numbered) return { whole: `${numbered.name} asks for the numbers of heads and sequences` };
  const axis: CutAxis = kvHeads >= 2 ? "kv heads" : "sequences", at = INDEX[axis];
  if (axis === "sequences" && (batch < 2 || packed || records.some(({ rotations }) => rotations))) {
    return { whole: "it has one kv head" };
  }
  const shared = Object.values(results).find(({ size }) => size[at] === 1);
  if (shared) return { whole: `all its ${axis} add to ${shared.name}` };
  return { axis, units: axis === "kv heads" ? kvHeads : batch };
}

/** A part of a view along an axis of which it has `units` pieces; all of it where it has none. */
function portionOf(
  view: View,
  at: 0 | 1,
  from: number,
  to: number,
  units: number,
  layout: "bshd" | "bhsd",
): View {
  const whole = view.size[at];
  if (whole === 1) return view;
  const each = whole / units, size: MutableAxes = [...view.size];
  size[at] = (to - from) * each;
  const { shape, strides = rowMajor(shape), data, ...rest } = view.tensor as HostTensor;
  const axis = tensorAxes(view.name, shape.length, layout)[at];
  const begin = view.offset + from * each * view.strides[at];
  const tensor = {
    ...rest,
    data: (data as Float32Array).subarray(begin),
    shape: shape.map((n, i) => i === axis ? size[at] : n),
    strides,
  };
  return { ...view, offset: 0, size, tensor };
}

/** The call of pieces `from` to before `to`, with its results in place in those of the whole call. */
export function portionCall(
  { problem, views }: Call,
  results: Views,
  { axis, units }: { readonly axis: CutAxis; readonly units: number },
  from: number,
  to: number,
): Call {
  const { layout, spans, batch, queryHeads, kvHeads } = problem, at = INDEX[axis];
  const part = (all: Views): Views =>
    Object.fromEntries(
      Object.entries(all).map(([name, view]) => [
        name,
        runsAlong(view, at) ? portionOf(view, at, from, to, units, layout) : view,
      ]),
    );
  const own = part(views), of = (whole: number) => whole / units * (to - from); // in whole numbers
  const sizes: Partial<AttentionProblem> = at === 1
    ? { queryHeads: of(queryHeads), kvHeads: of(kvHeads) }
    : { batch: of(batch), spans: spans.slice(from, to) };
  return {
    views: own,
    into: part(results),
    problem: { ...problem, ...sizes, operands: specsOf(own) },
  };
}

/** Whether an operand has an axis: a sink has no sequences. */
function runsAlong({ name }: View, at: 0 | 1): boolean {
  return OPERANDS[name].axes[at] !== "one";
}
