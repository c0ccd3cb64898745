// Single heads of tensors of any type and strides as f32 rows in linear memory, for calls that work at once: one head at
// a time, so memory stays small.
import type { DType } from "../../tensor/dtype.ts";
import type { View } from "../../tensor/view.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import { copyBox, type Elements } from "../../tensor/copy.ts";
import { DTYPE_CODES } from "../module/dtype_codes.ts";
import type { LinearMemory } from "../memory/linear_memory.ts";
import type { KernelExports } from "../module/module.ts";
import { elements, type ResultView } from "../memory/results.ts";

/** A head of a 16-bit or f32 tensor as f32 rows at `pointer`. */
export function bringHead(
  memory: LinearMemory,
  kernels: KernelExports,
  view: View,
  [batch, head]: [number, number],
  pointer: number,
  temporary: number,
): void {
  const [, , length, columns] = view.size, n = length * columns;
  const offset = batch * view.strides[0] + head * view.strides[1];
  const source = { array: elements(view.tensor as HostTensor), offset, strides: view.strides };
  const wide = view.dtype === "f32",
    array: Elements = wide ? memory.f32(pointer, n) : memory.u16(temporary, n);
  copyBox({ array, offset: 0, strides: [0, 0, columns, 1] }, source, [1, 1, length, columns]);
  if (!wide) {
    kernels.widen(temporary, pointer, n, DTYPE_CODES[view.dtype as DType]!);
  }
}

/** Writes a head of a result from f32 rows at `pointer`. */
export function takeHead(
  memory: LinearMemory,
  kernels: KernelExports,
  result: ResultView,
  [batch, head]: [number, number],
  pointer: number,
  temporary: number,
): void {
  const [, , length, columns] = result.size, n = length * columns;
  let array: Elements = memory.f32(pointer, n);
  if (result.dtype !== "f32") {
    kernels.narrow(pointer, temporary, n, DTYPE_CODES[result.dtype]!);
    array = memory.u16(temporary, n);
  }
  const offset = batch * result.strides[0] + head * result.strides[1];
  const target = { array: elements(result.tensor), offset, strides: result.strides };
  copyBox(target, { array, offset: 0, strides: [0, 0, columns, 1] }, [1, 1, length, columns]);
}
