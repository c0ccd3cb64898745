// What a call returns: tensors made before any work, where the inputs live.
import { bits, type DType, isFloat16Array, type TensorData } from "../dtype.ts";
import type { MergePart, MergeShape } from "../merge.ts";
import { count, type OperandName, type OperandSpec, rowMajor, type View } from "../operand.ts";
import type { AttentionProblem, Views } from "../problem.ts";
import { type AnyTensor, type HostTensor, isResident, type Tensor } from "../tensor.ts";
import type { LinearMemory } from "./memory.ts";
import { WasmTensor } from "./tensors.ts";

/** A result with its tensor. */
export interface ResultView extends OperandSpec {
  readonly name: OperandName;
  readonly shape: readonly number[];
  readonly tensor: HostTensor | WasmTensor;
}

function hostArray(like: AnyTensor | undefined, dtype: DType, n: number): TensorData {
  if (dtype === "f32") return new Float32Array(n);
  if (like && "data" in like && isFloat16Array(like.data)) {
    const Array16 = like.data.constructor as unknown as new (length: number) => TensorData;
    return new Array16(n);
  }
  return new Uint16Array(n);
}

/** An empty result that looks like an input: its storage type, where it lives, and these axes. */
function resultLike(
  memory: LinearMemory,
  name: OperandName,
  input: View,
  dtype: DType,
  shape: readonly number[],
  axes: readonly number[],
): ResultView {
  const tensor = input.resident
    ? new WasmTensor(memory, shape, dtype)
    : { data: hostArray(input.tensor as AnyTensor, dtype, count(shape)), shape, dtype };
  const strides = rowMajor(shape),
    pick = (from: readonly number[]) => axes.map((a) => a < 0 ? 1 : from[a]);
  const size = pick(shape) as never;
  return {
    name,
    tensor,
    dtype,
    shape,
    resident: input.resident,
    size,
    strides: pick(strides) as never,
  };
}

/** Makes every result of a problem; frees what it made when memory runs out on the way. */
export function makeResults(
  memory: LinearMemory,
  problem: AttentionProblem,
  views: Views,
): ResultView[] {
  const axes = problem.layout === "bshd" ? [0, 2, 1, 3] : [0, 1, 2, 3];
  const q = views.q!, made: ResultView[] = [];
  const add = (
    name: OperandName,
    input: View,
    dtype: DType,
    shape: readonly number[],
    a = axes,
  ) => {
    made.push(resultLike(memory, name, input, dtype, shape, a));
  };
  const shapeOf = (view: View) => (view.tensor as AnyTensor).shape;
  try {
    if (problem.pass === "forward") {
      add("out", q, q.dtype as DType, [...shapeOf(q).slice(0, 3), problem.valueDim]);
      add("lse", q, "f32", [problem.batch, problem.queryHeads, problem.lengthQ], [0, 1, 2, -1]);
    } else {
      for (const [name, input] of [["dq", q], ["dk", views.k!], ["dv", views.v!]] as const) {
        add(name, input, input.dtype as DType, shapeOf(input));
      }
      if (views.bias) {
        const shape = shapeOf(views.bias), missing = 4 - shape.length;
        add(
          "dBias",
          views.bias,
          views.bias.dtype as DType,
          shape,
          [0, 1, 2, 3].map((a) => a - missing),
        );
      }
    }
  } catch (error) {
    disposeResults(made);
    throw error;
  }
  return made;
}

/** The two results of a merge, like the first part. */
export function makeMergeResults(
  memory: LinearMemory,
  { layout, batch, heads, length, valueDim }: MergeShape,
  part: MergePart,
): ResultView[] {
  const shape = layout === "bshd"
    ? [batch, length, heads, valueDim]
    : [batch, heads, length, valueDim];
  const axes = layout === "bshd" ? [0, 2, 1, 3] : [0, 1, 2, 3];
  return [
    resultLike(memory, "out", part.out, part.out.dtype as DType, shape, axes),
    resultLike(memory, "lse", part.lse, "f32", [batch, heads, length], [0, 1, 2, -1]),
  ];
}

/** Frees resident results of a call that failed. */
export function disposeResults(results: readonly ResultView[]): void {
  for (const { tensor } of results) if (isResident(tensor)) tensor.dispose();
}

/** The elements of a tensor as an array that copies can use. */
export function elements(tensor: HostTensor | Tensor): ReturnType<typeof bits> {
  return tensor instanceof WasmTensor ? tensor.view() : bits((tensor as HostTensor).data);
}
