// What a call returns, before there is memory for it: results look like inputs of the call.
import { type DType, isFloat16Array, type TensorData } from "../tensor/dtype.ts";
import type { MergePart, MergeShape } from "./merge.ts";
import { count, type OperandName, type OperandSpec, rowMajor, type View } from "../tensor/view.ts";
import type { Layout } from "./call_options.ts";
import type { AttentionProblem, Views } from "./problem.ts";
import type { AnyTensor, HostTensor } from "../tensor/tensor.ts";

/** A result that is to be made, row-major. */
export interface ResultSpec extends OperandSpec {
  readonly name: OperandName;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** The input that it looks like: resident where that is, in the same kind of array. */
  readonly like: View;
}

/** For each of [batch, head, row, column], its axis of a tensor of rank 4. */
const HEAD_AXES: { readonly [layout in Layout]: readonly number[] } = {
  bshd: [0, 2, 1, 3],
  bhsd: [0, 1, 2, 3],
};
/** The same of a tensor [batch, queryHeads, lengthQ]. */
const ROW_AXES = [0, 1, 2, -1];

/** `axes`: for each of [batch, head, row, column] an axis of `shape`; below 0 where it has none. */
function specLike(
  like: View,
  name: OperandName,
  dtype: DType,
  shape: readonly number[],
  axes: readonly number[],
): ResultSpec {
  const pick = (from: readonly number[]) => axes.map((axis) => axis < 0 ? 1 : from[axis]);
  return {
    name,
    like,
    dtype,
    shape,
    resident: like.resident,
    size: pick(shape) as never,
    strides: pick(rowMajor(shape)) as never,
  };
}

/** A gradient: like the input that it belongs to. */
function gradientSpec(name: OperandName, input: View, axes: readonly number[]): ResultSpec {
  const { shape } = input.tensor as AnyTensor;
  return specLike(input, name, input.dtype as DType, shape, axes);
}

/** Every result of a problem, in the order in which calls return them. */
export function resultSpecs(problem: AttentionProblem, views: Views): ResultSpec[] {
  const { batch, queryHeads, lengthQ, valueDim } = problem;
  const axes = HEAD_AXES[problem.layout], q = views.q!;
  if (problem.pass === "forward") {
    const shape = [...(q.tensor as AnyTensor).shape.slice(0, 3), valueDim];
    return [
      specLike(q, "out", q.dtype as DType, shape, axes),
      specLike(q, "lse", "f32", [batch, queryHeads, lengthQ], ROW_AXES),
    ];
  }
  const specs = [
    gradientSpec("dq", q, axes),
    gradientSpec("dk", views.k!, axes),
    gradientSpec("dv", views.v!, axes),
  ];
  if (views.bias) {
    const missing = 4 - views.bias.tensor.shape.length; // it broadcasts: leading axes may be missing
    specs.push(gradientSpec("dBias", views.bias, [0, 1, 2, 3].map((axis) => axis - missing)));
  }
  return specs;
}

/** The two results of a merge, like the first part. */
export function mergeSpecs(
  { layout, batch, heads, length, valueDim }: MergeShape,
  part: MergePart,
): ResultSpec[] {
  const shape = layout === "bshd"
    ? [batch, length, heads, valueDim]
    : [batch, heads, length, valueDim];
  return [
    specLike(part.out, "out", part.out.dtype as DType, shape, HEAD_AXES[layout]),
    specLike(part.lse, "lse", "f32", [batch, heads, length], ROW_AXES),
  ];
}

function hostArray(like: View, dtype: DType, n: number): TensorData {
  if (dtype === "f32") return new Float32Array(n);
  const { tensor } = like;
  if ("data" in tensor && isFloat16Array(tensor.data)) {
    const Array16 = tensor.data.constructor as unknown as new (length: number) => TensorData;
    return new Array16(n);
  }
  return new Uint16Array(n);
}

/** An empty host tensor for a result. */
export function hostResult({ like, dtype, shape }: ResultSpec): HostTensor {
  return { data: hostArray(like, dtype, count(shape)), shape, dtype };
}
