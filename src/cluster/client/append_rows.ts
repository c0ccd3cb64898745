// Rows on their way to shards: gathered from the caller's tensors, in the type that the cache has.
import type { Append } from "../../cache/append.ts";
import { bits, newArray, type TensorData } from "../../tensor/dtype.ts";
import { copyBox } from "../../tensor/copy.ts";
import { narrowed } from "../../tensor/convert.ts";
import { UnsupportedError } from "../../tensor/errors.ts";
import { type HostTensor, isResident } from "../../tensor/tensor.ts";
import { forAxes, type View } from "../../tensor/view.ts";
import type { AppendMessage } from "./cache_shards.ts";

/** Throws where a tensor does not lie in host memory. */
export function checkHost(action: string, name: string, tensor: unknown): void {
  if (typeof tensor !== "object" || tensor === null || !isResident(tensor as HostTensor)) return;
  throw new UnsupportedError(`${action} of a resident ${name}`, "cluster", "pass a host tensor");
}

/** Rows of a message, [rows, heads, columns]. */
function gather(
  view: View,
  starts: readonly number[] | undefined,
  { pieces, rows }: AppendMessage,
  dtype: string,
): HostTensor {
  const { size: [, heads, , columns], strides, offset } = view;
  const { data } = view.tensor as HostTensor, total = rows.reduce((a, b) => a + b, 0);
  const target: TensorData = newArray(view.dtype, total * heads * columns, undefined);
  const to = forAxes((axis) => [0, columns, heads * columns, 1][axis]!);
  let at = 0;
  for (const { index, first, end } of pieces) {
    // packed rows are one sequence to the view
    const place = starts
      ? strides[2] * (starts[index]! + first)
      : strides[0] * index + strides[2] * first;
    copyBox(
      { array: bits(target), offset: at * heads * columns, strides: to },
      { array: bits(data), offset: offset + place, strides },
      forAxes((axis) => [1, heads, end - first, columns][axis]!),
    );
    at += end - first;
  }
  const shape = [total, heads, columns];
  // what the node would round is rounded before it travels
  if (view.dtype === "f32" && (dtype === "f16" || dtype === "bf16")) {
    return { data: narrowed(target as Float32Array, dtype), shape, dtype };
  }
  return { data: target, shape, dtype: view.dtype };
}

/** The tensors of a message. */
export function messageTensors(
  { k, v, rows }: Append,
  packed: boolean,
  message: AppendMessage,
  dtype: string,
): Record<string, HostTensor> {
  const starts = packed ? [0] : undefined;
  for (const n of starts ? rows : []) starts!.push(starts!.at(-1)! + n);
  return { k: gather(k, starts, message, dtype), v: gather(v, starts, message, dtype) };
}
