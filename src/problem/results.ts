// What a call returns, before there is memory for it: results look like inputs of the call.
import { type DType, newArray, type TensorData } from "../tensor/dtype.ts";
import type { MergePart, MergeShape } from "./merge.ts";
import {
  axisSize,
  gradientNames,
  type OperandName,
  OPERANDS,
  operandSize,
} from "../tensor/operands.ts";
import { count, rowMajor } from "../tensor/shape.ts";
import { type Axes, forAxes, type OperandSpec, tensorAxes, type View } from "../tensor/view.ts";
import type { Layout } from "./call_options.ts";
import { type AttentionProblem, insideNames, type Views } from "./problem.ts";
import type { TurnCall } from "./rotations.ts";
import type { AnyTensor, HostTensor } from "../tensor/tensor.ts";

/** A result that is to be made, row-major. */
export interface ResultSpec extends OperandSpec {
  readonly name: OperandName;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** The input that it looks like: resident where that is, in the same kind of array. */
  readonly like: View;
}

/** `shape` belongs to a tensor of the operand `name`. */
function specLike(
  like: View,
  name: OperandName,
  dtype: DType,
  shape: readonly number[],
  layout: Layout,
): ResultSpec {
  const axes = tensorAxes(name, shape.length, layout), dense = rowMajor(shape);
  const pick = (from: readonly number[]): Axes =>
    forAxes((axis) => axes[axis] < 0 ? 1 : from[axes[axis]]!);
  return {
    name,
    like,
    dtype,
    shape,
    resident: like.resident,
    size: pick(shape),
    strides: pick(dense),
  };
}

/** Every result of a problem, in the order in which calls return them. */
export function resultSpecs(problem: AttentionProblem, views: Views): ResultSpec[] {
  const { batch, queryHeads, lengthQ, valueDim, layout } = problem, q = views.q!;
  if (problem.pass === "forward") {
    const packed = problem.packed?.queries?.rows;
    const shape = packed !== undefined
      ? [packed, queryHeads, valueDim]
      : layout === "bshd"
      ? [batch, lengthQ, queryHeads, valueDim]
      : [batch, queryHeads, lengthQ, valueDim];
    const rows = packed !== undefined ? [queryHeads, packed] : [batch, queryHeads, lengthQ];
    return [
      specLike(q, "out", q.dtype as DType, shape, layout),
      ...(["lse", ...problem.statistics] as const).map((name) =>
        specLike(q, name, "f32", rows, layout)
      ),
    ];
  }
  if (problem.documents) return documentResults(problem, views);
  if (problem.pass !== "backward") {
    return insideNames(problem).map((name) => {
      const { axes, dtype, shape } = OPERANDS[name], sizes = axes.map((a) => axisSize(a, problem));
      return specLike(
        q,
        name,
        dtype as "f32",
        shape === "rows" ? sizes.slice(0, 3) : sizes,
        layout,
      );
    });
  }
  return gradientNames(problem).map((name) => {
    if (name === "dCaptured") {
      // beside the arrays themselves, which are the host's
      const like = { ...q, resident: false };
      return specLike(like, name, "f32", [1, 1, 1, problem.captured], layout);
    }
    const input = views[OPERANDS[name].gradientOf!]!; // a gradient is like its input
    const shape = [...(input.tensor as AnyTensor).shape]; // its own: results share nothing with inputs
    return specLike(input, name, input.dtype as DType, shape, layout);
  });
}

/** Results of late interaction: those of one set of queries have no axis for it. */
function documentResults(problem: AttentionProblem, views: Views): ResultSpec[] {
  const { q } = views, batched = (q!.tensor as AnyTensor).shape.length === 3;
  return insideNames(problem).map((name) => {
    const { dtype, gradientOf } = OPERANDS[name], like = gradientOf ? views[gradientOf]! : q!;
    const size = gradientOf ? like.size : operandSize(name, problem);
    const [, batch, head, row] = rowMajor(size), own = [...size.slice(1)];
    const shape = gradientOf
      ? [...(like.tensor as AnyTensor).shape]
      : own.slice(batched ? 0 : 1, name === "documentKeys" ? 3 : 2);
    const strides: Axes = [0, batch!, head!, row!], { resident } = like;
    const stored = gradientOf ? like.dtype as DType : dtype as "f32" | "i32";
    return { name, like, dtype: stored, shape, resident, size, strides };
  });
}

/** The two results of a merge, like the first part. */
export function mergeSpecs(
  { layout, batch, heads, length, valueDim }: MergeShape,
  part: MergePart,
): [out: ResultSpec, lse: ResultSpec] {
  const shape = layout === "bshd"
    ? [batch, length, heads, valueDim]
    : [batch, heads, length, valueDim];
  return [
    specLike(part.out, "out", part.out.dtype as DType, shape, layout),
    specLike(part.lse, "lse", "f32", [batch, heads, length], layout),
  ];
}

/** The result of turning the rows of a tensor, like it: to backends the gradient of a q. */
export function turnedSpec({ view, layout }: TurnCall): ResultSpec {
  const shape = [...(view.tensor as AnyTensor).shape];
  return specLike(view, "dq", view.dtype as DType, shape, layout);
}

/** An empty host tensor for a result. */
export function hostResult({ like, dtype, shape }: ResultSpec): HostTensor {
  const { tensor } = like, kind = "data" in tensor ? tensor.data as TensorData : undefined;
  return { data: newArray(dtype, count(shape), kind), shape, dtype };
}
